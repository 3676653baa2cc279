"""Decoding images of any kind: RGB, upright, fitted to the network."""

import struct
import zipfile
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from negreplay.data.containers import Files
from negreplay.data.transforms import region, transformed
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

DECODER = 1
"""Part of every fingerprint: raise it when `decode` gives other pixels, for stored latents to be computed anew."""

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)


def decode(files: Files, member: str, recipe: ImageRecipe, draw: int | None = None) -> Image.Image:
    """One image as the network gets it, varied where there is a draw (see `transforms`).

    Transparent pixels are laid on black, 16 bits are scaled to 8, and the EXIF orientation is honoured.

    Raises:
        UserError: the file is no image that can be decoded.
    """
    try:
        with Image.open(BytesIO(files.read(member))) as image:
            full = image.size
            if image.getexif().get(_ORIENTATION) in _TURNED:
                full = full[1], full[0]
            left, top, right, bottom = region(full, recipe, draw)
            if recipe.size is not None:
                # A JPEG decodes faster at a fraction of its size; twice the wanted size leaves enough to resample.
                wanted, least = 2 * (recipe.shorter_side or recipe.size), int(min(right - left, bottom - top))
                image.draft(None, (image.width * wanted // least, image.height * wanted // least))
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _to_rgb(image)
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{files.path / member} is no readable image ({reason}): replace or remove it.") from error
    x, y = rgb.width / full[0], rgb.height / full[1]
    return transformed(rgb, (left * x, top * y, right * x, bottom * y), recipe, draw)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    if image.mode.startswith("I"):
        # Pillow clips 16 bits to 8 when it converts: almost every pixel would be white.
        sixteen_bits = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((sixteen_bits + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
