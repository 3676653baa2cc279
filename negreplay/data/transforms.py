"""Fitting an image to a network, and varying it each time it is trained on.

All that is random in an image is one integer, its *draw*: the same draw gives the same pixels, on any machine and in
any thread. Whoever reads for training takes the draws from the run's random generator; without one an image is fitted
plainly.
"""

import math
from collections.abc import Sequence
from random import Random

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from negreplay.recipe import Augment, ImageRecipe

Box = tuple[float | int, float | int, float | int, float | int]
"""Left, top, right and bottom, in pixels."""

_AREA = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10
_LONGEST = 32  # times the wanted size: what is longer is not resized whole


def region(size: tuple[int, int], recipe: ImageRecipe, draw: int | None) -> Box:
    """The part of an image of this size, width x height, that is looked at."""
    if draw is None or recipe.augment is not Augment.RESIZED_CROP:
        return 0, 0, *size
    return _random_part(size, Random(draw))


def transformed(image: Image.Image, box: Box, recipe: ImageRecipe, draw: int | None) -> Image.Image:
    """The image as the network gets it.

    Args:
        image: any image, upright.
        box: its `region`.
        recipe: what is done to it. A square is resized to bicubically; `shorter_side` and `resized-crop-flip`, the
            customs of ImageNet, resize bilinearly. Both average over all pixels that become one.
        draw: chooses among the variations; None for none.
    """
    if draw is None:
        return _fitted(image, recipe)
    match recipe.augment:
        case Augment.NONE:
            return _fitted(image, recipe)
        case Augment.FLIP:
            image = _fitted(image, recipe)
        case Augment.CROP:
            image = _fitted(image, recipe)
            left, top = _offset(image.size, draw)
            image = image.crop((left, top, left + image.width, top + image.height))
        case Augment.RESIZED_CROP:
            assert recipe.size is not None, "ImageRecipe demands a size for resized crops"
            image = image.resize((recipe.size, recipe.size), Image.Resampling.BILINEAR, box=box)
    return ImageOps.mirror(image) if draw % 2 else image


def varied(
    pixels: UInt8[np.ndarray, "k height width channels"], recipe: ImageRecipe, draws: Sequence[int]
) -> UInt8[np.ndarray, "k height width channels"]:
    """What `transformed` makes of images that need no fitting, all at once."""
    if recipe.augment is Augment.NONE:
        return pixels
    assert recipe.augment is not Augment.RESIZED_CROP, "which fits each image anew"
    if recipe.augment is Augment.CROP:
        _, height, width, _ = pixels.shape
        made = np.zeros_like(pixels)
        for after, before, draw in zip(made, pixels, draws, strict=True):
            left, top = _offset((width, height), draw)
            rows, columns = _overlap(top, height), _overlap(left, width)
            after[_overlap(-top, height), _overlap(-left, width)] = before[rows, columns]
    else:
        made = pixels.copy()
    odd = np.array([draw % 2 == 1 for draw in draws], dtype=bool)
    made[odd] = made[odd, :, ::-1]
    return made


def _fitted(image: Image.Image, recipe: ImageRecipe) -> Image.Image:
    size, shorter = recipe.size, recipe.shorter_side
    if size is None:
        return image
    if shorter is None:
        return image.resize((size, size), Image.Resampling.BICUBIC)
    least = min(image.size)
    width, height = (shorter * side // least for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if max(width, height) > _LONGEST * size:  # a line of pixels made as high as wanted might not fit into the memory
        x, y = image.width / width, image.height / height
        box = left * x, top * y, (left + size) * x, (top + size) * y
        return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _offset(size: tuple[int, int], draw: int) -> tuple[int, int]:
    """Where a moved image begins: up to an eighth of its sides away; what comes in from outside is black."""
    random = Random(draw)
    left, top = (math.floor((2 * (side // 8) + 1) * random.random()) - side // 8 for side in size)
    return left, top


def _overlap(begin: int, side: int) -> slice:
    """What an image and one of the same size that begins here have in common, in the first one's pixels."""
    return slice(max(begin, 0), side + min(begin, 0))


def _random_part(size: tuple[int, int], random: Random) -> Box:
    """8 % to 100 % of the area, its sides in a ratio of 3:4 to 4:3 (log-uniform).

    After ten tries that do not fit into the image, the largest part in the middle whose sides have an admitted ratio.

    References:
        C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, Section 6.
    """
    width, height = size
    for _ in range(_TRIES):
        area = width * height * _between(*_AREA, random)
        ratio = math.exp(_between(math.log(_RATIO[0]), math.log(_RATIO[1]), random))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left = math.floor((width - across + 1) * random.random())
            top = math.floor((height - down + 1) * random.random())
            return left, top, left + across, top + down
    across = min(width, max(1, round(height * _RATIO[1])))
    down = min(height, max(1, round(width / _RATIO[0])))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def _between(low: float, high: float, random: Random) -> float:
    # Of Python's generator only `random()` is promised to give the same numbers in every version.
    return low + (high - low) * random.random()
