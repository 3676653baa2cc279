"""Decoding images of any kind: RGB, upright, fitted to the network."""

from contextlib import nullcontext
from functools import cache
from io import BytesIO
from threading import Lock

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from negreplay.data.containers import Files, Part
from negreplay.data.transforms import region, transformed
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

DECODER = 1
"""Part of every fingerprint: raise it when `decode` gives other pixels, for stored latents to be computed anew."""

_ORIENTATION = 0x0112
_LARGE = 25_000_000  # pixels
_ALONE = Lock()  # decoding takes up to 20 bytes a pixel, which as many threads as there are cores would need at once
_TURNED = (5, 6, 7, 8)
_HEIF = (".heic", ".heif", ".hif")
_FOREIGN = (
    *(*_HEIF, ".jxl", ".svg", ".psd", ".eps", ".pdf", ".tga", ".ico", ".exr", ".hdr", ".dcm"),
    *(".raw", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".mp4", ".mov", ".avi", ".webm"),
)


@cache
def _formats() -> tuple[str, ...]:
    """Formats of pixels. PostScript, of which Pillow makes pixels by running a program, is none of them."""
    Image.init()
    wanted = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "QOI")
    return tuple(kind for kind in wanted if kind in Image.OPEN)


def open_image(content: bytes, path: str) -> ImageFile.ImageFile:
    """The image in a file, of which only the header is read yet; its first bytes tell its kind, and not its name.

    The name, which `path` ends with, only helps to say why there is none.

    Raises:
        Exception: there is none, or it is damaged; Pillow does not limit what it raises then.
    """
    try:
        return Image.open(BytesIO(content), formats=_formats())
    except UnidentifiedImageError as error:
        raise ValueError(_reason(content, path)) from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has too many pixels ({error.args[0].split('(')[-1].split(' ')[0]})") from error


def is_foreign(path: str) -> bool:
    """Whether a file's name is that of an image or a video of a kind that is not read."""
    return path.lower().endswith(_FOREIGN)


def _reason(content: bytes, path: str) -> str:
    """Why a file's content is no image that is read."""
    if not content:
        return "it is empty"
    is_heif = path.lower().endswith(_HEIF) or content[4:11] == b"ftyphei"  # phones name such files .jpg too
    if is_heif or is_foreign(path):
        kind = "HEIC" if is_heif else path.rpartition(".")[2].upper()
        how = ", for instance with the Python package pillow-heif" if is_heif else ""
        return f"{kind} files are not read: convert it to JPEG{how}"
    return "its content is no image of a known kind"


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, for a sentence."""
    system = error.strerror if isinstance(error, OSError) else None
    return system or str(error) or type(error).__name__


def decode(files: Files | Part, member: str, recipe: ImageRecipe, draw: int | None = None) -> Image.Image:
    """One image as the network gets it, varied where there is a draw (see `transforms`).

    Transparent pixels are laid on black, 16 bits are scaled to 8, and the EXIF orientation is honoured.

    Raises:
        UserError: the file is no image that can be decoded.
    """
    try:
        with (
            open_image(files.read(member), member) as image,
            _ALONE if image.width * image.height > _LARGE else nullcontext(),
        ):
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
    except Exception as error:  # Pillow and zipfile do not limit what a damaged file makes them raise
        raise UserError(
            f"{files.path / member} is no readable image ({reason_of(error)}): replace it by a whole one."
        ) from error
    x, y = rgb.width / full[0], rgb.height / full[1]
    return transformed(rgb, (left * x, top * y, right * x, bottom * y), recipe, draw)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    if image.mode.startswith("I"):
        # Pillow clips 16 bits to 8 when it converts: almost every pixel would be white.
        sixteen_bits = np.asarray(image).clip(0, 65535).astype(np.uint32)
        sixteen_bits += 128
        sixteen_bits //= 257
        return Image.fromarray(sixteen_bits.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
