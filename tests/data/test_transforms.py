import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from negreplay.data.transforms import region, transformed
from negreplay.recipe import Augment, ImageRecipe

DRAWS = st.integers(0, 2**62 - 1)
SIDES = st.integers(1, 600)
RESIZED_CROP = ImageRecipe(16, augment=Augment.RESIZED_CROP)


def noise(width: int = 24, height: int = 16, channels: int = 3) -> Image.Image:
    pixels = np.random.RandomState(0).randint(1, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels if channels == 3 else pixels[..., 0])


def seen(image: Image.Image, recipe: ImageRecipe, draw: int | None = None) -> np.ndarray:
    return np.asarray(transformed(image, region(image.size, recipe, draw), recipe, draw)).astype(int)


def test_without_a_size_an_image_is_left_as_it_is():
    assert (seen(noise(), ImageRecipe()) == np.asarray(noise())).all()


def test_a_size_alone_squeezes():
    expected = noise().resize((8, 8), Image.Resampling.BICUBIC)
    assert (seen(noise(), ImageRecipe(8)) == np.asarray(expected)).all()


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((24, 16), (18, 12)), ((16, 24), (12, 18)), ((16, 16), (12, 12)), ((25, 16), (18, 12))],
)
def test_a_shorter_side_keeps_proportions_and_takes_the_middle(size: tuple[int, int], scaled: tuple[int, int]):
    left, top = (round((side - 9) / 2) for side in scaled)
    expected = np.asarray(noise(*size).resize(scaled, Image.Resampling.BILINEAR))[top : top + 9, left : left + 9]
    assert (seen(noise(*size), ImageRecipe(9, 12)) == expected).all()


@pytest.mark.parametrize("augment", Augment)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_draw_gives_the_same_pixels_and_others_vary_them(augment: Augment, channels: int):
    recipe = ImageRecipe(16, augment=augment)
    images = [seen(noise(channels=channels), recipe, draw) for draw in range(40)]
    again = [seen(noise(channels=channels), recipe, draw) for draw in range(40)]
    assert all(map(np.array_equal, images, again))
    assert {image.shape for image in images} == {(16, 16, 3) if channels == 3 else (16, 16)}
    distinct = len({image.tobytes() for image in images})
    assert {"none": distinct == 1, "flip": distinct == 2}.get(augment, distinct > 30)


@given(draw=DRAWS)
def test_flip_mirrors_where_the_draw_is_odd(draw: int):
    image, recipe = noise(), ImageRecipe(augment=Augment.FLIP)
    plain = np.asarray(image)
    assert (seen(image, recipe, draw) == (plain[:, ::-1] if draw % 2 else plain)).all()


@settings(deadline=None)
@given(draw=DRAWS)
def test_crop_moves_by_up_to_an_eighth_and_fills_with_black(draw: int):
    image, recipe = noise(24, 16), ImageRecipe(augment=Augment.CROP)
    padded = np.pad(np.asarray(image), ((2, 2), (3, 3), (0, 0)))
    windows = [padded[top : top + 16, left : left + 24] for top in range(5) for left in range(7)]
    found = seen(image, recipe, draw)
    found = found[:, ::-1] if draw % 2 else found
    assert sum(np.array_equal(found, window) for window in windows) == 1


def test_every_offset_of_a_crop_is_drawn():
    image, recipe = noise(16, 16), ImageRecipe(augment=Augment.CROP)
    assert len({seen(image, recipe, 2 * draw).tobytes() for draw in range(400)}) == 25


@settings(deadline=None)
@given(width=SIDES, height=SIDES, draw=DRAWS)
def test_resized_crop_takes_an_admitted_part(width: int, height: int, draw: int):
    left, top, right, bottom = region((width, height), RESIZED_CROP, draw)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    across, down = right - left, bottom - top
    # Sides are whole pixels, so each may be half a pixel off; a side of one pixel cannot be shortened.
    assert (across - 0.5) / (down + 0.5) <= 4 / 3 or across == 1
    assert (across + 0.5) / (down - 0.5) >= 3 / 4 or down == 1
    fits = 3 / 4 <= width / height <= 4 / 3
    assert not fits or (across + 0.5) * (down + 0.5) >= 0.08 * width * height


def test_resized_crop_spreads_over_areas_ratios_and_places():
    parts = np.array([region((400, 400), RESIZED_CROP, draw) for draw in range(4000)])
    across, down = parts[:, 2] - parts[:, 0], parts[:, 3] - parts[:, 1]
    area, ratio = across * down / 160_000, np.log(across / down)
    assert 0.078 < area.min() < 0.1 and area.max() > 0.95
    assert abs(ratio.mean()) < 0.02 and abs(ratio.std() - math.log(16 / 9) / math.sqrt(12)) < 0.02
    assert abs((parts[:, 0] + parts[:, 2]).mean() - 400) < 6 and abs((parts[:, 1] + parts[:, 3]).mean() - 400) < 6


@pytest.mark.parametrize(("size", "expected"), [((1000, 10), (493, 0, 506, 10)), ((10, 1000), (0, 493, 10, 506))])
def test_resized_crop_falls_back_to_the_middle(size: tuple[int, int], expected: tuple[int, ...]):
    """An area of 8 % or more never fits with an admitted ratio."""
    assert {region(size, RESIZED_CROP, draw) for draw in range(20)} == {expected}


def test_resized_crop_resizes_that_part():
    image, draw = noise(64, 48), 6
    left, top, right, bottom = map(int, region(image.size, RESIZED_CROP, draw))
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
    assert (seen(image, RESIZED_CROP, draw) == expected).all()
    assert (seen(image, RESIZED_CROP, draw + 1) != expected).any()


@pytest.mark.parametrize("size", [(600, 1), (1, 602), (65_500, 1)])
def test_of_a_line_of_pixels_only_the_middle_is_resized(size: tuple[int, int]):
    """As a whole the longest would have 64 times as many pixels as one of 1024 x 1024."""
    image = noise(*size)
    left, top = (max(0, side // 2 - 300) for side in size)
    part = image.crop((left, top, min(size[0], left + 600), min(size[1], top + 600)))
    width, height = (64 * side for side in part.size)
    left, top = (width - 64) // 2, (height - 64) // 2
    expected = part.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + 64, top + 64))
    assert abs(seen(image, ImageRecipe(64, 64)) - np.asarray(expected).astype(int)).max() <= 1
