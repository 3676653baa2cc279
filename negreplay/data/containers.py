"""Files in a folder or a zip, listed in the order of their paths; a zip is read in place, never unpacked."""

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase, FileIO
from pathlib import Path
from typing import NamedTuple

from negreplay.errors import UserError

_ENCRYPTED = 0x1
_UTF8 = 0x800
_FIRST_BYTES = b"PK\x03\x04"
LARGEST_FILE = 600_000_000
"""In bytes: the most pixels that are read have fewer, and a bomb in an archive may have any number."""
_MOST_MEMBERS = 100_000


class Member(NamedTuple):
    """A file, or a folder where `path` ends with a slash; `stamp` changes with the content."""

    path: str
    size: int
    stamp: str


def read_file(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The content of a file, of which `largest` is the most bytes.

    Raises:
        OSError: it cannot be read, is too large, or is a pipe or a device, of which a read may never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is no regular file")
    check_size(status.st_size, largest)
    return path.read_bytes()


def check_size(size: int, largest: int = LARGEST_FILE) -> None:
    """Raises an OSError where a file of so many bytes is larger than one that is read."""
    if size > largest:
        raise OSError(f"it has {size // 1_000_000} MB, and at most {largest // 1_000_000} are read")


class Bounded(BufferedIOBase):
    """A packed file, of which no more than so many bytes are unpacked."""

    def __init__(self, file: BufferedIOBase, largest: int = LARGEST_FILE) -> None:
        self.file, self.largest, self.left = file, largest, largest

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file; raises an OSError if there is more."""
        most = self.left + 1
        content = self.file.read(most if size is None or size < 0 else min(size, most))
        self.left -= len(content)
        if self.left < 0:
            raise OSError(f"it unpacks to more than {self.largest // 1_000_000} MB")
        return content


def files_of_tar(
    path: Path, wanted: Callable[[str], object], largest: int = LARGEST_FILE
) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a tar that gzip or xz has packed, with their names, in one pass.

    Raises:
        Exception: it is damaged or too large; the standard library does not limit what it raises.
    """
    packing = lzma.LZMAFile if path.suffix == ".xz" else gzip.GzipFile
    with packing(path) as packed, tarfile.open(fileobj=Bounded(packed), mode="r|") as archive:
        for number, member in enumerate(archive):
            if number == _MOST_MEMBERS:
                raise OSError(f"it holds more than {_MOST_MEMBERS} files")
            if wanted(member.name) and (member.issym() or member.islnk()):
                raise OSError(f"{member.name} is a link to {member.linkname}")
            if wanted(member.name) and (file := archive.extractfile(member)):
                check_size(member.size, largest)
                yield member.name, file.read()


def member_of(folder: Path, path: str) -> Member:
    """A file of a folder; its times stand for its content.

    Raises:
        OSError: it is not there.
    """
    status = (folder / path).stat()
    return Member(path, status.st_size, f"{status.st_mtime_ns} {status.st_ctime_ns}")


@dataclass(frozen=True)
class Folder:
    """Files of a folder."""

    path: Path

    def members(self) -> list[Member]:
        """What lies in it, at any depth, without what is hidden."""
        return list(self._scan("", frozenset()))

    def read(self, member: str) -> bytes:
        """The content of a file that can be an image.

        Raises:
            OSError: it cannot be read, is no regular file, or is too large.
        """
        return read_file(self.path / member)

    def _scan(self, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[Member]:
        """The members below `prefix`; `above` are the folders around it, into which a link may lead back."""
        status = (self.path / prefix).stat()
        identity = status.st_dev, status.st_ino
        if identity in above:
            return
        with os.scandir(self.path / prefix) as entries:
            for entry in entries:
                inside = prefix + entry.name
                if is_hidden(inside):
                    continue
                if _leads_nowhere(entry):
                    yield Member(inside, 0, "")
                elif entry.is_dir():
                    yield Member(f"{inside}/", 0, "")
                    yield from self._scan(f"{inside}/", above | {identity})
                elif entry.is_file():
                    yield member_of(self.path, inside)
                else:  # a pipe or a device, which reading refuses
                    yield Member(inside, 0, "")


class Zip:
    """A zip that each process opens for itself: a forked one must not share its parent's place in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process, self._archive = os.getpid(), zipfile.ZipFile(path)
        self._names: dict[str, str] = {}
        for info in self._archive.infolist():
            member = _path_in_zip(info)
            if is_hidden(member):
                continue
            if info.flag_bits & _ENCRYPTED:
                raise UserError(f"{path} is encrypted: make it again without a password.")
            if member in self._names and not info.is_dir():
                raise UserError(f"{path} holds {member} twice: make it again, with each file once.")
            self._names[member] = info.filename

    def __reduce__(self) -> "tuple[type[Zip], tuple[Path]]":
        return Zip, (self.path,)

    def members(self) -> list[Member]:
        """All that it holds, without what is hidden."""
        infos = ((member, self._archive.getinfo(name)) for member, name in self._names.items())
        return [Member(member, info.file_size, str(info.CRC)) for member, info in infos]

    def read(self, member: str) -> bytes:
        """The content of a file that can be an image.

        Raises:
            Exception: it is damaged or too large; zipfile does not limit what it raises.
        """
        if self._process != os.getpid():
            self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()
        check_size(self._archive.getinfo(self._names[member]).file_size)
        return self._archive.read(self._names[member])


@dataclass(frozen=True)
class Part:
    """A file that is a part of another one, as an image is of a tar."""

    path: Path
    start: int
    size: int

    def read(self, member: str) -> bytes:
        """The content of the part, whatever its name is.

        Raises:
            OSError: it cannot be read, is cut off, or is too large.
        """
        check_size(self.size)
        with FileIO(self.path) as file:
            file.seek(self.start)
            content = file.read(self.size) or b""
        if len(content) < self.size:
            raise OSError("it is cut off")
        return content


Files = Folder | Zip


def listing(path: Path) -> tuple[Files, list[Member]]:
    """What is in a folder or a zip, at any depth, sorted, without what is hidden.

    Raises:
        UserError: `path` is missing, is neither a folder nor a zip, or cannot be read.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the path of a folder or zip of images.")
    try:
        if path.is_dir():
            files: Files = Folder(path)
        elif path.is_file() and zipfile.is_zipfile(path):
            files = Zip(path)
        else:
            raise UserError(_no_zip(path))
        return files, sorted(files.members())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): check its permissions, or copy it again.") from error


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder around it, is one of those that systems keep for themselves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a broken link, or one that leads to itself, which reading refuses."""
    try:
        entry.stat()
    except OSError:
        return True
    return False


def _no_zip(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_FIRST_BYTES)) == _FIRST_BYTES:
                return f"{path} is a zip that is cut off or damaged: copy it again."
    return f"{path} is neither a folder nor a zip: give a folder or a zip of images."


def _path_in_zip(info: zipfile.ZipInfo) -> str:
    """The path with slashes, from the top of the zip.

    Some programs write backslashes, some a slash in front, and some UTF-8 without saying so.
    """
    name = info.filename
    if not info.flag_bits & _UTF8:
        with suppress(ValueError):  # of a name in the old encoding, as it claims
            name = name.encode("cp437").decode()
    return name.replace("\\", "/").lstrip("/")
