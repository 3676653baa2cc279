from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pictures import RED, plain, save
from PIL import Image
from torch import Tensor

from negreplay.data.folders import load_images
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe


def read_back(tmp_path: Path, write: Callable[[Path], object], name: str, image_size: int | None = None) -> Tensor:
    """The first training image of a data set whose other image is plain."""
    save(plain(), tmp_path / "test" / "any" / "0.png")
    (tmp_path / "train" / "any").mkdir(parents=True)
    write(tmp_path / "train" / "any" / name)
    return load_images(tmp_path, ImageRecipe(image_size))[0].read(torch.tensor([0]))[0]


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.png", "RGB", RED, RED),
        ("a.bmp", "RGB", RED, RED),
        ("a.webp", "RGB", RED, RED),
        ("a.gif", "RGB", RED, RED),
        ("a.tif", "RGB", RED, RED),
        ("a.ppm", "RGB", RED, RED),
        ("a.jpg", "RGB", RED, RED),
        ("a.JPEG", "L", 90, (90, 90, 90)),
        ("a.png", "L", 90, (90, 90, 90)),
        ("a.png", "1", 1, (255, 255, 255)),
        ("a.png", "I;16", 90 * 257, (90, 90, 90)),
        ("a.tif", "I;16", 65535, (255, 255, 255)),
        ("a.pgm", "I", 90 * 257, (90, 90, 90)),
        ("a.png", "LA", (200, 128), (100, 100, 100)),
        ("a.png", "RGBA", (200, 100, 50, 0), (0, 0, 0)),
        ("a.png", "RGBA", (200, 100, 50, 255), (200, 100, 50)),
        ("a.jpg", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("a.tif", "CMYK", (0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_every_kind_of_image_becomes_rgb(
    tmp_path: Path, name: str, mode: str, colour: float | tuple[int, ...], expected: tuple[int, int, int]
):
    x = read_back(tmp_path, lambda path: Image.new(mode, (4, 4), colour).save(path), name)
    assert torch.allclose(x, torch.tensor(expected).reshape(3, 1, 1) / 255, atol=3 / 255)


def test_palette(tmp_path: Path):
    image = plain().quantize(4)
    assert image.mode == "P"
    x = read_back(tmp_path, image.save, "a.png")
    assert torch.allclose(x, torch.tensor(RED).reshape(3, 1, 1) / 255, atol=3 / 255)


def test_transparent_palette_lies_on_black(tmp_path: Path):
    image = plain().quantize(4)
    transparent = image.getpixel((0, 0))
    x = read_back(tmp_path, lambda path: image.save(path, transparency=transparent), "a.png")
    assert (x == 0).all()


def test_exif_orientation_is_honoured(tmp_path: Path):
    image = Image.new("RGB", (16, 8), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left side of the file is the top of the picture
    x = read_back(tmp_path, lambda path: image.save(path, exif=exif, quality=95), "a.jpg")
    assert x.shape == (3, 16, 8)
    assert x[:, :8].mean() < 0.05 and x[:, 8:].mean() > 0.95


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_resizes_to_a_square(tmp_path: Path, name: str):
    image = Image.new("RGB", (640, 320), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 320, 320))
    x = read_back(tmp_path, image.save, name, image_size=8)
    assert x.shape == (3, 8, 8)
    assert x[..., :3].max() < 0.05 and x[..., 5:].min() > 0.95


def test_floating_point_image_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"a\.tif is no readable image \(its pixels are floating-point numbers"):
        read_back(tmp_path, Image.new("F", (4, 4), 0.5).save, "a.tif")
