"""Files from the network: continued where an earlier attempt ended, checked, and never half-written."""

import hashlib
import http.client
import lzma
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from negreplay.errors import UserError

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60.0
_STALLS = 5
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416
_AGAIN = "move it away and run the same command again, which gets it anew."


class Advance(NamedTuple):
    """How far a task has come; `total` is None as long as nobody knows."""

    task: str
    done: int
    total: int | None
    unit: Literal["bytes", "images"]


class _CutError(Exception):
    """A connection that failed or ended early."""


def fetch(url: str, path: Path, md5: str | None = None) -> Generator[Advance, None, None]:
    """Downloads a file to `path`, which gets its name when it is whole; what there is of it already is kept.

    An attempt that is cut is followed by another one as long as each brings something, and as the server has not been
    silent for a minute five times. What has come until then lies beside `path`, and the next call continues there.

    Args:
        url: its address.
        path: the file.
        md5: its checksum, where one is known.

    Raises:
        UserError: the address cannot be reached or has no such file, the connection is cut again and again, the
            checksum is wrong, or the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    _writable(path.parent)
    reached, whole, stalled = -1, False, 0
    while not whole:
        try:
            yield from _attempt(url, part)
            whole = True
        except _CutError as cut:
            size = part.stat().st_size if part.exists() else 0
            stalled += isinstance(cut.__cause__, TimeoutError)
            if size <= reached or size == 0 or stalled == _STALLS:
                raise UserError(
                    f"{url} cannot be downloaded ({cut}): check the network and run the same command again, "
                    f"which goes on where this one stopped, or put {_own(url, path)} yourself."
                ) from cut
            reached = size
    if md5 is not None:
        yield from _check(part, md5, url, path)
    part.replace(path)


def _attempt(url: str, part: Path) -> Iterator[Advance]:
    """One request for what is missing of `part`, and for all of it where the server does not send pieces."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != _RANGE_NOT_SATISFIABLE or not start:
            raise UserError(f"{url} answers {error.code} {error.reason}: look for the file's new address.") from error
        if error.headers.get("Content-Range") != f"bytes */{start}":
            part.unlink()
            yield from _attempt(url, part)
        return
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last of an odd address that it leads to
        raise _CutError(_reason(error)) from error
    with response:
        if response.status != _PARTIAL_CONTENT:
            start = 0
        length = response.headers.get("Content-Length") or ""
        total = start + int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        _check_space(part.parent, (total or 0) - start, f"the rest of {url}")
        try:
            with part.open("ab" if start else "wb") as file:
                yield from _receive(response, file, start, total, part.name[1 : -len(".part")])
        except OSError as error:  # the network's have become cuts
            raise _disk(part, error) from error


def _receive(
    response: http.client.HTTPResponse, file: BinaryIO, start: int, total: int | None, task: str
) -> Iterator[Advance]:
    done = start
    while True:
        yield Advance(task, done, total, "bytes")
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _CutError(_reason(error)) from error
        if not chunk:
            break
        file.write(chunk)
        done += len(chunk)
    if total is not None and done < total:
        raise _CutError(f"the connection ended after {done:,} of {total:,} bytes")


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return text or type(error).__name__


def _own(url: str, path: Path) -> str:
    """What a user who has the file from elsewhere does: under its official name, no command removes it."""
    return f"{url.rsplit('/', 1)[1]} into {path.parent}"


def _check(part: Path, md5: str, url: str, path: Path) -> Iterator[Advance]:
    digest, total, done = hashlib.md5(usedforsecurity=False), part.stat().st_size, 0
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            yield Advance("checksum", done, total, "bytes")
    if digest.hexdigest() != md5:
        part.unlink()
        raise UserError(
            f"what came from {url} is not the official file (its MD5 is {digest.hexdigest()}, not {md5}) and was "
            f"removed: run the same command again, or put {_own(url, path)} yourself."
        )


def unpack(archive: Path, name: str, folder: Path) -> Generator[Advance, None, None]:
    """Unpacks one folder of a zip as `folder`, which gets its name when it is whole.

    Args:
        archive: the zip.
        name: the folder in it.
        folder: where it goes.

    Raises:
        UserError: the zip is damaged, holds no such folder, or holds paths that lead out of it; or the disk is full.
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a call that was killed
    try:
        with zipfile.ZipFile(archive) as file:
            members = _members(file, name, archive)
            _check_space(folder.parent, sum(info.file_size for info in members), f"unpacking {archive}")
            for done, info in enumerate(members, start=1):
                file.extract(info, unfinished)
                yield Advance("unpack", done, len(members), "images")
        (unfinished / name).replace(folder)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError) as error:
        raise UserError(f"{archive} cannot be unpacked ({error}): {_AGAIN}") from error
    except OSError as error:
        raise _disk(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _members(file: zipfile.ZipFile, name: str, archive: Path) -> list[zipfile.ZipInfo]:
    """What lies in a folder of a zip, once it is sure that all of it does."""
    members = [info for info in file.infolist() if info.filename.startswith(f"{name}/")]
    if not members:
        raise UserError(f"{archive} holds no folder {name}: {_AGAIN}")
    for info in members:
        if ".." in info.filename.replace("\\", "/").split("/"):
            raise UserError(f"{archive} holds {info.filename!r}, which leads out of {name}: {_AGAIN}")
    return members


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}): choose another folder.") from error


def _check_space(folder: Path, needed: int, what: str) -> None:
    """Refuses at the start what cannot end well."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} has {free / 1e9:.1f} GB free and {what} needs {needed / 1e9:.1f} GB: "
            "free some space, or choose another folder."
        )


def _disk(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written ({error.strerror}): free some space, or choose a folder that can be written."
    )
