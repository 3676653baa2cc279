"""MNIST and Fashion-MNIST, from the four idx files in which both are published.

References:
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition", 1998.
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747, 2017.
"""

import gzip
import math
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from negreplay.data.containers import Bounded, read_file
from negreplay.data.images import Pixels, pixels_of
from negreplay.errors import NotThereError, UserError
from negreplay.recipe import ImageRecipe

_CLOTHES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
)
_FOLDERS = {"mnist": ("mnist", "MNIST/raw"), "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw")}
_NAMES = {"mnist": tuple("0123456789"), "fashion-mnist": _CLOTHES}
_SIDE = 28
_REMEDY = "get the file from its official address"
_REMEDIES = "get its four files from their official address"


def load_mnist(name: str, place: Path, recipe: ImageRecipe) -> tuple[Pixels, Pixels]:
    """The training and test images of `mnist` or `fashion-mnist`, grey, 28 x 28 unless the recipe gives a size.

    Raises:
        UserError: the folder or one of its files is missing, truncated, or something else.
    """
    folder = _folder(name, place)

    def split(prefix: str, training: bool) -> Pixels:
        images = _idx(folder, f"{prefix}-images-idx3-ubyte", 3)
        labels = _idx(folder, f"{prefix}-labels-idx1-ubyte", 1)
        if len(images) != len(labels) or labels.max(initial=0) > 9:
            raise UserError(
                f"{folder} holds {len(images)} images and {len(labels)} labels of {prefix}, which do not belong "
                f"together: {_REMEDIES}."
            )
        if images.shape[1:] != (_SIDE, _SIDE):
            sides = " x ".join(map(str, images.shape[1:]))
            raise UserError(f"{folder} holds images of {prefix} of {sides} pixels, not {_SIDE} x {_SIDE}: {_REMEDIES}.")
        if not len(images):
            raise UserError(f"{folder} holds no images of {prefix}: {_REMEDIES}.")
        return pixels_of(images[..., None], torch.from_numpy(labels).long(), _NAMES[name], recipe, training)

    return split("train", True), split("t10k", False)


def _folder(name: str, place: Path) -> Path:
    options = [place / folder for folder in _FOLDERS[name]]
    if place.name in _FOLDERS[name]:
        options.append(place)
    for option in options:
        if option.is_dir():
            return option
    raise NotThereError(
        f"there is no folder {name} in {place}: put its four idx files, as published, into {place / name}."
    )


def _idx(folder: Path, name: str, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The bytes of an idx file, packed or not: a magic number, the sides, the bytes."""
    packed, path = folder / f"{name}.gz", folder / name
    try:
        if packed.exists():
            path = packed
            with gzip.GzipFile(fileobj=BytesIO(read_file(path))) as file:
                content = Bounded(file).read()
        else:
            content = read_file(path)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}): {_REMEDY}.") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise UserError(f"{path} is no idx file of bytes in {dimensions} dimensions: {_REMEDY}.")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, offset=4).tolist())
    if len(content) - header != math.prod(shape):
        raise UserError(f"{path} has {len(content) - header} bytes for {math.prod(shape)}: {_REMEDY}.")
    try:
        # A copy, for torch warns of bytes that cannot be written.
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
    except ValueError as error:  # no bytes at all, of sides that no array has
        raise UserError(f"{path} has sides of {' x '.join(map(str, shape))}: {_REMEDY}.") from error
