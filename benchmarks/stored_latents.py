"""What reading stored latents takes, beside a memory map of the same numbers without checksums.

    python benchmarks/stored_latents.py

Read are 256 rows drawn at random, from files that the system remembers. Printed are the medians of rounds that take
turns, in milliseconds of a processor, and their ratio to the plain memory map's. "A first time" compares checksums.
"Cold" is the time that passes where the system was asked to forget the file, which the disk then reads.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
import tyro

from negreplay.data import blocks
from negreplay.data.data import Tensors
from negreplay.data.latents import LatentStore, StoredLatents
from negreplay.slow_paths import avoid_slow_paths

ROWS, ROUNDS = 256, 200


def main(folder: Path = Path("/tmp"), megabytes: int = 400) -> None:
    """Prints a table.

    Args:
        folder: where the latents are stored for a while.
        megabytes: how much of each kind.
    """
    avoid_slow_paths()
    print("| latents | plain map | one block | eight blocks | one block, a first time | plain map, cold |")
    print("| --- | --- | --- | --- | --- | --- |")
    for shape in ((512,), (128, 8, 8)):
        images = 2 ** int(math.log2(megabytes * 1e6 / (4 * math.prod(shape))))
        with tempfile.TemporaryDirectory(dir=folder) as place:
            medians = compare(Path(place), shape, images)
        plain = medians[0]
        cells = [f"{1000 * seconds:.2f} ms ({seconds / plain:.2f})" for seconds in medians]
        print(f"| {' x '.join(map(str, shape))} | {' | '.join(cells)} |", flush=True)


def compare(place: Path, shape: tuple[int, ...], images: int) -> list[float]:
    """The medians of seconds: of a plain memory map, of one block, of eight, of rows never checked, and cold."""
    one, eight = (stored(place / str(count), shape, images, images // count) for count in (1, 8))
    plain = np.lib.format.open_memmap(place / "plain.npy", mode="w+", dtype=np.float32, shape=(images, *one.shape))
    for rows in torch.arange(images).split(1024):
        plain[rows.numpy()] = one.latents[0][0]
    plain.flush()
    del plain
    rng = torch.Generator().manual_seed(0)
    cold = median(read_cold(place / "plain.npy", torch.randint(images, (ROWS,), generator=rng)) for _ in range(20))
    plain = np.lib.format.open_memmap(place / "plain.npy", mode="r")

    def anew(rows: torch.Tensor) -> None:
        one.checked[rows.numpy()] = False
        one.read(rows)

    ways: list[Callable[[torch.Tensor], object]] = [
        lambda rows: torch.from_numpy(plain[rows.numpy()]),
        one.read,
        eight.read,
        anew,
    ]
    for of in (one, eight):
        for rows in torch.arange(images).split(1024):
            of.read(rows)
            np.array(plain[rows.numpy()])
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, taken in zip(ways, seconds, strict=True):
            rows = torch.randint(images, (ROWS,), generator=rng)
            begun = time.thread_time()
            way(rows)
            taken.append(time.thread_time() - begun)
    return [*(median(taken) for taken in seconds), cold]


def read_cold(path: Path, rows: torch.Tensor) -> float:
    """Seconds to read rows of a plain memory map that the system was asked to forget."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begun = time.perf_counter()
    torch.from_numpy(np.lib.format.open_memmap(path, mode="r")[rows.numpy()])
    return time.perf_counter() - begun


def stored(folder: Path, shape: tuple[int, ...], images: int, rows: int) -> StoredLatents:
    """Latents in blocks of so many rows."""
    blocks.BLOCK_ROWS, blocks.BLOCK_BYTES = rows, 2**40
    data = Tensors(torch.empty(images, 1), torch.zeros(images, dtype=torch.long), ("any",), "data")
    encoding = LatentStore(folder).encode(data, lambda x: torch.randn(len(x), *shape), "front", batch=1024)
    while True:
        try:
            next(encoding)
        except StopIteration as end:
            return end.value


if __name__ == "__main__":
    tyro.cli(main)
