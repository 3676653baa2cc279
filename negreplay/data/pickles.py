"""Pickles from elsewhere, read without running anything that they hold.

They are read by the standard library's reader in Python. Its reader in C makes room for as many values as a pickle says
that it will look up again, which may be any number; and it ends the process where a key is a tuple of very many levels.
"""

import pickle
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from negreplay.data.containers import read_file
from negreplay.errors import UserError

# What a damaged pickle makes the standard library raise.
_BROKEN = (
    *(pickle.UnpicklingError, struct.error, ValueError, EOFError, LookupError, AssertionError),
    *(TypeError, AttributeError, MemoryError, OverflowError, RecursionError),
)


_INSTRUCTIONS: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch


class _RefusedError(Exception):
    """A pickle asked for a name of some module: a class or a function, which may do anything."""


class _Content(BytesIO):
    """Bytes of which a part that is not there is an error."""

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        if size and len(part) < size:
            raise EOFError("it is cut off")
        return part

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError("it is cut off")
        return line


_UNKNOWN = (
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.BYTEARRAY8, pickle.NEXT_BUFFER),
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4),
)
"""Instructions that no official file has."""


class _Plain(pickle._Unpickler):
    stack: list[object]

    def find_class(self, module: str, name: str) -> object:
        raise _RefusedError(f"{module}.{name}")

    def _set_item(self) -> None:
        _check_keys(self.stack[-2:-1])
        _INSTRUCTIONS[pickle.SETITEM[0]](self)

    def _set_items(self) -> None:
        _check_keys(self.stack[::2])
        _INSTRUCTIONS[pickle.SETITEMS[0]](self)

    def _dictionary(self) -> None:
        _check_keys(self.stack[::2])
        _INSTRUCTIONS[pickle.DICT[0]](self)

    def _build(self) -> None:
        if not isinstance(self.stack[-2], PickledArray | PickledKind):
            raise ValueError("it gives a state to what is no array")
        _INSTRUCTIONS[pickle.BUILD[0]](self)

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code: load for code, load in _INSTRUCTIONS.items() if bytes((code,)) not in _UNKNOWN},
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dictionary,
        pickle.BUILD[0]: _build,
    }


def _check_keys(keys: list[object]) -> None:
    """Refuses keys of more than one level."""
    if not all(isinstance(key, str | bytes | int | float | None) for key in keys):
        raise ValueError("a key is neither a text nor a number")


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
    def find_class(self, module: str, name: str) -> object:
        match module, name:
            case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):
                return PickledArray
            case "numpy", "ndarray":
                return None  # the first argument of the former
            case "numpy", "dtype":
                return PickledKind
            case _:
                return super().find_class(module, name)


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
    return _load(_Plain(_Content(content)), path)


def load_arrays(content: bytes, source: Path) -> object:
    """The same and NumPy arrays (as `PickledArray`), from a pickle of Python 2 or 3; its texts are bytes.

    Raises:
        UserError: the content of `source` is damaged, or holds anything else, which could be code.
    """
    return _load(_Arrays(_Content(content), encoding="bytes"), source)


def _load(unpickler: _Plain, source: Path) -> object:
    try:
        return unpickler.load()
    except _RefusedError as error:
        raise UserError(
            f"{source} holds {error}, which may be code, and is not read: get the file from its official address."
        ) from error
    except _BROKEN as error:
        reason = "an unknown instruction" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise UserError(
            f"{source} is no readable pickle ({reason}): get the file from its official address."
        ) from error
