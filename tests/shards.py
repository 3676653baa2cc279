"""Small tar shards, by hand and as webdataset writes them."""

import io
import tarfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports, on every import
    from webdataset.writer import ShardWriter

CLASSES = ("cat", "dog", "eel")


def png(seed: int, size: int = 8) -> bytes:
    pixels = np.random.RandomState(seed).randint(0, 256, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, *files: tuple[str, bytes] | tarfile.TarInfo) -> Path:
    """A tar of these files, or of other members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for of in files:
            info = of if isinstance(of, tarfile.TarInfo) else tarfile.TarInfo(of[0])
            content = b"" if isinstance(of, tarfile.TarInfo) else of[1]
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, label: str, seed: int = 0) -> list[tuple[str, bytes]]:
    return [(f"{key}.png", png(seed)), (f"{key}.cls", label.encode())]


def two_splits(folder: Path, train: Iterable[Any], test: Iterable[Any] = sample("t", "cat")) -> Path:
    shard(folder / "train-000000.tar", *train)
    shard(folder / "test-000000.tar", *test)
    return folder


def written(folder: Path, images: int = 20, at_once: int = 6, label: str = "cls") -> Path:
    """Shards that webdataset has written."""
    folder.mkdir()
    for split, first in (("train", 0), ("test", 100)):
        with ShardWriter(str(folder / f"{split}-%06d.tar"), maxcount=at_once, verbose=0) as sink:
            for i in range(images):
                name = CLASSES[i % 3]
                of = {"json": {"label": name}, "cls": i % 3, "txt": name}[label]
                sink.write({"__key__": f"{i % 7}/im{i:04d}", "png": png(first + i), label: of})
    return folder
