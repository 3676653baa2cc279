"""Writing files so that nothing is ever half-written, nor by two processes at once."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from negreplay.errors import NotThereError, UserError

_UNFINISHED = re.compile(r"\..+\.negreplay-(\d+|new|old)")
"""Names of files that a writer has not finished; nobody else gives such names."""


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file in one piece: whoever reads it, also after a kill, finds the old content or the new.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.negreplay-{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)  # no more: a folder that was moved away is not made again
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a file may otherwise take its name before the disk has its content
        unfinished.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_beside(path: Path, before: Path, content: bytes) -> None:
    """Writes the file in one piece; the content that it had becomes that of the file `before`.

    The new content is on the disk before the old one moves, so that a full disk takes neither of the two away.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    new, old = (path.with_name(f".{path.name}.negreplay-{which}") for which in ("new", "old"))
    write_whole(new, content)
    if path.exists():
        old.unlink(missing_ok=True)
        try:
            os.link(path, old)
            old.replace(before)
        except OSError:  # a file system without hard links
            write_whole(before, path.read_bytes())
    new.replace(path)


def append(path: Path, content: bytes) -> None:
    """Adds to the end of a file, which a kill may leave with a part of it.

    Raises:
        UserError: the disk is full, or the file cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written ({error.strerror}): free some space, or choose a folder that can be written."
    )


def remove_unfinished(folder: Path) -> None:
    """Removes what writers that were killed left in a folder; nobody may be writing there."""
    for path in folder.glob(".*.negreplay-*"):
        if _UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def lock(file: FileIO) -> None:
    """Locks a file until it is closed, or its process dies; raises OSError where another process has locked it.

    Windows, where this does nothing, deletes and replaces no file that is open.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone(path: Path, busy: str) -> Iterator[FileIO]:
    """Within, no other process is in such a block for the same lock file, which is made and never replaced.

    Raises:
        UserError: another one is (`busy` is the sentence), or the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a")
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written ({error.strerror}): choose a folder that can be written."
        ) from error
    with file:
        try:
            lock(file)
        except BlockingIOError as error:
            raise UserError(busy) from error
        if not is_at(file, path):  # whoever had locked it has removed it meanwhile
            raise UserError(busy)
        yield file


def is_at(file: FileIO, path: Path) -> bool:
    """Whether a path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def find(name: str, place: Path, what: str, endings: tuple[str, ...] = ()) -> Path:
    """The file or folder called `name` (or that with one of these endings) in `place`, or `place` if it is a file.

    Args:
        name: as a study gives it.
        place: where it should be.
        what: it is, for the sentence, in the plural.
        endings: of files that may stand for it, such as `.zip`.

    Raises:
        NotThereError: it is not there.
    """
    options = [place / name, *(place / f"{name}{ending}" for ending in endings)]
    for option in [place, *options] if place.is_file() else options:
        if option.exists():
            return option
    where = place if place.is_dir() else f"{place}, which is no folder"
    raise NotThereError(f"the {what} {name!r} are not in {where}: put {' or '.join(o.name for o in options)} there.")
