"""Images in shards: tar files in WebDataset's convention, read in place and never unpacked.

A sample is all files that follow one another and have the same name up to its first dot: an image, and its class as
`.cls` or `.txt`, or under `label`, `cls` or `class` in a `.json`. What is no regular file is not followed.
"""

import json
import os
import re
import tarfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Int64

from negreplay.data.containers import is_hidden
from negreplay.data.screening import SUFFIXES, LeftOut
from negreplay.errors import UserError

_SAMPLE = re.compile(r"((?:.*/|)[^.]+)\.([^/]*)")
_META = re.compile(r"__[^/]*__($|/)")
_LARGEST_HEADER = 2**20
_LARGEST_LABEL = 2**20
_HEAD, _TAIL = 2048, 512
"""Bytes at the beginning and at the end of an image that stand for its content."""


class Sample(NamedTuple):
    """An image in a shard: its name, where its bytes lie, some of them, and the name of its class."""

    name: str
    start: int
    size: int
    excerpt: bytes
    label: str


@dataclass(frozen=True)
class Texts(Sequence[str]):
    """Many short texts in little memory."""

    content: bytes
    ends: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = range(len(self))[index]
        start = int(self.ends[place - 1]) if place else 0
        return os.fsdecode(self.content[start : int(self.ends[place])])


def samples(shard: Path, left_out: list[LeftOut]) -> Iterator[Sample]:
    """The labelled images of a shard, in their order; files that are not used are added to `left_out`.

    Raises:
        UserError: the shard is damaged or cut off, or a sample has no class, two images, or a file twice.
    """
    key, files = "", dict[str, tarfile.TarInfo]()
    try:
        with FileIO(shard) as content:
            for member, sample, ending in _files(shard, left_out):
                if sample != key:
                    yield from _sample(shard, content, key, files, left_out)
                    key, files = sample, {}
                if ending in files:
                    raise UserError(
                        f"{shard} holds {member.name} twice in a sample: make it again, with each file once."
                    )
                files[ending] = member
            yield from _sample(shard, content, key, files, left_out)
    except (OSError, tarfile.TarError, ValueError) as error:
        raise UserError(f"{shard} cannot be read ({error}): copy it again.") from error


class _Headers(FileIO):
    """A tar of which headers are read, which may claim any length."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _LARGEST_HEADER:
            raise OSError(f"a header of {size} bytes")
        return super().read(size) or b""


def _files(shard: Path, left_out: list[LeftOut]) -> Iterator[tuple[tarfile.TarInfo, str, str]]:
    """The regular files of a tar, with the name of their sample and their ending in small letters."""
    with _Headers(shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue] - it would remember all
            parts = _SAMPLE.fullmatch(member.name)
            if member.isdir() or _META.match(member.name) or is_hidden(member.name.removeprefix("./")):
                continue
            if not member.isreg() or member.issparse():
                left_out.append(LeftOut(f"{shard.name}/{member.name}", "it is no regular file"))
            elif parts is None:
                left_out.append(LeftOut(f"{shard.name}/{member.name}", "its name has no ending"))
            else:
                yield member, parts[1], parts[2].lower()
        file.seek(tar.offset)  # pyright: ignore[reportAttributeAccessIssue] - where the next header would be
        end = file.read(tarfile.BLOCKSIZE)
        if len(end) < tarfile.BLOCKSIZE or any(end):  # tarfile takes a damaged header for the end
            raise OSError("it has no end" if not any(end) else f"a damaged header at byte {tar.offset}")  # pyright: ignore[reportAttributeAccessIssue]


def _sample(
    shard: Path, content: FileIO, key: str, files: dict[str, tarfile.TarInfo], left_out: list[LeftOut]
) -> Iterator[Sample]:
    images = [ending for ending in files if f".{ending}" in SUFFIXES]
    if len(images) > 1:
        raise UserError(f"{shard}: sample {key!r} has several images ({', '.join(images)}): leave one of them.")
    if not images:
        left_out += [LeftOut(f"{shard.name}/{member.name}", "its sample has no image") for member in files.values()]
        return
    image = files[images[0]]
    start, size = image.offset_data, image.size
    excerpt = _read(content, start, min(size, _HEAD)) + _read(content, start + max(size - _TAIL, 0), min(size, _TAIL))
    yield Sample(image.name, start, size, excerpt, _label(shard, content, key, files))


def _label(shard: Path, content: FileIO, key: str, files: dict[str, tarfile.TarInfo]) -> str:
    ending = next((ending for ending in ("cls", "json", "txt") if ending in files), None)
    label = None
    if ending is not None:
        member = files[ending]
        if member.size > _LARGEST_LABEL:
            raise UserError(f"{shard}: {member.name} has {member.size} bytes: give it the name of a class.")
        text = _read(content, member.offset_data, member.size).decode("utf-8-sig")
        label = _in_json(shard, member.name, text) if ending == "json" else text.strip()
    if not label:
        raise UserError(
            f"{shard}: sample {key!r} has no class: give it one in {key}.cls or {key}.txt, or as label in {key}.json."
        )
    return unicodedata.normalize("NFC", label)


def _in_json(shard: Path, name: str, text: str) -> str:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shard}: {name} is no JSON ({error}): write it again.") from error
    labels = [values[of] for of in ("label", "cls", "class") if of in values] if isinstance(values, dict) else []
    return str(labels[0]).strip() if labels and type(labels[0]) in (str, int) else ""


def _read(content: FileIO, start: int, size: int) -> bytes:
    content.seek(start)
    read = content.read(size) or b""
    if len(read) < size:
        raise OSError("it is cut off")
    return read
