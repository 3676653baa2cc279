"""CIFAR-10 and CIFAR-100, from the archives of Python pickles in which they are published.

References:
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from negreplay.data.containers import files_of_tar, read_file
from negreplay.data.decoding import reason_of
from negreplay.data.images import Pixels, pixels_of
from negreplay.data.pickles import PickledArray, load_arrays
from negreplay.errors import NotThereError, UserError
from negreplay.recipe import ImageRecipe

Split = tuple[UInt8[np.ndarray, "_ 32 32 3"], list[int]]
"""Images and their labels."""

_REMEDY = "get it from its official address"


@dataclass(frozen=True)
class _Layout:
    """Where one of the two keeps what."""

    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: bytes
    names: bytes


_LAYOUTS = {
    "cifar10": _Layout(
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        labels=b"labels",
        names=b"label_names",
    ),
    "cifar100": _Layout(
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        train=("train",),
        test="test",
        meta="meta",
        labels=b"fine_labels",
        names=b"fine_label_names",
    ),
}


def load_cifar(name: str, place: Path, recipe: ImageRecipe) -> tuple[Pixels, Pixels]:
    """The training and test images of `cifar10` or `cifar100` (fine labels), 32 x 32 unless the recipe gives a size.

    The pickles are read without running anything that they hold.

    Raises:
        UserError: the archive (or the folder it unpacks to) or a file in it is missing, truncated, or something else.
    """
    names, train, test = read_cifar(name, place)

    def split(pixels: UInt8[np.ndarray, "n 32 32 3"], labels: list[int], training: bool) -> Pixels:
        return pixels_of(pixels, torch.tensor(labels), names, recipe, training)

    return split(*train, True), split(*test, False)


def read_cifar(name: str, place: Path) -> tuple[tuple[str, ...], Split, Split]:
    """The names of the classes, then the training and the test images with their labels, as published.

    Args:
        name: `cifar10` or `cifar100` (fine labels).
        place: the archive, the folder it unpacks to, or the folder that holds one of them.

    Raises:
        UserError: as of `load_cifar`.
    """
    layout = _LAYOUTS[name]
    folder, contents = _unpickled(layout, place)
    names = _names(contents[layout.meta], layout.names, folder / layout.meta)

    def split(files: tuple[str, ...]) -> Split:
        batches = [_batch(contents[file], layout.labels, len(names), folder / file) for file in files]
        pixels = np.concatenate([planes.transpose(0, 2, 3, 1) for planes, _ in batches])
        return pixels, [label for _, some in batches for label in some]

    return names, split(layout.train), split((layout.test,))


def _unpickled(layout: _Layout, place: Path) -> tuple[Path, dict[str, object]]:
    """The path of the folder, perhaps inside the archive, and what its files hold."""
    wanted = (*layout.train, layout.test, layout.meta)
    for path in (place / layout.folder, place / layout.archive, place):
        if path.name == layout.folder and path.is_dir():
            return path, {file: load_arrays(_content(path / file), path / file) for file in wanted}
        if path.name == layout.archive and path.is_file():
            packed, folder = _packed(path, {f"{layout.folder}/{file}" for file in wanted}), path / layout.folder
            return folder, {file: load_arrays(packed[f"{layout.folder}/{file}"], folder / file) for file in wanted}
    if place.is_file():
        raise UserError(
            f"{place} is not called {layout.archive}: give the archive the name under which it is published."
        )
    raise NotThereError(
        f"there is no {layout.archive} and no {layout.folder} in {place}: put one of them there, as published."
    )


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): {_REMEDY}.") from error


def _packed(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """The wanted files of an archive, which is read through once."""
    contents: dict[str, bytes] = {}
    try:
        contents.update(files_of_tar(path, wanted.__contains__))
    except Exception as error:  # whatever the standard library raises of a damaged archive
        raise UserError(f"{path} cannot be read ({reason_of(error)}): {_REMEDY}.") from error
    if missing := wanted - contents.keys():
        raise UserError(f"{path} holds no {min(missing)}: {_REMEDY}.")
    return contents


def _names(meta: object, key: bytes, source: Path) -> tuple[str, ...]:
    names = meta.get(key) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise UserError(f"{source} holds no list of {key.decode()}: {_REMEDY}.")
    try:
        return tuple(name.decode() for name in names)
    except ValueError as error:
        raise UserError(f"{source} holds {key.decode()} that are no text in UTF-8 ({error}): {_REMEDY}.") from error


def _batch(
    batch: object, key: bytes, classes: int, source: Path
) -> tuple[UInt8[np.ndarray, "n 3 32 32"], Sequence[int]]:
    """The pixels and labels of one file."""
    fields = batch if isinstance(batch, dict) else {}
    data, labels = fields.get(b"data"), fields.get(key)
    if not isinstance(data, PickledArray) or not isinstance(labels, list):
        raise UserError(f"{source} holds no data with {key.decode()}: {_REMEDY}.")
    if not labels:
        raise UserError(f"{source} holds no images: {_REMEDY}.")
    if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
        raise UserError(f"{source} holds {key.decode()} that are none of its {classes} classes: {_REMEDY}.")
    try:
        return data.bytes_as(len(labels), 3, 32, 32), labels
    except ValueError as error:
        raise UserError(f"{source} holds no 32 x 32 pixels for {len(labels)} images ({error}): {_REMEDY}.") from error
