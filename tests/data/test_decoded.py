"""Images that are decoded once: the same to the bit as those that are decoded each time."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import save
from PIL import Image

from negreplay.data import decoded as module
from negreplay.data.data import Tensors, View
from negreplay.data.decoded import Decoded, decode_once
from negreplay.data.folders import load_images
from negreplay.data.images import Images
from negreplay.recipe import Augment, ImageRecipe
from negreplay.streams.scenarios import renumbered

RECIPES = [
    ImageRecipe(),
    ImageRecipe(augment=Augment.FLIP),
    ImageRecipe(augment=Augment.CROP),
    ImageRecipe(12),
    ImageRecipe(12, augment=Augment.CROP),
    ImageRecipe(12, shorter_side=14, augment=Augment.FLIP),
]
PLACES = torch.tensor([2, 0, 2, 3])
DRAWS = torch.tensor([5, 8, 11, 2**40])


def train(folder: Path, recipe: ImageRecipe) -> Images:
    """Six images of two classes, of 20 x 16 pixels."""
    noise = np.random.RandomState(0)
    for split, c, i in ((split, c, i) for split in ("train", "test") for c in "ab" for i in range(3)):
        save(Image.fromarray(noise.randint(0, 256, (16, 20, 3)).astype(np.uint8)), folder / split / c / f"{i}.png")
    data = load_images(folder, recipe)[0]
    assert isinstance(data, Images)
    return data


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("draws", [None, DRAWS], ids=["plain", "varied"])
def test_decoded_images_are_the_images(tmp_path: Path, recipe: ImageRecipe, draws: torch.Tensor | None):
    view = View(train(tmp_path, recipe), torch.tensor([5, 0, 3, 1]))
    once = decode_once(view)
    assert isinstance(once.data, Decoded) and torch.equal(once.labels, view.labels)
    assert (once.encoded, once.data.augmented) == (view.encoded, view.data.augmented)
    expected = view.data.read(view.rows[PLACES], draws)
    for _ in range(2):
        x = once.data.read(view.rows[PLACES], draws)
        assert torch.equal(x, expected) and x.stride() == expected.stride()
    batches = (each.batches(3, torch.Generator().manual_seed(1)) for each in (view, once))
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


def test_a_file_is_read_once(tmp_path: Path):
    once = decode_once(View(train(tmp_path, RECIPES[2]), torch.arange(6)))
    first = once.data.read(PLACES, DRAWS)
    shutil.rmtree(tmp_path)
    assert torch.equal(once.data.read(PLACES, DRAWS), first)


def test_labels_are_those_of_the_view(tmp_path: Path):
    view = View(renumbered(train(tmp_path, RECIPES[0]), [1, 0]), torch.tensor([4, 1]))
    once = decode_once(view)
    assert isinstance(once.data, Decoded) and once.data.names == ("b", "a")
    assert once.labels.tolist() == view.labels.tolist() == [0, 1]
    assert torch.equal(once.data.read(once.rows), view.data.read(view.rows))


def test_what_cannot_be_decoded_once_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    latents = View(
        Tensors(torch.rand(2, 3), torch.zeros(2, dtype=torch.long), ("a",), "latents", True), torch.arange(2)
    )
    assert decode_once(latents) is latents
    crops = View(train(tmp_path, ImageRecipe(12, augment=Augment.RESIZED_CROP)), torch.arange(6))
    assert decode_once(crops) is crops
    images = View(train(tmp_path, RECIPES[0]), torch.arange(6))
    monkeypatch.setattr(module, "LIMIT", 6 * 20 * 16 * 3 - 1)
    assert decode_once(images) is images
    monkeypatch.setattr(module, "LIMIT", 6 * 20 * 16 * 3)
    assert isinstance(decode_once(images).data, Decoded)
