"""Names and damage in zips, and folders that do not end."""

import gzip
import os
import tarfile
import unicodedata
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import torch
from pictures import plain, save

from negreplay.data import containers
from negreplay.data.containers import Bounded, files_of_tar, listing
from negreplay.data.folders import load_images
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

COMPOSED = unicodedata.normalize("NFC", "Ärger")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
RECIPE = ImageRecipe(8)


def packed(folder: Path, names: list[str], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of plain images with these names."""
    path, image = folder / "pets.zip", save(plain(), folder / "plain.png")
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.write(image, name)
    return path


def test_backslashes_in_a_zip_are_slashes(tmp_path: Path):
    path = packed(tmp_path, ["train\\cat\\0.png", "train\\dog\\0.png", "test\\cat\\0.png", "test\\dog\\1.png"])
    train, test = load_images(path, RECIPE)
    assert train.names == ("cat", "dog") and test.paths == ("test/cat/0.png", "test/dog/1.png")
    assert test.read(torch.arange(2)).shape == (2, 3, 8, 8)


def test_letters_with_accents_are_the_same_composed_or_not(tmp_path: Path):
    names = [f"train/{COMPOSED}/0.png", f"test/{DECOMPOSED}/0.png"]
    for path in (packed(tmp_path, names), tmp_path / "pets"):
        if path.suffix != ".zip":
            for name in names:
                save(plain(), path / name)
        train, test = load_images(path, RECIPE)
        assert train.names == (COMPOSED,) and test.labels.tolist() == [0]
        assert test.read(torch.arange(1)).shape == (1, 3, 8, 8)


def test_utf8_that_is_not_declared_is_read_as_such(tmp_path: Path):
    path = packed(tmp_path, ["train/xx/0.png", "test/xx/0.png"])
    path.write_bytes(path.read_bytes().replace(b"/xx/", "/é/".encode()))
    assert load_images(path, RECIPE)[0].names == ("é",)


def test_a_zip_that_is_cut_off_is_called_so(tmp_path: Path):
    path = packed(tmp_path, ["train/cat/0.png"])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"pets\.zip is a zip that is cut off or damaged: copy it again\."):
        listing(path)


def test_a_file_that_is_in_a_zip_twice(tmp_path: Path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = packed(tmp_path, ["train/cat/0.png", "train/cat/0.png"])
    with pytest.raises(UserError, match=r"pets\.zip holds train/cat/0\.png twice: make it again"):
        listing(path)


def test_an_encrypted_zip(tmp_path: Path):
    path = packed(tmp_path, ["train/cat/0.png"])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"pets\.zip is encrypted: make it again without a password"):
        listing(path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_named_whatever_packs_it(tmp_path: Path, kind: int):
    path = packed(tmp_path, ["train/cat/0.png", "test/cat/0.png"], compression=kind)
    content = bytearray(path.read_bytes())
    start = content.index(b"train/cat/0.png") + len("train/cat/0.png")
    content[start + 4 : start + 40] = bytes(36)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"pets\.zip/train/cat/0\.png is no readable image"):
        load_images(path, RECIPE)


def test_a_link_to_a_folder_around_it_is_not_followed_for_ever(tmp_path: Path):
    for split in ("train", "test"):
        save(plain(), tmp_path / split / "cat" / "0.png")
    (tmp_path / "train" / "cat" / "again").symlink_to(tmp_path / "train")
    assert load_images(tmp_path, RECIPE)[0].paths == ("train/cat/0.png",)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")], ids=["pipe", "broken link"])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path, make):
    for split in ("train", "test"):
        save(plain(), tmp_path / split / "cat" / "0.png")
    make(tmp_path / "test" / "cat" / "1.png")
    with pytest.raises(UserError, match=r"test/cat/1\.png is no readable image \((it is no regular|No such) file"):
        load_images(tmp_path, RECIPE)


def test_links_that_lead_nowhere_and_files_that_are_too_large_are_no_images(tmp_path: Path):
    (tmp_path / "self.png").symlink_to("self.png")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(10**12)
    files, members = listing(tmp_path)
    assert [member.path for member in members] == ["large.png", "self.png"]
    with pytest.raises(OSError, match=r"it has 1000000 MB, and at most 600 are read"):
        files.read("large.png")


def test_a_path_from_the_root_is_one_from_the_top_of_a_zip(tmp_path: Path):
    path = packed(tmp_path, ["cat/0.png", "dog/1.png"])
    path.write_bytes(path.read_bytes().replace(b"dog/1.png", b"/og/1.png"))
    assert [member.path for member in listing(path)[1]] == ["cat/0.png", "og/1.png"]


def test_a_packed_file_is_unpacked_up_to_a_limit():
    packed = gzip.compress(bytes(10_000))
    whole, short = (Bounded(gzip.GzipFile(fileobj=BytesIO(packed)), largest) for largest in (10_000, 9_999))
    assert whole.read(4) + whole.read() == bytes(10_000)
    with pytest.raises(OSError, match=r"it unpacks to more than 0 MB"):
        short.read()


def test_a_tar_of_very_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for number in range(4):
            archive.addfile(tarfile.TarInfo(str(number)))
    assert dict(files_of_tar(tmp_path / "a.tar.gz", "13".__contains__)) == {"1": b"", "3": b""}
    monkeypatch.setattr(containers, "_MOST_MEMBERS", 3)
    with pytest.raises(OSError, match=r"it holds more than 3 files"):
        dict(files_of_tar(tmp_path / "a.tar.gz", "13".__contains__))
