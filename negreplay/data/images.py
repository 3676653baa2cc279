"""Images as data sets: files that are decoded when they are read, and pixels held in memory."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from negreplay.data.containers import Files, Folder, Member, Part, member_of
from negreplay.data.decoding import DECODER, decode
from negreplay.data.screening import LeftOut
from negreplay.data.threads import pool
from negreplay.data.transforms import region, transformed, varied
from negreplay.errors import UserError
from negreplay.recipe import Augment, ImageRecipe


@dataclass(frozen=True)
class Images:
    """One split of a folder or zip of images, a data set whose images are decoded, to RGB, as they are read.

    Without a size in the recipe all must have `size`, width x height. `left_out` names the files that lie beside these
    images and are not used.
    """

    files: Files
    paths: tuple[str, ...]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str
    size: tuple[int, int]
    recipe: ImageRecipe
    augmented: bool = False
    encoded: bool = False
    left_out: tuple[LeftOut, ...] = ()

    def read(
        self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k 3 height width"]:
        """The images of these rows, in [0, 1], channels last in memory.

        Raises:
            UserError: an image cannot be decoded, or its size differs from the others' and the recipe gives none.
        """
        width, height = self.size
        return _gathered(self._pixels, rows, draws, (height, width, 3), pool().map)

    def fitted(self, rows: Int[Tensor, " k"]) -> UInt8[np.ndarray, "k height width 3"]:
        """The pixels of these rows without a draw."""
        return np.stack(list(pool().map(self._pixels, rows.tolist(), repeat(None))))

    def _pixels(self, row: int, draw: int | None) -> UInt8[np.ndarray, "height width 3"]:
        files, path = self._place(row)
        image = decode(files, path, self.recipe, draw)
        if image.size != self.size:
            (width, height), (others_width, others_height) = image.size, self.size
            raise UserError(
                f"{files.path / path} has {width} x {height} pixels and others "
                f"{others_width} x {others_height}: give stream.images.size, to which all are resized."
            )
        return np.asarray(image)

    def _place(self, row: int) -> tuple[Files | Part, str]:
        """What holds the image of a row, and its path in there."""
        return self.files, self.paths[row]


@dataclass(frozen=True)
class Pixels:
    """Images of one size held in memory, grey or RGB, a data set."""

    pixels: UInt8[np.ndarray, "n height width channels"]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str
    recipe: ImageRecipe
    augmented: bool = False
    encoded: bool = False

    def read(
        self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k channels height width"]:
        """The images of these rows, in [0, 1], channels last in memory."""
        size = self.recipe.size
        if size is not None:
            return _gathered(self._pixels, rows, draws, (size, size, self.pixels.shape[-1]), map)
        pixels = self.pixels[rows.numpy()]
        if draws is not None:
            pixels = varied(pixels, self.recipe, draws.tolist())
        return torch.from_numpy(pixels).movedim(-1, 1) / 255

    def _pixels(self, row: int, draw: int | None) -> UInt8[np.ndarray, "height width channels"]:
        stored = self.pixels[row]
        channels = stored.shape[-1]
        image = Image.fromarray(stored if channels == 3 else stored[..., 0])
        image = transformed(image, region(image.size, self.recipe, draw), self.recipe, draw)
        return np.asarray(image).reshape(image.height, image.width, channels)


def images_of(
    files: Files,
    listed: Sequence[tuple[Member, int]],
    names: tuple[str, ...],
    recipe: ImageRecipe,
    training: bool,
    root: str = "",
    left_out: Sequence[LeftOut] = (),
) -> Images:
    """The listed files and their classes as a data set, augmented if it is for training and the recipe says so.

    Args:
        files: where they are.
        listed: the files with the numbers of their classes, in the order of the rows; at least one.
        names: of the classes.
        recipe: how the images are read.
        training: whether it is the training split.
        root: a folder around all of them, whose name does not matter.
        left_out: files that are not used.

    Raises:
        UserError: the recipe gives no size and the first image cannot be decoded.
    """
    members = [member for member, _ in listed]
    size = (recipe.size, recipe.size) if recipe.size else decode(files, members[0].path, recipe).size
    labels = torch.tensor([c for _, c in listed], dtype=torch.long)
    paths, augmented = tuple(member.path for member in members), is_augmented(recipe, training)
    fingerprint = _fingerprint(members, root, recipe)
    return Images(files, paths, labels, names, fingerprint, size, recipe, augmented, left_out=tuple(left_out))


def listed_images(
    folder: Path,
    paths: Sequence[str],
    labels: Int[Tensor, " n"],
    names: tuple[str, ...],
    recipe: ImageRecipe,
    training: bool,
) -> Images:
    """The images at these paths in a folder, of an official set; their sizes and times stand for their content.

    Raises:
        UserError: a file is missing, or the first image cannot be decoded.
    """
    listed = []
    for path, label in zip(paths, labels.tolist(), strict=True):
        try:
            listed.append((member_of(folder, path), label))
        except OSError as error:
            raise UserError(f"{folder / path} cannot be read ({error.strerror}): copy it again.") from error
    return images_of(Folder(folder), listed, names, recipe, training)


def is_augmented(recipe: ImageRecipe, training: bool) -> bool:
    """Whether images are varied as they are read: those of the training split, where the recipe says so."""
    return training and recipe.augment is not Augment.NONE


def pixels_of(
    pixels: UInt8[np.ndarray, "n height width channels"],
    labels: Int[Tensor, " n"],
    names: tuple[str, ...],
    recipe: ImageRecipe,
    training: bool,
) -> Pixels:
    """Pixels in memory as a data set, augmented if it is for training and the recipe says so."""
    digest = hashlib.sha256(plainly(recipe))
    digest.update(pixels.tobytes())
    digest.update(labels.numpy().tobytes())
    return Pixels(pixels, labels, names, digest.hexdigest()[:16], recipe, is_augmented(recipe, training))


def plainly(recipe: ImageRecipe) -> bytes:
    """How an image is read without a draw, as the beginning of a fingerprint."""
    shorter = "" if recipe.shorter_side is None else f" of {recipe.shorter_side}"
    return f"{DECODER} {recipe.size}{shorter}\n".encode()


def _fingerprint(members: Sequence[Member], root: str, recipe: ImageRecipe) -> str:
    digest = hashlib.sha256(plainly(recipe))
    for member in members:
        digest.update(os.fsencode(f"{member.path.removeprefix(root)}\n{member.size} {member.stamp}\n"))
    return digest.hexdigest()[:16]


def _gathered(
    pixels: Callable[[int, int | None], UInt8[np.ndarray, "height width channels"]],
    rows: Int[Tensor, " k"],
    draws: Int[Tensor, " k"] | None,
    shape: tuple[int, int, int],
    each: Callable[..., Iterable[None]],
) -> Float[Tensor, "k channels height width"]:
    x = np.empty((len(rows), *shape), dtype=np.float32)

    def gather(place: int, row: int, draw: int | None) -> None:
        np.divide(pixels(row, draw), 255, out=x[place], dtype=np.float32)

    list(each(gather, range(len(rows)), rows.tolist(), repeat(None) if draws is None else draws.tolist()))
    return torch.from_numpy(x).movedim(-1, 1)
