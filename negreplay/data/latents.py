"""The store of encoded latents: what a blocked front makes of an image is computed once and kept on disk.

A pretrained front that never learns gives every image one latent. Latents are kept as rows of memory-mapped files,
blocks that are named by the front and the data set, and shared by epochs, experiences, arms, seeds, ranks and the
evaluation. Each row has a checksum, which is compared when a process reads the row for the first time.
"""

import errno
import math
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt32
from torch import Tensor

from negreplay.data.blocks import Block, checksums, read_block, rows_of_block
from negreplay.data.data import Data
from negreplay.errors import UserError
from negreplay.ranks import present

Encode = Callable[[Float[Tensor, "k *image"]], Float[Tensor, "k *latent"]]


@dataclass(frozen=True)
class StoredLatents:
    """The latents of a data set, a data set themselves, read from disk by row.

    Maps lie there, and are read, channels last: the memory format in which convolutions are fastest. Tokens and plain
    features have their channels last anyway. `checked` are the rows that this process has compared with their
    checksums.
    """

    blocks: tuple[Block, ...]
    latents: tuple[Float32[np.ndarray, "_rows *place channels"], ...]
    checksums: tuple[UInt32[np.ndarray, " _rows"], ...]
    checked: Bool[np.ndarray, " n"]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str
    encoded: bool = True
    augmented: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a latent as it lies on disk, channels last."""
        return self.blocks[0].shape

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *latent"]:
        """The latents of these rows.

        Raises:
            UserError: one of them is not as it was written.
        """
        places = rows.numpy()
        latents = self._gathered(self.latents, places)
        new = np.flatnonzero(~self.checked[places])
        if len(new):
            self._check(places[new], latents if len(new) == len(places) else latents[new])
        x = torch.from_numpy(latents)
        return x.movedim(-1, 1) if x.dim() == 4 else x

    def _gathered(self, blocks: tuple[np.ndarray, ...], places: Int[np.ndarray, " k"]) -> np.ndarray:
        if len(blocks) == 1:  # NumPy gathers rows of a memory map many times faster than torch does
            return blocks[0][places]
        block, row = np.divmod(places, self.blocks[0].count)
        gathered = np.empty((len(places), *blocks[0].shape[1:]), blocks[0].dtype)
        for place, (b, r) in enumerate(zip(block.tolist(), row.tolist(), strict=True)):
            gathered[place] = blocks[b][r]
        return gathered

    def _check(self, places: Int[np.ndarray, " k"], latents: Float32[np.ndarray, "k *shape"]) -> None:
        right = checksums(latents, places.tolist(), self.blocks[0].seed) == self._gathered(self.checksums, places)
        if not right.all():
            row = int(places[~right].min())
            raise _damaged(self.blocks[row // self.blocks[0].count], row)
        self.checked[places] = True


class LatentStore:
    """A folder with files of latents for every pair of a front and a data set.

    A file gets its name when it is complete. What an interrupted or killed run was writing is gone on with by the next
    one that needs it. Runs that encode the same data at once do not disturb one another.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, data: Data, front: str) -> StoredLatents | None:
        """The latents of `data`, or None if not all of them are (properly) stored.

        Args:
            data: the images.
            front: the fingerprint of the front's weights and shape.
        """
        first = read_block(self._path(data, front, 0))
        if first is None:
            return None
        blocks = self._blocks(data, front, first.dtype["latent"].shape)
        records = [block.read() for block in blocks]
        whole = [of for of, block in zip(records, blocks, strict=True) if of is not None and len(of) == block.count]
        if len(whole) < len(blocks):
            return None
        status = [block.path.stat() for block in blocks]
        return StoredLatents(
            tuple(blocks),
            tuple(of["latent"] for of in whole),
            tuple(of["crc32"] for of in whole),
            _checked(tuple((of.st_dev, of.st_ino, of.st_mtime_ns) for of in status), len(data.labels)),
            data.labels,
            data.names,
            f"{front}-{data.fingerprint}",
        )

    def encode(
        self, data: Data, encode: Encode, front: str, batch: int = 128
    ) -> Generator[tuple[int, int], None, StoredLatents]:
        """Encodes and stores what is not stored of `data`; yields (images done, images) after every batch.

        Several ranks share the work.

        The generator returns the latents: `latents = yield from store.encode(...)`.

        Args:
            data: the images.
            encode: the front, in evaluation mode.
            front: the fingerprint of the front's weights and shape.
            batch: images encoded at a time.

        Raises:
            UserError: the folder cannot be written, or has too little space.
        """
        ranks = present()
        yield from self.encode_share(data, encode, front, (ranks.rank, ranks.count), batch)
        if ranks.count > 1:
            ranks.total(0)  # what the others have encoded is stored now
            yield from self.encode_share(data, encode, front, (0, 1), batch)  # for a rank that does not see their files
        stored = self.open(data, front)
        assert stored is not None, f"the latents in {self.folder} were just written"
        return stored

    def encode_share(
        self, data: Data, encode: Encode, front: str, share: tuple[int, int], batch: int = 128
    ) -> Generator[tuple[int, int], None, None]:
        """Encodes and stores what is not stored of one rank's share, as `encode` does of all.

        Rank r of R encodes the blocks r, r + R, and so on. Ranks may write into one folder that all of them see, or
        each into its own: the files of all of them, copied into one folder, are the store.

        Args:
            data: the images.
            encode: the front, in evaluation mode.
            front: the fingerprint of the front's weights and shape.
            share: the rank, from 0, and how many there are.
            batch: images encoded at a time.

        Raises:
            UserError: the folder cannot be written, or has too little space.
        """
        rank, ranks = share
        if not 0 <= rank < ranks:
            raise UserError(
                f"share is {share}: give a rank from 0 to {max(ranks, 1) - 1}, and how many ranks there are."
            )
        shape = _latents(data, encode, torch.arange(1)).shape[1:]
        blocks = self._blocks(data, front, shape)[rank::ranks]
        missing = [block for block in blocks if not _is_whole(block)]
        if not missing:
            return
        self._tell_of_earlier_version(data, front)
        needed, total = sum(block.size for block in missing), sum(block.count for block in blocks)
        with _explained(self.folder, needed):
            self._check_room(missing, needed)
        done = total - sum(block.count for block in missing)
        for block in missing:
            if not _is_whole(block):  # another run may have encoded it meanwhile
                with _explained(self.folder, needed):
                    for encoded in _encoded(block, data, encode, batch):
                        yield done + encoded, total
            done += block.count

    def _blocks(self, data: Data, front: str, shape: tuple[int, ...]) -> list[Block]:
        images, rows = len(data.labels), rows_of_block(shape)
        seed = zlib.crc32(f"{front}-{data.fingerprint} {shape}".encode())
        return [
            Block(self._path(data, front, first // rows), first, min(rows, images - first), shape, seed)
            for first in range(0, images, rows)
        ]

    def _path(self, data: Data, front: str, block: int) -> Path:
        return self.folder / f"{front}-{data.fingerprint}.block-{block:05d}.npy"

    def _check_room(self, blocks: list[Block], needed: int) -> None:
        """Raises OSError where the folder has no room for blocks, beside what is there of them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        there = sum(max(path.stat().st_size for path in block.partials()) for block in blocks if block.partials())
        if shutil.disk_usage(self.folder).free < needed - there:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _tell_of_earlier_version(self, data: Data, front: str) -> None:
        path = self.folder / f"{front}-{data.fingerprint}.channels-last.npy"
        if path.exists():
            print(
                f"negreplay: {path} was written by an earlier version, without checksums, so its images are encoded "
                "anew; this version does not read it, and it can be deleted.",
                file=sys.stderr,
            )


@lru_cache(maxsize=64)
def _checked(files: tuple[tuple[int, int, int], ...], rows: int) -> Bool[np.ndarray, " rows"]:
    """Which rows of these files this process has compared with their checksums: one array for all who open them."""
    return np.zeros(rows, dtype=bool)


def _is_whole(block: Block) -> bool:
    records = block.read()
    return records is not None and len(records) == block.count


def _encoded(block: Block, data: Data, encode: Encode, batch: int) -> Iterator[int]:
    """Writes a block, and yields how many of its images are done after each batch that was encoded."""
    file, partial = block.claim()
    try:
        with file:
            block.begin(file)
            for start in range(0, block.count, batch):
                count = min(batch, block.count - start)
                if not block.has(file, start, count):
                    first = block.first + start
                    block.write(file, start, _latents(data, encode, torch.arange(first, first + count)))
                    yield start + count
            os.fsync(file.fileno())  # the file may otherwise take its name before the disk has its content
        block.finish(partial)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def _latents(data: Data, encode: Encode, rows: Int[Tensor, " k"]) -> Float32[np.ndarray, "k *place channels"]:
    with torch.no_grad():
        latents = encode(data.read(rows)).float().cpu()
        return (latents.movedim(1, -1) if latents.dim() == 4 else latents).contiguous().numpy()


def _damaged(block: Block, row: int) -> UserError:
    """The block loses its name, so that the next run encodes anew what is damaged of it, and nothing else."""
    what = f"{block.path} is damaged, for the latent of image {row} is not as it was written"
    try:
        block.path.replace(block.partial())
    except FileNotFoundError:
        pass  # another process has done the same
    except OSError:
        return UserError(f"{what}: delete this file and resume the run, which encodes its images again.")
    return UserError(f"{what}: resume the run, which encodes what is damaged again.")


@contextmanager
def _explained(folder: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot hold the latents, which need {math.ceil(needed / 1e6)} MB ({error.strerror}): "
            "make room there, or start a run that stores them elsewhere."
        ) from error
