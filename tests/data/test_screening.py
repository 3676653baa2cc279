"""Which of a user's files are images, and what is said of the others before anything is learned."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import torch
from pictures import RED, plain, save
from PIL import Image, features

from negreplay.data.folders import load_images
from negreplay.data.overview import overview
from negreplay.data.selected import every
from negreplay.data.tables import load_table
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

RECIPE = ImageRecipe(8)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            save(plain(), tmp_path / "pets" / split / name / "0.png")
    return tmp_path / "pets"


def test_all_below_a_class_belongs_to_it(pets: Path):
    save(plain((0, 0, 0)), pets / "train" / "cat" / "2024" / "May" / "1.png")
    train, _ = load_images(pets, RECIPE)
    assert train.paths == ("train/cat/0.png", "train/cat/2024/May/1.png", "train/dog/0.png")
    assert train.labels.tolist() == [0, 0, 1] and not train.read(torch.tensor([1])).any()


@pytest.mark.parametrize(
    ("name", "kind"), [("a.jfif", "JPEG"), ("photo", "PNG"), ("b.dat", "TIFF"), ("c.avif", "AVIF")]
)
def test_the_content_and_not_the_name_makes_an_image(pets: Path, name: str, kind: str):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    save(plain(), pets / "train" / "dog" / name, format=kind)
    train, _ = load_images(pets, RECIPE)
    assert train.labels.tolist() == [0, 1, 1] and not train.left_out
    row = train.paths.index(f"train/dog/{name}")
    assert torch.allclose(train.read(torch.tensor([row]))[0, :, 0, 0] * 255, torch.tensor(RED).float(), atol=4)


def test_what_is_left_out_is_listed_with_its_reason(pets: Path):
    (pets / "train" / "cat" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (pets / "train" / "cat" / "notes.txt").write_text("nice cats")
    (pets / "train" / "cat" / ".hidden").write_text("hidden")
    (pets / "test" / "dog" / "film.mov").write_bytes(b"film")
    save(plain(), pets / "train" / "lost.png")
    save(plain(), pets / "more" / "cat" / "0.png")
    save(plain(), pets / "val" / "cat" / "0.png")
    train, test = load_images(pets, RECIPE)
    assert train.left_out == (
        ("more/", "it is neither train nor test"),
        (
            "train/cat/IMG_1.HEIC",
            "HEIC files are not read: convert it to JPEG, for instance with the Python package pillow-heif",
        ),
        ("train/cat/notes.txt", "it is no image"),
        ("train/lost.png", "it lies in no folder of a class"),
        ("val/", "test is the test set"),
    )
    assert test.left_out == (("test/dog/film.mov", "MOV files are not read: convert it to JPEG"),)
    assert train.labels.tolist() == [0, 1]


def test_a_class_of_files_that_are_left_out_alone(pets: Path):
    (pets / "train" / "dog" / "0.png").rename(pets / "train" / "dog" / "0.heic")
    (pets / "train" / "dog" / "0.heic").write_bytes(b"\0\0\0\x18ftypheic")
    sentence = (
        r"the folder train/dog holds no images, but train/dog/0\.heic \(HEIC files are not read: convert it to JPEG"
    )
    with pytest.raises(UserError, match=sentence):
        load_images(pets, RECIPE)


def test_all_unreadable_files_are_named_at_once(pets: Path):
    for k in range(1, 8):
        (pets / ("train" if k < 4 else "test") / "cat" / f"{k}.jpg").write_bytes(b"no image" * (k > 1))
    with pytest.raises(UserError) as caught:
        load_images(pets, RECIPE)
    sentence = str(caught.value)
    assert sentence.startswith("7 files are no readable images, ") and " and 2 more: replace or convert" in sentence
    assert f"{pets}/train/cat/1.jpg (it is empty), " in sentence
    assert f"{pets}/train/cat/2.jpg (its content is no image of a known kind), " in sentence


def test_postscript_runs_no_program(pets: Path, monkeypatch: pytest.MonkeyPatch):
    (pets / "train" / "cat" / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(UserError, match=r"1\.png is no readable image \(its content is no image of a known kind\)"):
        load_images(pets, RECIPE)


def test_the_fingerprint_is_that_of_the_content(pets: Path):
    """Two bitmaps change places: names, sizes and times of the folder's files are what they were."""
    cat, dog = (pets / "train" / name / "1.bmp" for name in ("cat", "dog"))
    for path, colour in ((cat, (9, 9, 9)), (dog, (7, 7, 7))):
        save(plain(colour), path)
        os.utime(path, (1, 1))
    before = load_images(pets, RECIPE)[0].fingerprint
    assert load_images(pets, RECIPE)[0].fingerprint == before
    contents = cat.read_bytes(), dog.read_bytes()
    for path, content in zip((dog, cat), contents, strict=True):
        path.write_bytes(content)
        os.utime(path, (1, 1))
    after = load_images(pets, RECIPE)[0].fingerprint
    assert after != before
    os.utime(dog, (2, 2))
    assert load_images(pets, RECIPE)[0].fingerprint == after, "the time does not matter"


