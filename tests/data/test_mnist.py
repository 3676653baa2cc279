import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import idx, noise, write_mnist

from negreplay.data.mnist import load_mnist
from negreplay.errors import UserError
from negreplay.recipe import Augment, ImageRecipe
from negreplay.studies import STUDIES

TRAIN, TEST = [3, 0, 9, 3], [9, 0, 3]
FOLDERS = [
    ("mnist", "mnist"),
    ("mnist", "MNIST/raw"),
    ("fashion-mnist", "fashion-mnist"),
    ("fashion-mnist", "FashionMNIST/raw"),
]


@pytest.mark.parametrize(("name", "folder"), FOLDERS)
@pytest.mark.parametrize("packed", [True, False])
def test_reads_pixels_labels_and_names(tmp_path: Path, name: str, folder: str, packed: bool):
    write_mnist(tmp_path / folder, TRAIN, TEST, packed)
    train, test = load_mnist(name, tmp_path, ImageRecipe())
    assert train.labels.tolist() == TRAIN and test.labels.tolist() == TEST
    x = train.read(torch.tensor([2, 0]))
    assert x.shape == (2, 1, 28, 28) and x.dtype == torch.float32
    assert torch.equal(x[:, 0], torch.from_numpy(noise(4, 28, 28))[[2, 0]] / 255)
    assert train.names == test.names and len(train.names) == 10 == len(set(train.names))
    assert train.names[9] == {"mnist": "9", "fashion-mnist": "ankle-boot"}[name]
    assert train.fingerprint != test.fingerprint and not train.augmented and not train.encoded


def test_the_folder_itself_may_be_given(tmp_path: Path):
    write_mnist(tmp_path / "mnist", TRAIN, TEST)
    assert load_mnist("mnist", tmp_path / "mnist", ImageRecipe())[0].labels.tolist() == TRAIN
    with pytest.raises(UserError, match=r"there is no folder fashion-mnist in .*: put its four idx files"):
        load_mnist("fashion-mnist", tmp_path / "mnist", ImageRecipe())


def test_training_images_alone_are_varied(tmp_path: Path):
    write_mnist(tmp_path / "mnist", TRAIN, TEST)
    plain, _ = load_mnist("mnist", tmp_path, ImageRecipe())
    train, test = load_mnist("mnist", tmp_path, ImageRecipe(augment=Augment.FLIP))
    rows = torch.tensor([0, 1, 2])
    assert train.augmented and not test.augmented
    assert torch.equal(train.read(rows), plain.read(rows))
    varied = train.read(rows, torch.tensor([4, 7, 2]))
    assert torch.equal(varied[[0, 2]], plain.read(rows)[[0, 2]])
    assert torch.equal(varied[1], plain.read(rows)[1].flip(-1))
    assert train.fingerprint == plain.fingerprint, "what is read plainly is the same"


def test_images_are_resized(tmp_path: Path):
    write_mnist(tmp_path / "mnist", TRAIN, TEST)
    train, _ = load_mnist("mnist", tmp_path, ImageRecipe(32))
    assert train.read(torch.arange(4)).shape == (4, 1, 32, 32)
    assert train.read(torch.arange(0)).shape == (0, 1, 32, 32)
    assert train.fingerprint != load_mnist("mnist", tmp_path, ImageRecipe())[0].fingerprint


GOOD = idx(noise(4, 28, 28))
WRONG = [
    (gzip.compress(GOOD)[:-100], r"cannot be read \(.*\): get the file from its official address"),
    (b"not packed", "cannot be read"),
    (gzip.compress(GOOD[:-1]), r"has 3135 bytes for 3136: get the file"),
    (gzip.compress(GOOD + b"0"), r"has 3137 bytes for 3136: get the file"),
    (gzip.compress(b"\0\0\x08"), "is no idx file of bytes in 3 dimensions: get the file"),
    (gzip.compress(idx(np.zeros(4, dtype=np.uint8))), "is no idx file of bytes in 3 dimensions"),
    (gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1)), "has sides of 0 x 4294967295 x"),
    (gzip.compress(b"\0\0\x0d\3" + GOOD[4:]), "is no idx file of bytes in 3 dimensions"),
]


@pytest.mark.parametrize(("content", "sentence"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes, sentence: str):
    write_mnist(tmp_path / "mnist", TRAIN, TEST)
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(UserError, match=rf"train-images-idx3-ubyte\.gz {sentence}"):
        load_mnist("mnist", tmp_path, ImageRecipe())


@pytest.mark.parametrize(("shape", "sentence"), [((3, 20, 28), "of 20 x 28 pixels, not 28 x 28"), ((0, 28, 28), "")])
def test_test_images_of_other_sides_or_none_are_refused(tmp_path: Path, shape: tuple[int, int, int], sentence: str):
    write_mnist(tmp_path / "mnist", TRAIN, TEST[: shape[0]])
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(noise(*shape))))
    with pytest.raises(UserError, match=rf"mnist holds (no )?images of t10k.*{sentence}: get its four files"):
        load_mnist("mnist", tmp_path, ImageRecipe())


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    write_mnist(tmp_path / "mnist", TRAIN, TEST)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    os.mkfifo(tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz cannot be read \(it is no regular file\)"):
        load_mnist("mnist", tmp_path, ImageRecipe())


def test_a_missing_file_is_named(tmp_path: Path):
    write_mnist(tmp_path / "mnist", TRAIN, TEST)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte cannot be read"):
        load_mnist("mnist", tmp_path, ImageRecipe())


@pytest.mark.parametrize("labels", [[1, 2, 3], [1, 2, 3, 10]])
def test_images_and_labels_that_do_not_belong_together(tmp_path: Path, labels: list[int]):
    write_mnist(tmp_path / "mnist", TRAIN, TEST)
    content = gzip.compress(idx(np.array(labels, dtype=np.uint8)))
    (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(UserError, match=rf"4 images and {len(labels)} labels of train, which do not belong together"):
        load_mnist("mnist", tmp_path, ImageRecipe())


def test_the_real_one(shared: Path):
    train, test = load_mnist("mnist", shared / "data", ImageRecipe())
    assert len(train.labels) == 60_000 and len(test.labels) == 10_000
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert torch.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    x = train.read(torch.arange(0, 60_000, 100))
    assert x.shape == (600, 1, 28, 28) and abs(x.mean() - 0.1307) < 0.005


def test_split_fashion_names_every_class_in_its_order(tmp_path: Path):
    write_mnist(tmp_path / "fashion-mnist", TRAIN, TEST, packed=True)
    train, _ = load_mnist("fashion-mnist", tmp_path, ImageRecipe())
    study = next(study for study in STUDIES if study.name == "split-fashion")
    assert {(arm.arriving.data, arm.arriving.order) for arm in study.recipes} == {("fashion-mnist", tuple(train.names))}
