"""Files in a folder or a zip, listed in the order of their paths; a zip is read in place, never unpacked."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from negreplay.errors import UserError


class Member(NamedTuple):
    """A file, or a folder where `path` ends with a slash; `stamp` changes with the content."""

    path: str
    size: int
    stamp: int


@dataclass(frozen=True)
class Folder:
    """Files of a folder."""

    path: Path

    def members(self, depth: int) -> list[Member]:
        """What lies in it, down to so many folders below."""
        return list(_scan(self.path, "", depth))

    def read(self, member: str) -> bytes:
        return (self.path / member).read_bytes()


class Zip:
    """A zip that each process opens for itself: a forked one must not share its parent's place in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process, self._archive = os.getpid(), zipfile.ZipFile(path)

    def __reduce__(self) -> "tuple[type[Zip], tuple[Path]]":
        return Zip, (self.path,)

    def members(self) -> list[Member]:
        """All that it holds."""
        return [Member(info.filename, info.file_size, info.CRC) for info in self._archive.infolist()]

    def read(self, member: str) -> bytes:
        if self._process != os.getpid():
            self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()
        return self._archive.read(member)


Files = Folder | Zip


def listing(path: Path, depth: int = 3) -> tuple[Files, list[Member]]:
    """What is in a folder (down to `depth` folders below it) or a zip, sorted, without what is hidden.

    Raises:
        UserError: `path` is missing, is neither a folder nor a zip, or cannot be read.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the path of a folder or zip of images.")
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is neither a folder nor a zip: give a folder or a zip of images.")
    try:
        if path.is_dir():
            files = Folder(path)
            members = files.members(depth)
        else:
            files = Zip(path)
            members = files.members()
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}): check its permissions, or copy it again.") from error
    return files, sorted(member for member in members if not _hidden(member.path))


def _scan(folder: Path, prefix: str, depth: int) -> Iterator[Member]:
    with os.scandir(folder) as entries:
        for entry in entries:
            inside = prefix + entry.name
            if entry.is_dir() and not _hidden(inside):
                yield Member(f"{inside}/", 0, 0)
                if depth:
                    yield from _scan(folder / entry.name, f"{inside}/", depth - 1)
            elif entry.is_file():
                stat = entry.stat()
                yield Member(inside, stat.st_size, stat.st_mtime_ns)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
