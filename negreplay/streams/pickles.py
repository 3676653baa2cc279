"""Pickles from elsewhere, read without running anything that they hold."""

import pickle
from io import BytesIO
from pathlib import Path
from typing import Never

from negreplay.errors import UserError

# What a damaged pickle makes the standard library raise.
_BROKEN = (
    *(pickle.UnpicklingError, ValueError, EOFError, LookupError),
    *(TypeError, AttributeError, MemoryError, OverflowError, RecursionError),
)


class _RefusedError(Exception):
    """A pickle asked for a name of some module: a class or a function, which may do anything."""


class _Plain(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Never:
        raise _RefusedError(f"{module_name}.{global_name}")


def load_plain(path: Path) -> object:
    """The lists, dictionaries, texts and numbers that a pickle holds (of Python 2 too).

    Raises:
        UserError: the file is missing or damaged, or holds anything else, which could be code.
    """
    try:
        return _Plain(BytesIO(path.read_bytes())).load()
    except _RefusedError as error:
        raise UserError(
            f"{path} holds {error}, which may be code, and is not read: get the file from its official address."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): get the file from its official address.") from error
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} is no readable pickle ({reason}): get the file from its official address.") from error
