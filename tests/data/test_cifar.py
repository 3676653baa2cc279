import os
import pickle
from pathlib import Path

import pytest
import torch
from archives import CIFAR_FOLDER, CIFAR_TRAIN, cifar_files, noise, pickle2, write_cifar

from negreplay.data.cifar import load_cifar
from negreplay.errors import UserError
from negreplay.recipe import Augment, ImageRecipe

BOTH = pytest.mark.parametrize("name", ["cifar10", "cifar100"])


@BOTH
@pytest.mark.parametrize("archive", [True, False])
def test_reads_pixels_labels_and_names(tmp_path: Path, name: str, archive: bool):
    path = write_cifar(tmp_path, name, cifar_files(name), archive)
    train, test = load_cifar(name, tmp_path, ImageRecipe())
    files = len(CIFAR_TRAIN[name])
    assert train.labels.tolist() == [0, 1, 2] * 4 * files and test.labels.tolist() == [0, 1, 2] * 4
    assert train.names == test.names == ("class 0", "class 1", "class 2")
    last, expected = train.read(torch.tensor([len(train.labels) - 1])), noise(12, 3072, seed=files - 1)[-1]
    assert torch.equal(last[0], torch.from_numpy(expected.reshape(3, 32, 32)) / 255)
    assert len({train.fingerprint, test.fingerprint}) == 2 and not train.encoded
    assert load_cifar(name, path, ImageRecipe())[0].fingerprint == train.fingerprint


@BOTH
def test_the_archive_and_its_folder_are_equal(tmp_path: Path, name: str):
    for archive in (True, False):
        write_cifar(tmp_path / str(archive), name, cifar_files(name), archive)
    ours, theirs = (load_cifar(name, tmp_path / str(archive), ImageRecipe()) for archive in (True, False))
    assert [split.fingerprint for split in ours] == [split.fingerprint for split in theirs]


@BOTH
def test_training_images_alone_are_varied(tmp_path: Path, name: str):
    write_cifar(tmp_path, name, cifar_files(name), archive=False)
    train, test = load_cifar(name, tmp_path, ImageRecipe(augment=Augment.CROP))
    rows = torch.zeros(20, dtype=torch.long)
    assert train.augmented and not test.augmented
    assert len(train.read(rows, torch.arange(20)).unique(dim=0)) > 15
    assert len(train.read(rows).unique(dim=0)) == 1


def test_neither_archive_nor_folder(tmp_path: Path):
    with pytest.raises(
        UserError, match=r"no cifar-10-python\.tar\.gz and no cifar-10-batches-py in .*: put one of them there"
    ):
        load_cifar("cifar10", tmp_path, ImageRecipe())


def test_a_truncated_archive(tmp_path: Path):
    path = write_cifar(tmp_path, "cifar10", cifar_files("cifar10"), archive=True)
    whole = path.read_bytes()
    for cut in (20, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz (cannot be read|holds no).*: get it from"):
            load_cifar("cifar10", tmp_path, ImageRecipe())


@pytest.mark.parametrize("archive", [True, False])
def test_a_missing_file(tmp_path: Path, archive: bool):
    files = cifar_files("cifar10")
    del files["data_batch_3"]
    write_cifar(tmp_path, "cifar10", files, archive)
    with pytest.raises(UserError, match=r"data_batch_3( cannot be read \(.*\))?: get it from its official address"):
        load_cifar("cifar10", tmp_path, ImageRecipe())


class Harmful:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


ROWS = noise(2, 3072)
WRONG: list[tuple[str, bytes, str]] = [
    ("train", pickle2([1, 2]), "holds no data with fine_labels"),
    ("train", pickle2({b"data": ROWS}), "holds no data with fine_labels"),
    ("train", pickle2({b"data": b"bytes", b"fine_labels": [0]}), "holds no data with fine_labels"),
    ("train", pickle2({b"data": ROWS, b"fine_labels": [0]}), "holds no 32 x 32 pixels for 1 images"),
    ("train", pickle2({b"data": ROWS, b"fine_labels": [0, 3]}), "holds fine_labels that are none of its 3 classes"),
    ("train", pickle2({b"data": ROWS, b"fine_labels": [0, b"1"]}), "holds fine_labels that are none of its 3 classes"),
    ("test", cifar_files("cifar100")["test"][:-500], "is no readable pickle"),
    ("meta", pickle2({b"names": []}), "holds no list of fine_label_names"),
    ("train", pickle2({b"data": ROWS[:0], b"fine_labels": []}), "holds no images"),
    ("meta", pickle2({b"fine_label_names": [b"caf\xe9"]}), "holds fine_label_names that are no text in UTF-8"),
    ("meta", pickle2({b"fine_label_names": [1]}), "holds no list of fine_label_names"),
    ("meta", pickle.dumps(Harmful("/nowhere/made")), r"holds .*mkdir, which may be code, and is not read"),
]


@pytest.mark.parametrize(("file", "content", "sentence"), WRONG)
@pytest.mark.parametrize("archive", [True, False])
def test_a_wrong_file_is_named(tmp_path: Path, file: str, content: bytes, sentence: str, archive: bool):
    write_cifar(tmp_path, "cifar100", cifar_files("cifar100") | {file: content}, archive)
    with pytest.raises(UserError, match=rf"{CIFAR_FOLDER['cifar100']}/{file} {sentence}.*: get"):
        load_cifar("cifar100", tmp_path, ImageRecipe())
