"""Pickles from elsewhere, read without running anything that they hold."""

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from negreplay.data.containers import read_file
from negreplay.errors import UserError

# What a damaged pickle makes the standard library raise.
_BROKEN = (
    *(pickle.UnpicklingError, ValueError, EOFError, LookupError),
    *(TypeError, AttributeError, MemoryError, OverflowError, RecursionError),
)


class _RefusedError(Exception):
    """A pickle asked for a name of some module: a class or a function, which may do anything."""


class _Plain(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> object:
        raise _RefusedError(f"{module_name}.{global_name}")


class PickledArray:
    """What a pickle says of a NumPy array; NumPy itself builds nothing from it."""

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def bytes_as(self, *shape: int) -> UInt8[np.ndarray, "..."]:
        """Its bytes in another shape, of which one side may be -1 (any).

        Raises:
            ValueError: it is no array of bytes, or does not fit into the shape.
        """
        match self.state:
            case (_, tuple(), PickledKind(name=b"u1" | "u1"), by_columns, bytes(content)) if not by_columns:
                return np.frombuffer(content, np.uint8).reshape(shape)
            case _:
                raise ValueError("it holds something else in the place of pixels")


class PickledKind:
    """What a pickle says of the kind of an array's elements."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """The byte order, which bytes do not have."""


class _Arrays(_Plain):
    def find_class(self, module_name: str, global_name: str) -> object:
        match module_name, global_name:
            case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):
                return PickledArray
            case "numpy", "ndarray":
                return None  # the first argument of the former
            case "numpy", "dtype":
                return PickledKind
            case _:
                return super().find_class(module_name, global_name)


def load_plain(path: Path) -> object:
    """The lists, dictionaries, texts and numbers that a pickle holds (of Python 2 too).

    Raises:
        UserError: the file is missing or damaged, or holds anything else, which could be code.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): get the file from its official address."
        ) from error
    return _load(_Plain(BytesIO(content)), path)


def load_arrays(content: bytes, source: Path) -> object:
    """The same and NumPy arrays (as `PickledArray`), from a pickle of Python 2 or 3; its texts are bytes.

    Raises:
        UserError: the content of `source` is damaged, or holds anything else, which could be code.
    """
    return _load(_Arrays(BytesIO(content), encoding="bytes"), source)


def _load(unpickler: pickle.Unpickler, source: Path) -> object:
    try:
        return unpickler.load()
    except _RefusedError as error:
        raise UserError(
            f"{source} holds {error}, which may be code, and is not read: get the file from its official address."
        ) from error
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise UserError(
            f"{source} is no readable pickle ({reason}): get the file from its official address."
        ) from error
