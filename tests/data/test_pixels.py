"""Images held in memory: read in one go where nothing is done to them, the same as one by one."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from negreplay.data.images import Pixels
from negreplay.data.transforms import transformed
from negreplay.recipe import Augment, ImageRecipe

CHANNELS = pytest.mark.parametrize("channels", [1, 3])
ROWS = pytest.mark.parametrize("rows", [[3, 0, 3], [4], [], list(range(5))], ids=len)


def pixels(recipe: ImageRecipe, channels: int, augmented: bool = False) -> Pixels:
    noise = np.random.RandomState(0).randint(0, 256, (5, 8, 11, channels)).astype(np.uint8)
    return Pixels(noise, torch.zeros(5, dtype=torch.long), ("only",), "noise", recipe, augmented)


def one_by_one(data: Pixels, rows: list[int]) -> Tensor:
    """Every pixel of every image by hand."""
    _, height, width, channels = data.pixels.shape
    x = torch.empty(len(rows), channels, height, width)
    for i, row in enumerate(rows):
        for channel in range(channels):
            x[i, channel] = torch.tensor((data.pixels[row, :, :, channel] / np.float32(255)).tolist())
    return x


@CHANNELS
@ROWS
@pytest.mark.parametrize("augment", Augment)
def test_images_are_read_as_they_are(channels: int, rows: list[int], augment: Augment):
    recipe = ImageRecipe(augment=augment) if augment is not Augment.RESIZED_CROP else ImageRecipe()
    data = pixels(recipe, channels, augmented=augment is not Augment.NONE)
    x = data.read(torch.tensor(rows, dtype=torch.long))
    assert x.dtype == torch.float32 and x.shape == (len(rows), channels, 8, 11)
    assert torch.equal(x, one_by_one(data, rows))


@CHANNELS
@ROWS
def test_draws_mean_nothing_where_nothing_varies(channels: int, rows: list[int]):
    chosen, draws = torch.tensor(rows, dtype=torch.long), torch.arange(len(rows))
    data = pixels(ImageRecipe(), channels)
    one, other = data.read(chosen), data.read(chosen, draws)
    assert torch.equal(one, other) and one.dtype == other.dtype
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in (one, other) if len(x))


@CHANNELS
@pytest.mark.parametrize("augment", [Augment.FLIP, Augment.CROP])
def test_all_at_once_is_one_by_one(channels: int, augment: Augment):
    """Images that need no fitting do not go through Pillow."""
    recipe = ImageRecipe(augment=augment)
    data = pixels(recipe, channels, augmented=True)
    rows, draws = torch.arange(60) % 5, torch.randint(2**62, (60,), generator=torch.Generator().manual_seed(0))
    x = data.read(rows, draws)
    for one, row, draw in zip(x, rows.tolist(), draws.tolist(), strict=True):
        image = Image.fromarray(data.pixels[row] if channels == 3 else data.pixels[row, :, :, 0])
        alone = np.asarray(transformed(image, (0, 0, *image.size), recipe, draw)).reshape(8, 11, channels)
        assert np.array_equal(one.movedim(0, -1).numpy(), alone / np.float32(255))
    assert x.is_contiguous(memory_format=torch.channels_last)


@CHANNELS
def test_what_is_read_is_no_window_on_what_is_held(channels: int):
    data = pixels(ImageRecipe(), channels)
    before = data.pixels.copy()
    data.read(torch.arange(5)).zero_()
    assert np.array_equal(data.pixels, before)


@CHANNELS
def test_pixels_that_do_not_lie_together_are_read_too(channels: int):
    """As those of exemplars, which are kept with their channels first."""
    data = pixels(ImageRecipe(), channels)
    turned = Pixels(
        np.moveaxis(np.ascontiguousarray(np.moveaxis(data.pixels, -1, 1)), 1, -1),
        *(data.labels, data.names, data.fingerprint, ImageRecipe(augment=Augment.CROP), True),
    )
    x = turned.read(torch.tensor([2, 1]))
    assert torch.equal(x, one_by_one(data, [2, 1]))
    draws = torch.tensor([7, 12])
    moved = pixels(ImageRecipe(augment=Augment.CROP), channels, augmented=True)
    assert torch.equal(turned.read(torch.tensor([2, 1]), draws), moved.read(torch.tensor([2, 1]), draws))


def test_a_size_is_kept_to_also_where_it_is_that_of_the_images():
    square = np.random.RandomState(0).randint(0, 256, (2, 9, 9, 3)).astype(np.uint8)
    plain, sized, small = (
        Pixels(square, torch.zeros(2, dtype=torch.long), ("only",), "noise", ImageRecipe(size)) for size in (None, 9, 8)
    )
    rows = torch.arange(2)
    assert torch.equal(sized.read(rows), plain.read(rows)) and small.read(rows).shape == (2, 3, 8, 8)
