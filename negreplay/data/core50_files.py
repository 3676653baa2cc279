"""CORe50 on disk: got from its official addresses, and verified image by image."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from negreplay.data.core50 import IMAGES, SESSIONS, TEST_SESSIONS, load_core50, session_images
from negreplay.data.core50_lists import FOLDERS, RUNS, runs_found
from negreplay.data.download import Advance, fetch, unpack
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

_AT_ONCE = 250


class Archive(NamedTuple):
    """A file of the official site."""

    url: str
    md5: str

    @property
    def name(self) -> str:
        """Its name on disk."""
        return self.url.rsplit("/", 1)[1]


_SITE = "https://vlomonaco.github.io/core50/data"
IMAGE_ARCHIVE = Archive(
    "http://bias.csr.unibo.it/maltoni/download/core50/core50_128x128.zip", "745f3373fed08d69343f1058ee559e13"
)
LIST_ARCHIVES = (
    Archive(f"{_SITE}/batches_filelists.zip", "e3297508a8998ba0c99a83d6b36bde62"),
    Archive(f"{_SITE}/batches_filelists_NICv2.zip", "460f980a6c85b86b1ec8e7c6067bb7a3"),
)
"""The lists of NI, NC and NIC, and those of NICv2. The checksums are the ones that Avalanche has on record."""


def get_core50(
    root: Path, images: Archive = IMAGE_ARCHIVE, lists: tuple[Archive, ...] = LIST_ARCHIVES
) -> Iterator[Advance]:
    """Completes a folder and verifies it: what is there already is kept, and never downloaded again.

    Lists are downloaded together with the images, or where there are none at all.

    Args:
        root: the folder of the data.
        images: the archive of the images.
        lists: the archives of the lists.

    Raises:
        UserError: a download fails (see `fetch`), or the images are not those of CORe50.
    """
    complete = (root / IMAGES).is_dir()
    if not complete or not any(runs_found(root).values()):
        for archive in lists:  # the small ones first: they are soon there for whoever has the images elsewhere
            if not (root / archive.name).exists():
                yield from fetch(archive.url, root / archive.name, archive.md5)
    if not complete:
        yield from _get_images(root, images)
    yield from verify(root)


def _get_images(root: Path, archive: Archive) -> Iterator[Advance]:
    """Unpacks the archive: the user's own, which is kept, or one that is downloaded for the purpose."""
    own, downloaded = root / archive.name, root / f"downloaded-{archive.name}"
    if not own.exists() and not downloaded.exists():
        yield from fetch(archive.url, downloaded, archive.md5)
    yield from unpack(own if own.exists() else downloaded, IMAGES, root / IMAGES)
    downloaded.unlink(missing_ok=True)


def verify(root: Path) -> Iterator[Advance]:
    """Counts the images of every session and object, then decodes all of them.

    Raises:
        UserError: images are missing or too many, or one cannot be read: the first in the official order.
    """
    expected = frames()
    for session in SESSIONS:
        counts = dict.fromkeys(expected[session], 0)
        for path in session_images(root, session):
            counts[path.split("/")[2]] += 1
        for name, count in expected[session].items():
            if counts[name] != count:
                raise UserError(
                    f"{root / IMAGES}/s{session}/{name} holds {counts[name]} images and CORe50 has {count} there: "
                    f"copy it again, or move {IMAGES} away and run the same command again."
                )
    done, splits = 0, load_core50(root, ImageRecipe(), categories=False)
    total = sum(len(split.labels) for split in splits)
    for split in splits:
        for rows in torch.arange(len(split.labels)).split(_AT_ONCE):
            split.read(rows)
            done += len(rows)
            yield Advance("verify", done, total, "images")


def frames() -> dict[int, dict[str, int]]:
    """The number of images of each object (`o1` to `o50`) in each session.

    References:
        The file `Color128x128.tsv` of the official `dataset_dims.zip`.
    """
    with Path(__file__).with_name("core50_frames.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {session: {row["object"]: int(row[f"s{session}"]) for row in rows} for session in SESSIONS}


def describe(root: Path) -> str:
    """What a complete folder holds, and which lists lie beside the images."""
    counts = {session: sum(of.values()) for session, of in frames().items()}
    test = sum(counts[session] for session in TEST_SESSIONS)
    lines = [
        f"{root} holds CORe50: {sum(counts.values()):,} images, {sum(counts.values()) - test:,} to learn and "
        f"{test:,} to test.",
        "nc: all runs, which follow a rule.",
    ]
    runs_of = runs_found(root)
    for lists in FOLDERS:
        runs = "all runs" if runs_of[lists] == list(RUNS) else f"runs {', '.join(map(str, runs_of[lists]))}"
        lines.append(f"{lists}: {runs}." if runs_of[lists] else f"{lists}: no lists.")
    if any(runs_of[lists] != list(RUNS) for lists in FOLDERS):
        lines.append(f"More lists: put {' or '.join(archive.url for archive in LIST_ARCHIVES)} into {root}.")
    return "\n".join(lines)
