import os
import pickle
import shutil
import signal
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import plain, save
from PIL import Image
from torch import Tensor

from negreplay.data.folders import load_images
from negreplay.data.threads import THREADS, pool
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe


def noise(seed: int, size: int = 4) -> Image.Image:
    pixels = np.random.RandomState(seed).randint(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes, of 3 training and 2 test images each."""
    root = tmp_path / "pets"
    for split, count in (("train", 3), ("test", 2)):
        for c, name in enumerate(("cat", "dog")):
            for i in range(count):
                save(noise(100 * c + 10 * count + i), root / split / name / f"{i}.png")
    return root


def zipped(tree: Path, inside: str = "", reverse: bool = False) -> Path:
    path = tree.with_name(f"pets{inside.rstrip('/')}{reverse}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(tree.rglob("*"), reverse=reverse):
            archive.write(file, inside + str(file.relative_to(tree)))
    return path


def everything(path: Path, image_size: int | None = None) -> tuple[Tensor, Tensor]:
    return tuple(split.read(torch.arange(len(split.labels))) for split in load_images(path, ImageRecipe(image_size)))  # type: ignore


def test_reads_labels_names_and_pixels(tree: Path):
    train, test = load_images(tree, ImageRecipe())
    assert train.names == test.names == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.labels.tolist() == [0, 0, 1, 1]
    assert not train.encoded
    x = train.read(torch.tensor([4, 0]))
    assert x.shape == (2, 3, 4, 4) and x.dtype == torch.float32
    written = torch.from_numpy(np.array(Image.open(tree / "train" / "dog" / "1.png")))
    assert torch.equal(x[0], written.permute(2, 0, 1) / 255)


def test_reads_no_rows(tree: Path):
    assert load_images(tree, ImageRecipe())[0].read(torch.tensor([], dtype=torch.long)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("inside", ["", "pets/"])
@pytest.mark.parametrize("reverse", [False, True])
def test_zip_and_folder_are_equal(tree: Path, inside: str, reverse: bool):
    path = zipped(tree, inside, reverse)
    assert all(map(torch.equal, everything(tree), everything(path)))
    assert load_images(path, ImageRecipe())[0].names == ("cat", "dog")


def test_zip_without_entries_for_folders(tree: Path):
    path = tree.with_name("flat.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in tree.rglob("*.png"):
            archive.write(file, file.relative_to(tree))
    assert all(map(torch.equal, everything(tree), everything(path)))


def test_folder_with_an_enclosing_one(tree: Path):
    assert all(map(torch.equal, everything(tree), everything(tree.parent)))


def test_order_is_that_of_the_names(tree: Path, monkeypatch: pytest.MonkeyPatch):
    expected = everything(tree)
    scandir = os.scandir

    class Reversed:
        def __init__(self, path: Path) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Reversed)
    assert all(map(torch.equal, expected, everything(tree)))


def test_zip_survives_pickling_and_forking(tree: Path):
    train, _ = load_images(zipped(tree), ImageRecipe())
    expected = train.read(torch.arange(6))
    assert torch.equal(pickle.loads(pickle.dumps(train)).read(torch.arange(6)), expected)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if torch.equal(train.read(torch.arange(6)), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(train.read(torch.arange(6)), expected)


def test_threads_are_made_once_for_each_process(tree: Path):
    train, _ = load_images(tree, ImageRecipe())
    train.read(torch.arange(6))
    threads = threading.active_count()
    for _ in range(5):
        train.read(torch.arange(6))
        train.fitted(torch.arange(6))
    assert threading.active_count() <= max(threads, 1 + THREADS) and pool() is pool()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if train.read(torch.arange(6)).shape == (6, 3, 4, 4) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_ignores_what_is_no_image(tree: Path):
    expected = everything(tree)
    (tree / "train" / "cat" / "notes.txt").write_text("nice cats")
    (tree / "train" / "cat" / "._0.png").write_bytes(b"resource fork")
    (tree / "train" / ".DS_Store").write_bytes(b"")
    (tree / "README.md").write_text("# Pets")
    (tree / "__MACOSX" / "train" / "cat").mkdir(parents=True)
    assert all(map(torch.equal, expected, everything(tree)))
    assert all(map(torch.equal, expected, everything(zipped(tree))))


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_stands_in_for_test(tree: Path, name: str):
    expected = everything(tree)
    (tree / "test").rename(tree / name)
    assert all(map(torch.equal, expected, everything(tree)))


def test_test_goes_before_validation(tree: Path):
    expected = everything(tree)
    save(plain(), tree / "val" / "cat" / "0.png")
    assert all(map(torch.equal, expected, everything(tree)))


def test_fingerprint_names_the_content(tree: Path):
    def fingerprints() -> list[str]:
        return [split.fingerprint for split in load_images(tree, ImageRecipe())]

    before = fingerprints()
    assert before == fingerprints()
    assert len({*before, load_images(tree, ImageRecipe(8))[0].fingerprint}) == 3
    save(noise(999, size=4), tree / "train" / "cat" / "0.png")
    os.utime(tree / "train" / "cat" / "0.png", ns=(1, 1))
    assert fingerprints()[0] != before[0]
    assert fingerprints()[1] == before[1]


def test_fingerprint_sees_that_folders_changed_places(tmp_path: Path):
    """Names, sizes and times are equal: only the content tells."""
    for split in ("train", "test"):
        for name, seed in (("cat", 1), ("dog", 2)):
            image = save(noise(seed, size=4), tmp_path / split / name / "0.bmp")
            os.utime(image, ns=(1, 1))
    before = [split.fingerprint for split in load_images(tmp_path, ImageRecipe())]
    for old, new in (("cat", "other"), ("dog", "cat"), ("other", "dog")):
        (tmp_path / "test" / old).rename(tmp_path / "test" / new)
    after = [split.fingerprint for split in load_images(tmp_path, ImageRecipe())]
    assert after[0] == before[0] and after[1] != before[1]


def test_fingerprint_of_a_zip_is_by_content_not_by_time(tree: Path):
    before = load_images(zipped(tree), ImageRecipe())[0].fingerprint
    assert load_images(zipped(tree, "pets/"), ImageRecipe())[0].fingerprint == before
    save(noise(999), tree / "train" / "cat" / "0.png")
    assert load_images(zipped(tree), ImageRecipe())[0].fingerprint != before


def test_sizes_that_differ_need_an_image_size(tree: Path):
    save(plain(size=(6, 5)), tree / "test" / "dog" / "1.png")
    _, test = load_images(tree, ImageRecipe())
    with pytest.raises(UserError, match=r"dog/1\.png has 6 x 5 pixels and others 4 x 4: give stream\.images\.size"):
        test.read(torch.arange(4))
    assert everything(tree, image_size=8)[1].shape == (4, 3, 8, 8)


@pytest.mark.parametrize("name", ["2.png", "2.jpg"])
def test_truncated_image_is_named_when_it_is_read(tree: Path, name: str):
    path = save(noise(0, size=64), tree / "train" / "dog" / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for source in (tree, zipped(tree)):
        train, _ = load_images(source, ImageRecipe(8))
        assert train.read(torch.tensor([0])).shape == (1, 3, 8, 8)
        with pytest.raises(UserError, match=rf"train/dog/{name} is no readable image .*: replace it by a whole one\."):
            train.read(torch.arange(len(train.labels)))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_unreadable_image_is_named(tree: Path, content: bytes):
    (tree / "train" / "dog" / "2.png").write_bytes(content)
    with pytest.raises(UserError, match=r"train/dog/2\.png is no readable image"):
        everything(tree)


def test_damaged_zip_member_is_named(tree: Path):
    path = zipped(tree)
    damaged = bytearray(path.read_bytes())
    written = (tree / "train" / "dog" / "2.png").read_bytes()
    damaged[damaged.index(written) + len(written) // 2] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"train/dog/2\.png is no readable image"):
        everything(path)


def test_missing_path(tmp_path: Path):
    with pytest.raises(UserError, match="nowhere does not exist: give the path of a folder or zip"):
        load_images(tmp_path / "nowhere", ImageRecipe())


def test_file_that_is_no_zip(tmp_path: Path):
    (tmp_path / "pets.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match=r"pets\.rar is neither a folder nor a zip"):
        load_images(tmp_path / "pets.rar", ImageRecipe())


@pytest.mark.parametrize("split", ["train", "test"])
def test_split_is_missing(tree: Path, split: str):
    shutil.rmtree(tree / split)
    for path in (tree, zipped(tree)):
        with pytest.raises(UserError, match=f"has no {split} folder .*: arrange the images as train/<class>/<image>"):
            load_images(path, ImageRecipe())


def test_split_without_class_folders(tmp_path: Path):
    save(plain(), tmp_path / "train" / "0.png")
    with pytest.raises(UserError, match="has no train folder with a folder for each class"):
        load_images(tmp_path, ImageRecipe())


def test_empty_class_folder(tree: Path):
    (tree / "train" / "bird").mkdir()
    for path in (tree, zipped(tree)):
        with pytest.raises(UserError, match="the folder train/bird holds no images: add some, or move the folder away"):
            load_images(path, ImageRecipe())


def test_class_without_test_images(tree: Path):
    save(plain(), tree / "train" / "bird" / "0.png")
    with pytest.raises(UserError, match="class 'bird' has training images but none to test it: add some to test/bird"):
        load_images(tree, ImageRecipe())


def test_class_without_training_images_is_left_to_the_stream(tree: Path):
    save(plain(), tree / "test" / "bird" / "0.png")
    train, test = load_images(tree, ImageRecipe())
    assert train.names == test.names == ("bird", "cat", "dog")
    assert train.labels.tolist() == [1, 1, 1, 2, 2, 2]
    assert 0 in test.labels.tolist()


def test_cifar50(shared: Path):
    train, test = load_images(shared / "data" / "cifar50.zip", ImageRecipe())
    assert len(train.names) == 50
    assert torch.bincount(train.labels).tolist() == [400] * 50
    assert torch.bincount(test.labels).tolist() == [100] * 50
    x = train.read(torch.arange(0, 20_000, 400))
    assert x.shape == (50, 3, 32, 32)
    assert 0.2 < x.mean() < 0.8
