"""cifar50, made from archives of the official form."""

import hashlib
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import pickle2, write_cifar
from PIL import Image
from tiny import Negreplay

from negreplay.data.cifar50 import CLASSES, choose, get_cifar50
from negreplay.data.folders import load_images
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

FEW = ("bee", "can")


def sha1(image: bytes) -> bytes:
    return hashlib.sha1(image).digest()


def write_cifar100(place: Path, images: dict[str, list[bytes]], archive: bool = True) -> Path:
    """An archive with these images in a drawn order, a sixth of them in the test file."""
    names = sorted(images)
    rows = [(image, names.index(name)) for name in names for image in images[name]]
    rows = [rows[i] for i in np.random.RandomState(0).permutation(len(rows))]
    parts = {"test": rows[: len(rows) // 6], "train": rows[len(rows) // 6 :]}
    files = {"meta": pickle2({b"fine_label_names": [name.encode() for name in names]})}
    for file, some in parts.items():
        pixels = np.stack([np.frombuffer(image, np.uint8).reshape(32, 32, 3) for image, _ in some])
        data = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(some), 3072)
        files[file] = pickle2({b"fine_labels": [label for _, label in some], b"data": data})
    return write_cifar(place, "cifar100", files, archive)


def drawn(count: int, seed: int) -> list[bytes]:
    return [row.tobytes() for row in np.random.RandomState(seed).randint(0, 256, (count, 3072), np.uint8)]


def few() -> dict[str, list[bytes]]:
    """Two classes that are wanted and one that is not."""
    return {"bee": drawn(600, 1), "can": drawn(600, 2), "apple": drawn(3, 3)}


def digest_of(images: dict[str, list[bytes]]) -> str:
    """Said in another way than the module says it."""
    ordered = {name: sorted(images[name], key=sha1) for name in FEW}
    parts = [ordered["bee"][:100], ordered["can"][:100], ordered["bee"][100:500], ordered["can"][100:500]]
    return hashlib.sha256(b"".join(image for part in parts for image in part)).hexdigest()


def made(root: Path, source: Path | None, images: dict[str, list[bytes]]) -> None:
    assert list(get_cifar50(root, source, FEW, digest_of(images)))


@pytest.mark.parametrize("archive", [True, False])
def test_images_are_split_by_their_hashes(tmp_path: Path, archive: bool):
    images = few()
    source = write_cifar100(tmp_path / "official", images, archive)
    made(tmp_path / "cifar50", source, images)
    assert {path.name for path in tmp_path.iterdir()} == {"official", "cifar50"}
    for name in FEW:
        ordered = sorted(images[name], key=sha1)
        for split, wanted in (("test", ordered[:100]), ("train", ordered[100:500])):
            paths = sorted((tmp_path / "cifar50" / split / name).iterdir())
            assert [path.name for path in paths] == [f"{i:03}.png" for i in range(len(wanted))]
            assert [np.asarray(Image.open(path)).tobytes() for path in paths] == wanted
    assert not (tmp_path / "cifar50" / "train" / "apple").exists()


def test_a_folder_that_exists_is_verified_and_never_changed(tmp_path: Path):
    images = few()
    source, root = write_cifar100(tmp_path / "official", images), tmp_path / "cifar50"
    made(root, source, images)
    written = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    made(root, None, images)
    made(root, source, images)
    assert written == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    one, other = root / "test" / "bee" / "000.png", root / "train" / "can" / "399.png"
    content = one.read_bytes()
    for spoil, expected in (
        (other.read_bytes(), "has other images than cifar50: move"),
        (content[:-30], "000.png is no readable PNG"),
        (b"", "000.png is no readable PNG"),
    ):
        one.write_bytes(spoil)
        with pytest.raises(UserError, match=expected):
            made(root, source, images)
        assert one.read_bytes() == spoil
    one.unlink()
    with pytest.raises(UserError, match=r"bee has no 000.png: move"):
        made(root, source, images)
    one.write_bytes(content)
    (one.parent / "mine.png").write_bytes(content)
    with pytest.raises(UserError, match=r"'mine.png', which is not of cifar50"):
        made(root, source, images)


@pytest.mark.parametrize("spoil", ["a class", "an image", "a pixel"])
def test_other_images_are_refused_and_nothing_is_left(tmp_path: Path, spoil: str):
    images, expected = few(), "has other images than CIFAR-100"
    right = digest_of(images)
    if spoil == "a class":
        del images["can"]
        expected = "has 0 images of 'can' and CIFAR-100 has 600"
    elif spoil == "an image":
        images["bee"].pop()
        expected = "has 599 images of 'bee'"
    else:
        images["can"][0] = bytes(3072)
    source = write_cifar100(tmp_path / "official", images)
    with pytest.raises(UserError, match=expected):
        list(get_cifar50(tmp_path / "cifar50", source, FEW, right))
    assert [path.name for path in tmp_path.iterdir()] == ["official"]


def test_a_folder_that_is_not_finished_has_no_name(tmp_path: Path):
    images = few()
    advances = get_cifar50(tmp_path / "cifar50", write_cifar100(tmp_path / "official", images), FEW, digest_of(images))
    assert next(iter(advances)).done == 100
    assert not (tmp_path / "cifar50").exists()
    del advances  # as Ctrl-C does
    assert [path.name for path in tmp_path.iterdir()] == ["official"]


def test_what_is_missing_is_named_with_an_option_of_the_command(negreplay: Negreplay, tmp_path: Path):
    sentence = negreplay("data", "cifar50").sentence()
    assert "there is no data/cifar50: get the official archive cifar-100-python.tar.gz" in sentence
    assert sentence.endswith("with --from PATH.")
    sentence = negreplay("data", "cifar50", "--from", "nowhere").sentence()
    assert sentence.endswith("in nowhere: put one of them there, as published.")
    (tmp_path / "cifar-100-python (1).tar.gz").write_bytes(b"a second download")
    sentence = negreplay("data", "cifar50", "--from", "cifar-100-python (1).tar.gz").sentence()
    assert sentence.startswith(
        "cifar-100-python (1).tar.gz is not called cifar-100-python.tar.gz: give the archive the"
    )
    (tmp_path / "cifar-100-python (1).tar.gz").unlink()
    assert "--from is of cifar50 only" in negreplay("data", "core50", "--from", "nowhere").sentence()
    assert not list(tmp_path.iterdir())


@pytest.mark.long  # 55,000 images are decoded; the tests above make some of them
def test_the_whole_of_it_is_what_the_studies_were_measured_on(negreplay: Negreplay, shared: Path, tmp_path: Path):
    """The unused images are drawn until their hashes come after those of all others."""
    images: dict[str, list[bytes]] = {"apple": drawn(3, 0)}
    with zipfile.ZipFile(shared / "data" / "cifar50.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".png"):
                pixels = np.asarray(Image.open(BytesIO(archive.read(name))))
                images.setdefault(name.split("/")[2], []).append(pixels.tobytes())
    assert tuple(sorted(images.keys() - {"apple"})) == CLASSES
    generator = np.random.RandomState(0)
    for name in CLASSES:
        while len(images[name]) < 600:
            if sha1(unused := generator.bytes(3072)) > b"\xe8":
                images[name].append(unused)
    write_cifar100(tmp_path / "official", images, archive=False)
    shown = negreplay("data", "cifar50", "--from", "official", "--root", "data/cifar50")
    assert shown.code == 0 and "data/cifar50 holds cifar50: 50 classes" in shown.out
    theirs = load_images(shared / "data" / "cifar50.zip", ImageRecipe())
    for ours, their in zip(load_images(tmp_path / "data" / "cifar50", ImageRecipe()), theirs, strict=True):
        assert ours.names == their.names and torch.equal(ours.labels, their.labels)
        rows = torch.arange(len(ours.labels))
        assert np.array_equal(ours.fitted(rows), their.fitted(rows))


def test_choosing_needs_the_archive(tmp_path: Path):
    with pytest.raises(UserError, match=r"no cifar-100-python in .*: put one of them there"):
        choose(tmp_path)
