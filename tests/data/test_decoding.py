"""JPEGs at a fraction of their size; what every kind of image becomes is in test_folders_decoding."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import save
from PIL import Image, ImageFile

from negreplay.data import decoding
from negreplay.data.containers import Folder
from negreplay.data.decoding import decode
from negreplay.data.transforms import region
from negreplay.recipe import Augment, ImageRecipe


def gradient(width: int, height: int) -> Image.Image:
    """Red grows from left to right, green from top to bottom."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


@pytest.fixture
def decoded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes at which images have been decoded."""
    sizes: list[tuple[int, int]] = []
    load = ImageFile.ImageFile.load

    def noted(image: ImageFile.ImageFile) -> object:
        if image.tile:
            sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    return sizes


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (ImageRecipe(), (640, 480)),
        (ImageRecipe(224), (640, 480)),
        (ImageRecipe(100), (320, 240)),
        (ImageRecipe(30), (80, 60)),
        (ImageRecipe(31), (160, 120)),
        (ImageRecipe(32, 60), (160, 120)),
    ],
)
def test_a_jpeg_keeps_twice_the_wanted_size(
    tmp_path: Path, recipe: ImageRecipe, expected: tuple[int, int], decoded_sizes: list[tuple[int, int]]
):
    save(gradient(640, 480), tmp_path / "a.jpg")
    decode(Folder(tmp_path), "a.jpg", recipe)
    assert decoded_sizes == [expected]


@pytest.mark.parametrize("turned", [False, True])
def test_a_part_of_a_reduced_jpeg_is_the_part_that_was_drawn(
    tmp_path: Path, turned: bool, decoded_sizes: list[tuple[int, int]]
):
    upright = gradient(1600, 1200)
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    stored = upright.transpose(Image.Transpose.ROTATE_90) if turned else upright
    save(stored, tmp_path / "a.jpg", quality=95, exif=exif)
    recipe = ImageRecipe(64, augment=Augment.RESIZED_CROP)
    for draw in range(0, 40, 2):
        box = region(upright.size, recipe, draw)
        expected = np.asarray(upright.resize((64, 64), Image.Resampling.BILINEAR, box=box)).astype(int)
        found = np.asarray(decode(Folder(tmp_path), "a.jpg", recipe, draw)).astype(int)
        # A pixel is 0.16 of a step wide in the picture, 1.3 in the smallest decoded one; JPEG adds noise.
        assert np.abs(found - expected).max() <= 8 and np.abs(found - expected).mean() < 2
        width, height = decoded_sizes[-1] if not turned else decoded_sizes[-1][::-1]
        across, down = (box[2] - box[0]) * width / 1600, (box[3] - box[1]) * height / 1200
        assert min(across, down) >= 2 * 64 - 1 or (width, height) == (1600, 1200)
    assert len(set(decoded_sizes)) > 1, "larger parts are decoded at smaller sizes"


@pytest.mark.parametrize(("pixels", "at_once"), [(100, 1), (10_000, 2)])
def test_large_pictures_are_decoded_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int, at_once: int
):
    save(gradient(64, 48), tmp_path / "a.png")
    inside, most, plain = [], [0], decoding._to_rgb

    def slowly(image: Image.Image) -> Image.Image:
        inside.append(image)
        time.sleep(0.1)
        most[0] = max(most[0], len(inside))
        inside.pop()
        return plain(image)

    monkeypatch.setattr(decoding, "_LARGE", pixels)
    monkeypatch.setattr(decoding, "_to_rgb", slowly)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: decode(Folder(tmp_path), "a.png", ImageRecipe(8)), range(4)))
    assert most[0] == at_once


@given(values=st.lists(st.integers(0, 65535), min_size=4, max_size=4))
def test_sixteen_bits_are_rounded_to_eight(tmp_path_factory: pytest.TempPathFactory, values: list[int]):
    folder = tmp_path_factory.mktemp("sixteen")
    Image.fromarray(np.array(values, np.uint16).reshape(2, 2)).save(folder / "a.png")
    decoded = np.asarray(decode(Folder(folder), "a.png", ImageRecipe()))[..., 0].ravel()
    assert decoded.tolist() == [(value + 128) // 257 for value in values]
