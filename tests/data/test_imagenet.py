import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import write_imagenet, write_tiny_imagenet, zipped
from pictures import plain, save
from PIL import Image

from negreplay.data.imagenet import load_imagenet, load_tiny_imagenet
from negreplay.errors import UserError
from negreplay.recipe import Augment, ImageRecipe

AUTHORS = ImageRecipe(16, 18, Augment.RESIZED_CROP)
"""The authors' 224 of 234 pixels, smaller."""


def test_imagenet_from_its_folders(tmp_path: Path):
    root = write_imagenet(tmp_path)
    save(plain(), root / "test" / "unlabelled.JPEG")
    for place in (tmp_path, root):
        train, test = load_imagenet(place, AUTHORS)
        assert train.names == test.names == ("n00", "n01")
        assert train.labels.tolist() == [0, 0, 0, 1, 1, 1] and test.labels.tolist() == [0, 1]
        assert train.augmented and not test.augmented
    with Image.open(root / "val" / "n01" / "val_1_0.JPEG") as image:
        scaled = np.asarray(image.resize((22, 18), Image.Resampling.BILINEAR))
    expected = torch.from_numpy(scaled[1:17, 3:19].copy()).permute(2, 0, 1) / 255
    assert (test.read(torch.tensor([1]))[0] - expected).abs().max() < 1 / 255
    rows = torch.zeros(20, dtype=torch.long)
    assert train.read(rows, torch.arange(20)).unique(dim=0).shape == (20, 3, 16, 16)
    assert len(train.read(rows).unique(dim=0)) == 1


def test_a_flat_validation_folder_is_refused_with_the_remedy(tmp_path: Path):
    root = write_imagenet(tmp_path)
    for file in list((root / "val").rglob("*.JPEG")):
        file.rename(root / "val" / file.name)
    for folder in ("n00", "n01"):
        (root / "val" / folder).rmdir()
    sentence = r"val holds no folder for each class: move each image to val/<wnid>/, .*ground_truth\.txt gives it"
    with pytest.raises(UserError, match=sentence):
        load_imagenet(tmp_path, AUTHORS)


@pytest.mark.parametrize("split", ["train", "val"])
def test_imagenet_is_missing(tmp_path: Path, split: str):
    shutil.rmtree(write_imagenet(tmp_path) / split)
    with pytest.raises(UserError, match=r"there is no imagenet with its folders train and val in .*: put"):
        load_imagenet(tmp_path, AUTHORS)


@pytest.mark.parametrize("packed", [False, True])
def test_tiny_imagenet_from_its_folder_or_zip(tmp_path: Path, packed: bool):
    root = write_tiny_imagenet(tmp_path)
    with Image.open(root / "val" / "images" / "val_10.JPEG") as image:
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    path = root
    if packed:
        path = zipped(root)
        shutil.rmtree(root)
    for place in (tmp_path, path):
        train, test = load_tiny_imagenet(place, ImageRecipe(augment=Augment.FLIP))
        assert train.names == test.names == ("n01", "n02")
        assert train.labels.tolist() == [0, 0, 0, 1, 1, 1] and train.augmented
        assert test.labels.tolist() == [1, 1, 0, 0] and not test.augmented
        assert torch.equal(test.read(torch.tensor([1]))[0], expected), "in the order of the annotations"
        assert train.paths[0].endswith("train/n01/images/n01_0.JPEG")


def test_tiny_imagenet_is_missing(tmp_path: Path):
    with pytest.raises(UserError, match=r"no tiny-imagenet-200 and no tiny-imagenet-200\.zip in .*: put"):
        load_tiny_imagenet(tmp_path, ImageRecipe())


@pytest.mark.parametrize("line", ["val_0.JPEG\tn07\t0\n", "val_7.JPEG\tn01\t0\n", "\n"])
def test_wrong_annotations_are_named(tmp_path: Path, line: str):
    with (write_tiny_imagenet(tmp_path) / "val" / "val_annotations.txt").open("a") as file:
        file.write(line)
    sentence = (
        r"val_annotations\.txt, line 5, names no image and class that are there: get it from its official address"
    )
    with pytest.raises(UserError, match=sentence):
        load_tiny_imagenet(tmp_path, ImageRecipe())


def test_annotations_in_a_damaged_zip_are_named(tmp_path: Path):
    root = write_tiny_imagenet(tmp_path)
    path, name = tmp_path / "packed" / "tiny-imagenet-200.zip", "val/val_annotations.txt"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for file in sorted(root.rglob("*.*")):
            archive.write(file, file.relative_to(root))
    content = bytearray(path.read_bytes())
    start = content.index(name.encode()) + len(name)
    content[start + 4 : start + 40] = bytes(36)
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"val_annotations\.txt cannot be read \(.*\): get it from its official address"
    ):
        load_tiny_imagenet(path.parent, ImageRecipe())


def test_an_official_set_is_not_read_before_it_is_used(tmp_path: Path):
    """Its sizes and times stand for its content, and files with other names are no images."""
    root = write_imagenet(tmp_path)
    (root / "train" / "n00" / "damaged.JPEG").write_bytes(b"no image")
    (root / "train" / "n00" / "notes.txt").write_text("no image")
    train, _ = load_imagenet(tmp_path, AUTHORS)
    assert train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    (root / "train" / "n00" / "damaged.JPEG").write_bytes(b"no photo")
    assert load_imagenet(tmp_path, AUTHORS)[0].fingerprint != train.fingerprint


def test_incomplete_tiny_imagenet(tmp_path: Path):
    root = write_tiny_imagenet(tmp_path)
    annotations = root / "val" / "val_annotations.txt"
    lines = annotations.read_text().splitlines(keepends=True)
    annotations.write_text("".join(lines[:2]))
    with pytest.raises(UserError, match="has no validation images of n01: get it"):
        load_tiny_imagenet(tmp_path, ImageRecipe())
    annotations.unlink()
    with pytest.raises(UserError, match=r"val_annotations\.txt cannot be read"):
        load_tiny_imagenet(tmp_path, ImageRecipe())
    shutil.rmtree(root / "train")
    with pytest.raises(UserError, match="has no images in train/<class>/images"):
        load_tiny_imagenet(tmp_path, ImageRecipe())
