"""Files of rows with a checksum each: the blocks of the store of latents.

A block is a `.npy` file of records, each of which is a latent and its CRC-32. While it is written it has another name;
what a killed writer leaves is gone on with, for the checksums tell which of its rows are whole.
"""

import math
import re
import secrets
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt32

from negreplay.files import is_at, lock

BLOCK_ROWS = 65_536
"""Rows of a block at most."""
BLOCK_BYTES = 2**30
"""Bytes of the latents of a block at most."""

_PARTIAL = re.compile(r".+\.block-\d{5,}\.[0-9a-f]{8}\.partial")
"""Names of blocks that are being written; nobody else gives such names."""

Records = np.ndarray
"""An array of records (see `record`): latents and their checksums, as they lie in a file."""


def rows_of_block(shape: Sequence[int]) -> int:
    """How many latents of this shape a block has: a power of two, so that minibatches do not cross its ends."""
    fitting = max(1, BLOCK_BYTES // (4 * math.prod(shape)))
    return min(BLOCK_ROWS, 2 ** (fitting.bit_length() - 1))


def record(shape: Sequence[int]) -> np.dtype[np.void]:
    """How a latent and its checksum lie in a file."""
    return np.dtype([("latent", "<f4", tuple(shape)), ("crc32", "<u4")])


def checksums(latents: Float32[np.ndarray, "k *shape"], rows: Sequence[int], seed: int) -> UInt32[np.ndarray, " k"]:
    """The CRC-32 of each latent, begun with its row, so that a latent in another place is none of this one.

    Args:
        latents: contiguous, at least one.
        rows: their rows in the data set.
        seed: a number that stands for the front, the data set and the shape.
    """
    content, size = latents.data.cast("B"), latents[0].nbytes
    sums = (zlib.crc32(content[i * size : (i + 1) * size], (seed + row) % 2**32) for i, row in enumerate(rows))
    return np.fromiter(sums, np.uint32, len(rows))


def read_block(path: Path) -> Records | None:
    """The memory map of a block, or None if there is none, or if it is cut off or has another header."""
    try:
        records: Any = np.lib.format.open_memmap(path, mode="r")
        whole = path.stat().st_size == records.offset + records.nbytes
    except (OSError, ValueError, EOFError, TypeError, OverflowError, SyntaxError, TokenError):  # a damaged header
        return None
    if not whole or records.ndim != 1 or records.dtype.names != ("latent", "crc32"):
        return None
    shape = records.dtype["latent"].shape
    return records.view(np.ndarray) if shape and records.dtype == record(shape) else None


@dataclass(frozen=True)
class Block:
    """Some rows of a data set, from `first` on, and the file that has, or will have, their latents."""

    path: Path
    first: int
    count: int
    shape: tuple[int, ...]
    seed: int

    @property
    def size(self) -> int:
        """Bytes of its records."""
        return self.count * record(self.shape).itemsize

    def read(self) -> Records | None:
        """Its memory map, or None if it is not (or not properly) stored; checksums are not looked at."""
        records = read_block(self.path)
        return records if records is not None and records.dtype["latent"].shape == self.shape else None

    def begin(self, file: FileIO) -> None:
        """Writes what stands before the first record."""
        _write(file, 0, self._header)

    def has(self, file: FileIO, start: int, count: int) -> bool:
        """Whether so many records are whole in a file that is being written, from the record `start` on."""
        layout = record(self.shape)
        file.seek(len(self._header) + start * layout.itemsize)
        content = file.read(count * layout.itemsize)
        if content is None or len(content) < count * layout.itemsize:
            return False
        records = np.frombuffer(content, layout)
        sums = checksums(np.ascontiguousarray(records["latent"]), self._rows(start, count), self.seed)
        return bool((sums == records["crc32"]).all())

    def write(self, file: FileIO, start: int, latents: Float32[np.ndarray, "k *shape"]) -> None:
        """Writes latents with their checksums, from the record `start` on.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        records = np.empty(len(latents), record(self.shape))
        records["latent"] = latents
        records["crc32"] = checksums(latents, self._rows(start, len(latents)), self.seed)
        _write(file, len(self._header) + start * records.itemsize, records.tobytes())

    def _rows(self, start: int, count: int) -> range:
        return range(self.first + start, self.first + start + count)

    @property
    def _header(self) -> bytes:
        header, layout = BytesIO(), np.lib.format.dtype_to_descr(record(self.shape))
        description: dict[str, Any] = {"descr": layout, "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(header, description)
        return header.getvalue()

    def claim(self) -> tuple[FileIO, Path]:
        """A file to write to that nobody else writes to, and its path: what a killed writer has left, or a new one.

        Raises:
            OSError: the folder cannot be written.
        """
        for partial, file in self._abandoned():
            return file, partial
        while True:
            partial = self.partial()
            file = FileIO(partial, "x+")
            try:
                lock(file)
            except BlockingIOError:  # somebody took it for abandoned
                file.close()
                continue
            except OSError:  # a file system without locks, on which nobody takes over what is abandoned
                pass
            return file, partial

    def finish(self, partial: Path) -> None:
        """Gives a file that is written and closed its name, and removes what killed writers have left beside it."""
        partial.replace(self.path)
        for abandoned, file in self._abandoned():
            with file, suppress(OSError):
                abandoned.unlink()

    def partial(self) -> Path:
        """A new name for the block while it is not whole."""
        return self.path.with_name(f"{self.path.stem}.{secrets.token_hex(4)}.partial")

    def partials(self) -> list[Path]:
        """The files of this block that are being written, or whose writer has died."""
        paths = self.path.parent.glob(f"{self.path.stem}.*.partial")
        return sorted(path for path in paths if _PARTIAL.fullmatch(path.name))

    def _abandoned(self) -> Iterator[tuple[Path, FileIO]]:
        """Those whose writer has died, for the system released its lock; open, and locked by us."""
        for partial in self.partials() if sys.platform != "win32" else ():  # where nothing is locked
            with suppress(OSError):
                file = FileIO(partial, "r+")
                try:
                    lock(file)
                except OSError:
                    file.close()
                    continue
                if is_at(file, partial):  # its writer may have finished it meanwhile
                    yield partial, file
                else:
                    file.close()


def _write(file: FileIO, place: int, content: bytes) -> None:
    """Writes all of it, unbuffered: a full disk is noticed here, not when the file is closed."""
    file.seek(place)
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