def test_the_fingerprint_of_a_table_is_that_of_the_content(tmp_path: Path):
    table = tmp_path / "pets.csv"
    table.write_text("path,label,split\na.bmp,cat,train\nb.bmp,cat,test\n")
    fingerprints = []
    for colours in ((1, 2), (2, 1)):
        for name, colour in zip("ab", colours, strict=True):
            os.utime(save(plain((colour, 0, 0)), tmp_path / f"{name}.bmp"), (1, 1))
        fingerprints += [split.fingerprint for split in load_table(table, RECIPE)]
    assert len(set(fingerprints)) == 4


@pytest.mark.parametrize(("path", "reason"), [("a\0b.png", "embedded null byte"), ("pipe", "it is no regular file")])
def test_a_table_names_what_is_no_file(tmp_path: Path, path: str, reason: str):
    os.mkfifo(tmp_path / "pipe")
    save(plain(), tmp_path / "b.png")
    table = tmp_path / "pets.csv"
    table.write_text(f"path,label,split\n{path},cat,train\nb.png,cat,test\n")
    with pytest.raises(UserError, match=rf"is no readable image \(.*{reason}"):
        load_table(table, RECIPE)


def test_the_overview_counts_and_names(pets: Path):
    save(plain(), pets / "train" / "cat" / "1.png")
    for k in range(7):
        (pets / "test" / "cat" / f"{k}.txt").write_text("no image")
    train, test = load_images(pets, RECIPE)
    lines = overview(train, every(test, 1))
    assert lines[:2] == [
        "3 training images of 2 classes, 1 (dog) to 2 (cat) of each.",
        "2 test images of 2 classes, 1 of each.",
    ]
    assert lines[2].startswith("7 files or folders are left out: test/cat/0.txt (it is no image), ")
    assert lines[2].endswith("test/cat/4.txt (it is no image) and 2 more.")
    assert overview(train, every(train, 2))[1:] == ["2 test images of 2 classes, 1 of each."]


def test_an_image_of_one_kind_with_the_name_of_another_is_read(pets: Path):
    Image.new("RGB", (4, 4), RED).save(pets / "train" / "cat" / "1.jpg", format="PNG")
    assert len(load_images(pets, RECIPE)[0].labels) == 3


@pytest.mark.parametrize(("name", "kind"), [("a.qoi", "QOI"), ("a.tif", "TIFF"), ("a.webp", "WEBP"), ("a.gif", "GIF")])
def test_damaged_pixels_are_a_sentence_whatever_the_kind(pets: Path, name: str, kind: str):
    path = pets / "train" / "cat" / name
    noise = Image.frombytes("RGB", (16, 16), Random(0).randbytes(768))
    if kind == "QOI":
        content = b"qoif" + bytes((0, 0, 0, 16, 0, 0, 0, 16, 3, 0)) + noise.tobytes()
    else:
        noise.save(path, format=kind)
        content = path.read_bytes()
    for length in range(14, len(content) - 1, max(len(content) // 40, 1)):
        path.write_bytes(content[:length])
        with suppress(UserError):  # anything else that is raised fails
            load_images(pets, RECIPE)[0].read(torch.arange(3))
    path.write_bytes(content[:20] if kind == "QOI" else content[: len(content) // 4])
    with pytest.raises(UserError, match=rf"{name} is no readable image"):
        load_images(pets, RECIPE)[0].read(torch.arange(3))
