"""Pictures for the tests of image folders."""

from pathlib import Path
from typing import Any

from PIL import Image

RED = (200, 30, 10)


def plain(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (4, 4)) -> Image.Image:
    return Image.new("RGB", size, colour)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path
