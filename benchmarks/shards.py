"""How many images a second are read from tar shards and from a folder, in the order of an epoch and in any order.

    python benchmarks/shards.py --folder /somewhere/on/the/disk

It makes shards and a folder of the same JPEG files, reads each of them, and removes them. "Cold" is after the system
was asked to forget the files; what lies below it, such as the host of a virtual machine, may remember them still.
Decoded are a few images only, for that takes a processor's time and not the disk's.
"""

import os
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from negreplay.data.containers import Part
from negreplay.data.data import View
from negreplay.data.folders import load_images
from negreplay.data.images import Images
from negreplay.data.webdataset import ShardImages, load_shards
from negreplay.recipe import ImageRecipe

BATCH, THREADS, DECODED = 128, 8, 2048


def main(images: int = 20_000, per_shard: int = 2_000, side: int = 256, folder: Path = Path("/tmp")) -> None:
    """Prints a table.

    Args:
        images: how many there are.
        per_shard: how many of them lie in a shard.
        side: width and height of each in pixels.
        folder: on the disk that is measured.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root, contents = Path(place), [jpeg(seed, side) for seed in range(200)]
        write_shards(root / "shards", contents, images, per_shard)
        write_folder(root / "folder", contents, images)
        recipe = ImageRecipe(size=128)
        forget(root)
        begun = time.process_time()
        shards, _ = load_shards(root / "shards", recipe)
        opened = time.process_time() - begun
        files, _ = load_images(root / "folder", recipe, official=True)
        size = sum(map(len, contents)) / len(contents) / 1000
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: ", end="")
        print(f"{images} images of {size:.0f} kB, {per_shard} in a shard.")
        print(f"Reading the index takes {1e6 * opened / images:.0f} us of a processor an image.\n")
        print("| images/s | read, cold | read, warm | read and decoded, cold |\n| --- | --- | --- | --- |")
        rng = torch.Generator().manual_seed(0)
        drawn, anyhow = View(shards, torch.arange(images)).order(rng).rows, torch.randperm(images, generator=rng)
        measured: list[tuple[str, Images, Int[Tensor, " n"]]] = [
            ("shards, as they lie", shards, torch.arange(images)),
            ("shards, an epoch", shards, drawn),
            ("shards, any order", shards, anyhow),
            ("folder, any order", files, anyhow),
        ]
        for name, data, rows in measured:
            rates = [rate(root, read, data, rows, cold) for cold in (True, False)]
            rates.append(rate(root, decoded, data, rows[:DECODED], cold=True))
            print(f"| {name} | {' | '.join(f'{each:,.0f}' for each in rates)} |", flush=True)


def rate(root: Path, how: Callable[[Images, Int[Tensor, " n"]], None], data: Images, rows: Tensor, cold: bool) -> float:
    """Images a second, read once in this order."""
    if cold:
        forget(root)
    begun = time.perf_counter()
    for batch in rows.split(BATCH):
        how(data, batch)
    return len(rows) / (time.perf_counter() - begun)


def read(data: Images, rows: Int[Tensor, " n"]) -> None:
    """Reads the files of a minibatch, and decodes nothing."""

    def one(row: int) -> bytes:
        if isinstance(data, ShardImages):
            return Part(data.shards[data.shard[row]], int(data.start[row]), int(data.length[row])).read("")
        return data.files.read(data.paths[row])

    list(POOL.map(one, rows.tolist()))


def decoded(data: Images, rows: Int[Tensor, " n"]) -> None:
    """Reads a minibatch as a learner does."""
    data.read(rows)


def forget(root: Path) -> None:
    """Asks the system to forget what it remembers of all files below a folder."""
    os.sync()
    for path in root.rglob("*"):
        if path.is_file():
            with path.open("rb") as file, suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def jpeg(seed: int, side: int) -> bytes:
    """A picture of coloured clouds."""
    rng = np.random.RandomState(seed)
    coarse = Image.fromarray(rng.randint(0, 256, (side // 4, side // 4, 3), dtype=np.uint8))
    file = BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def of_splits(images: int) -> Iterator[tuple[str, int]]:
    """Every image with its split: all train but one."""
    yield from (("train", number) for number in range(images))
    yield "test", images


def write_shards(place: Path, contents: list[bytes], images: int, per_shard: int) -> None:
    """The images in shards, all of one class."""
    place.mkdir()
    for shard, members in groupby(of_splits(images), key=lambda of: f"{of[0]}-{of[1] // per_shard:06d}.tar"):
        with tarfile.open(place / shard, "w") as tar:
            for _, number in members:
                for ending, content in (("jpg", contents[number % len(contents)]), ("cls", b"0")):
                    member = tarfile.TarInfo(f"{number:08d}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, BytesIO(content))


def write_folder(place: Path, contents: list[bytes], images: int) -> None:
    """The images as files in a folder of one class."""
    for split in ("train", "test"):
        (place / split / "0").mkdir(parents=True)
    for split, number in of_splits(images):
        (place / split / "0" / f"{number:08d}.jpg").write_bytes(contents[number % len(contents)])


POOL = ThreadPoolExecutor(THREADS)

if __name__ == "__main__":
    tyro.cli(main)
