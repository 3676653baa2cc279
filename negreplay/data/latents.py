"""The store of encoded latents: what a blocked front makes of an image is computed once and kept on disk.

A pretrained front that never learns gives every image one latent. It is kept as a row of a memory-mapped `.npy` file
named by the front and the data set, and shared by epochs, experiences, arms, seeds and the evaluation.
"""

import errno
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from negreplay.data.data import Data
from negreplay.errors import UserError
from negreplay.files import lock

Encode = Callable[[Float[Tensor, "k *image"]], Float[Tensor, "k *latent"]]

_TEMPORARY = re.compile(r".+\.channels-last\.[0-9a-f]{8}\.tmp")
"""Names of files that are being written; nobody else gives such names."""

# A writer has its file for an instant before it holds the lock on it.
_YOUNG_SECONDS = 60.0


@dataclass(frozen=True)
class StoredLatents:
    """The latents of a data set, a data set themselves, read from disk by row.

    Maps lie there, and are read, channels last: the memory format in which convolutions are fastest. Tokens and plain
    features have their channels last anyway.
    """

    latents: Float32[np.ndarray, "n *place channels"]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str
    encoded: bool = True
    augmented: bool = False

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *latent"]:
        # NumPy gathers rows of a memory map many times faster than torch does, and the copy owns its memory.
        latents = torch.from_numpy(self.latents[rows.numpy()])
        return latents.movedim(-1, 1) if latents.dim() == 4 else latents


class LatentStore:
    """A folder with one file of latents for every pair of a front and a data set.

    A file gets its name when it is complete, so an interrupted run leaves nothing that looks like a store; what a
    killed one was writing is removed by the next. Runs that encode the same data at once do not disturb one another.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, data: Data, front: str) -> StoredLatents | None:
        """The latents of `data`, or None if they are not (or not properly) stored.

        Args:
            data: the images.
            front: the fingerprint of the front's weights and shape.
        """
        path = self._path(data, front)
        try:
            latents = np.lib.format.open_memmap(path, mode="r")
            whole = path.stat().st_size == latents.offset + latents.nbytes
        except (OSError, ValueError, EOFError, TypeError, OverflowError, SyntaxError, TokenError):  # a damaged header
            return None
        usable = latents.dtype == np.float32 and latents.flags.c_contiguous
        if not (whole and usable and latents.ndim > 1 and len(latents) == len(data.labels)):
            return None
        return StoredLatents(latents, data.labels, data.names, f"{front}-{data.fingerprint}")

    def encode(
        self,
        data: Data,
        encode: Encode,
        front: str,
        batch: int = 128,
    ) -> Generator[tuple[int, int], None, StoredLatents]:
        """Encodes and stores all of `data`, unless it is stored; yields (images done, images) after every batch.

        The generator returns the latents: `latents = yield from store.encode(...)`.

        Args:
            data: the images.
            encode: the front, in evaluation mode.
            front: the fingerprint of the front's weights and shape.
            batch: images encoded at a time.

        Raises:
            UserError: the folder cannot be written, or has too little space.
        """
        stored = self.open(data, front)
        if stored is not None and stored.latents.shape[1:] == _latents(data, encode, torch.arange(1)).shape[1:]:
            return stored
        path = self._path(data, front)
        temporary = path.with_name(f"{path.stem}.{secrets.token_hex(4)}.tmp")
        try:
            yield from _write(temporary, data, encode, batch)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()
        stored = self.open(data, front)
        assert stored is not None, f"{path} was just written"
        return stored

    def _path(self, data: Data, front: str) -> Path:
        return self.folder / f"{front}-{data.fingerprint}.channels-last.npy"


def _write(temporary: Path, data: Data, encode: Encode, batch: int) -> Generator[tuple[int, int], None, None]:
    chunks, done, total = torch.arange(len(data.labels)).split(batch), 0, len(data.labels)
    latents = _latents(data, encode, chunks[0])
    shape = (total, *latents.shape[1:])
    needed = math.prod(shape) * latents.itemsize
    with _explained(temporary.parent, needed):
        file = _create(temporary, needed)
    with file:
        for chunk in chunks:
            latents = latents if done == 0 else _latents(data, encode, chunk)
            with _explained(temporary.parent, needed):
                _append(file, b"" if done else _header(shape))
                _append(file, latents.data)
            done += len(chunk)
            yield done, total
        with _explained(temporary.parent, needed):
            os.fsync(file.fileno())  # the file may otherwise take its name before the disk has its content


def _latents(data: Data, encode: Encode, rows: Int[Tensor, " k"]) -> Float32[np.ndarray, "k *place channels"]:
    with torch.no_grad():
        latents = encode(data.read(rows)).float().cpu()
        return (latents.movedim(1, -1) if latents.dim() == 4 else latents).contiguous().numpy()


@contextmanager
def _explained(folder: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot hold the latents, which need {math.ceil(needed / 1e6)} MB ({error.strerror}): "
            "make room there, or start a run that stores them elsewhere."
        ) from error


def _create(temporary: Path, needed: int) -> FileIO:
    """A new file to write to, locked while it is open, in a folder with room for it."""
    folder = temporary.parent
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            _remove_abandoned(path)
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    file = FileIO(temporary, "x")
    lock(file)
    return file


def _remove_abandoned(path: Path) -> None:
    """Removes a temporary file whose writer has died: the system released its lock."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _YOUNG_SECONDS:
            with FileIO(path, "r+") as file:
                lock(file)
            path.unlink(missing_ok=True)


def _header(shape: tuple[int, ...]) -> bytes:
    header = BytesIO()
    description = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def _append(file: FileIO, content: bytes | memoryview) -> None:
    """Writes all of it, unbuffered: a full disk is found here, not when the file is closed."""
    left = memoryview(content).cast("B")
    while left:
        left = left[file.write(left) :]
