"""Makes a folder that looks like CORe50: the official names, counts and lists, with small drawn images.

The images of CORe50 cannot be shipped. These stand in for them where the pipeline is measured: a class has a look
that can be learned (a pattern and a colour), a session has a background, a frame is moved and lit a little differently.
Accuracies on them say nothing about CORe50.

    python benchmarks/make_core50.py data/core50-drawn --lists lists/ --run 0
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float, UInt8
from PIL import Image
from rich.progress import track

from negreplay.data.core50 import IMAGES
from negreplay.data.core50_lists import list_files
from negreplay.errors import UserError

LISTS = ("nicv2_79", "nicv2_196", "nicv2_391")
SIZE = 32
VIEWS = 6
"""Drawn anew for each object in each session; frames vary them."""


@dataclass(frozen=True)
class Arguments:
    """Makes a folder that looks like CORe50."""

    root: tyro.conf.Positional[Path]
    """Where the images and lists go."""
    lists: Path
    """A folder that holds official lists of NICv2, unpacked or as an archive."""
    run: int = 0
    """The run whose lists are copied."""
    every: int = 1
    """Make every n-th frame of a video only, in images and lists alike."""


def main(arguments: Arguments) -> None:
    """Writes the images and the lists."""
    texts = {name: _texts(arguments.lists, name, arguments.run) for name in LISTS}
    everything = {path for lines in texts["nicv2_391"].values() for path in _paths(lines)}
    kept = {path for _, frames in _videos(everything) for path in frames[:: arguments.every]}
    for name, of in texts.items():
        folder = arguments.root / f"NIC_v2_{name.removeprefix('nicv2_')}" / f"run{arguments.run}"
        folder.mkdir(parents=True, exist_ok=True)
        for file, lines in of.items():
            (folder / file).write_text("".join(f"{line}\n" for line in lines if line.split(" ")[0] in kept))
    for video, frames in track(list(_videos(kept)), "drawing", transient=True):
        folder = arguments.root / IMAGES / video
        folder.mkdir(parents=True, exist_ok=True)
        session, number = (int(part[1:]) for part in video.split("/"))
        for path, content in zip(frames, draw_video(session, number - 1, len(frames)), strict=True):
            (arguments.root / IMAGES / path).write_bytes(content)


def draw_video(session: int, number: int, frames: int) -> Iterator[bytes]:
    """The PNGs of the frames of an object in a session; `number` counts objects from 0."""
    rng = np.random.default_rng((session, number))
    views = [draw(session, number, rng) for _ in range(VIEWS)]
    for frame in range(frames):
        moved = np.roll(views[frame * VIEWS // frames], rng.integers(-3, 4, 2), axis=(0, 1))
        lit = np.clip(moved.astype(np.int16) + rng.integers(-12, 13), 0, 255).astype(np.uint8)
        file = BytesIO()
        Image.fromarray(lit).save(file, "png", compress_level=1)
        yield file.getvalue()


def draw(session: int, number: int, rng: np.random.Generator) -> UInt8[np.ndarray, "size size 3"]:
    """One view: stripes whose direction and width tell the category, in the object's colour."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    category, member = divmod(number, 5)
    angle = np.pi * category / 10 + rng.normal(0, 0.08)
    wave = np.sin(2 * np.pi * (2 + category % 5) * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6))
    radius = 0.4 + rng.normal(0, 0.03)
    inside = (np.hypot(x, y) < radius)[..., None]
    pattern = (0.6 + 0.4 * wave)[..., None] * _colour(member / 5 + category / 50)
    ground = _colour(session / 11 + 0.05) * 0.5 + rng.normal(0, 0.05, (SIZE, SIZE, 1))
    return (np.clip(np.where(inside, pattern, ground), 0, 1) * 255).astype(np.uint8)


def _colour(hue: float) -> Float[np.ndarray, " 3"]:
    return 0.5 + 0.5 * np.cos(2 * np.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))


def _texts(folder: Path, lists: str, run: int) -> dict[str, list[str]]:
    found = list_files(folder, lists, run) if folder.is_dir() else None
    if found is None:
        raise UserError(f"{folder} holds no list of {lists} for run {run}: give another --lists or --run.")
    return {name: text.splitlines() for name, text in found[1].items()}


def _paths(lines: list[str]) -> list[str]:
    return [line.split(" ")[0] for line in lines]


def _videos(paths: set[str]) -> Iterator[tuple[str, list[str]]]:
    """The frames of each object in each session, in order."""
    for video, frames in groupby(sorted(paths), lambda path: path.rsplit("/", 1)[0]):
        yield video, list(frames)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
