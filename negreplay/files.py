"""Writing files so that nothing is ever half-written."""

import os
from contextlib import suppress
from pathlib import Path

from negreplay.errors import UserError


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file in one piece: whoever reads it, also after a kill, finds the old content or the new.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a file may otherwise take its name before the disk has its content
        unfinished.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): free some space, or choose a folder that can be written."
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what writers that were killed left in a folder; nobody may be writing there."""
    for path in folder.glob(".*.*"):
        if path.suffix[1:].isdigit():
            path.unlink(missing_ok=True)
