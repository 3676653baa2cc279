"""Images in shards as data sets: a folder of tar files for each split, or whose names begin with that of their split.

The shards are `train/*.tar` and `test/*.tar`, or `train-000000.tar`, `imagenet-val-07.tar` and so on. Rows are in the
order in which images lie in the shards, sorted by name. An index of all images is read when the shards are opened.
"""

import hashlib
import os
import re
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Int32, Int64
from torch import Tensor

from negreplay.data.containers import Folder, Part, is_hidden
from negreplay.data.decoding import decode
from negreplay.data.folders import TEST
from negreplay.data.images import Images, is_augmented, plainly
from negreplay.data.screening import LeftOut
from negreplay.data.shards import Texts, samples
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

_NAMES = "name shards train-000000.tar and test-000000.tar, or put them into the folders train and test"


@dataclass(frozen=True)
class ShardImages(Images):
    """One split of the images in shards.

    Of each image there are the number of its shard, the place of its first byte in it, how many bytes it has, and its
    name there. There are no `paths`, for a million of them would take much memory.
    """

    shards: tuple[Path, ...] = field(kw_only=True)
    shard: Int32[np.ndarray, " n"] = field(kw_only=True)
    start: Int64[np.ndarray, " n"] = field(kw_only=True)
    length: Int64[np.ndarray, " n"] = field(kw_only=True)
    members: Texts = field(kw_only=True)

    def files_of(self, rows: Int[Tensor, " k"]) -> Int[Tensor, " k"]:
        """The number of the shard of each of these rows."""
        return torch.from_numpy(self.shard[rows.numpy()]).long()

    def _place(self, row: int) -> tuple[Part, str]:
        part = Part(self.shards[int(self.shard[row])], int(self.start[row]), int(self.length[row]))
        return part, self.members[row]


def are_shards(path: Path) -> bool:
    """Whether a folder holds shards of training or test images, and no folders of classes in their place."""
    return any(_split_of(shard, path) for shard in _tars(path))


def load_shards(path: Path, recipe: ImageRecipe) -> tuple[ShardImages, ShardImages]:
    """The training and test images of a folder of shards; classes are numbered in the order of their names.

    Names that are all numbers are ordered as numbers. The name, size and class of each image and the bytes at its
    beginning and its end stand for its content, for all of it is too much to be read at each start.

    Args:
        path: the folder.
        recipe: how the images are read.

    Raises:
        UserError: there are no shards of one of the splits, or they hold no images; a shard is damaged; a sample has no
            class; or the first image cannot be decoded and the recipe gives no size.
    """
    by_split: dict[str, list[Path]] = {}
    left_out: list[LeftOut] = []
    for shard in _tars(path):
        split = _split_of(shard, path)
        if split:
            by_split.setdefault(split, []).append(shard)
        else:
            left_out.append(LeftOut(str(shard.relative_to(path)), "its name tells no split"))
    test = next((name for name in TEST if name in by_split), "test")
    for split in ("train", test):
        if split not in by_split:
            raise UserError(f"{path} has no shards of {split} images: {_NAMES}.")
    used = {"train", test}
    left_out += [LeftOut(f"the shards of {split}", f"{test} is the test set") for split in by_split.keys() - used]
    listings = {split: _Listing(by_split[split]) for split in ("train", test)}
    names = sorted({name for listing in listings.values() for name in listing.classes})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    training = listings["train"].images(path, tuple(names), recipe, True, left_out)
    return training, listings[test].images(path, tuple(names), recipe, False, [])


def _tars(path: Path) -> list[Path]:
    """The shards of a folder and of its folders of splits, sorted; not of those that hold folders of classes."""
    folders = [path, *(path / split for split in ("train", *TEST))]
    shards: list[Path] = []
    for folder in folders:
        try:
            inside = [of for of in folder.iterdir() if not is_hidden(of.name)] if folder.is_dir() else []
        except OSError:  # it may not be looked at, which whoever opens it says
            continue
        if folder == path or not any(of.is_dir() for of in inside):
            shards += sorted(of for of in inside if of.suffix == ".tar" and of.is_file())
    return shards


def _split_of(shard: Path, path: Path) -> str:
    """The split of a shard: that of its folder, or the first that its name has as a word; empty where there is none."""
    if shard.parent != path:
        return shard.parent.name
    words = re.split(r"[^a-z]+", shard.stem.lower())
    return next((word for word in words if word in ("train", *TEST)), "")


class _Listing:
    """What the shards of a split hold, in little memory, for there may be millions of images."""

    def __init__(self, shards: list[Path]) -> None:
        self.shards, self.left_out = shards, list[LeftOut]()
        self.classes: dict[str, int] = {}
        self.shard, self.start, self.length, self.label, self.ends = (array("q") for _ in range(5))
        self.names, self.digest = bytearray(), hashlib.blake2b(digest_size=16)
        for number, path in enumerate(shards):
            for sample in samples(path, self.left_out):
                name = os.fsencode(sample.name)
                self.shard.append(number)
                self.start.append(sample.start)
                self.length.append(sample.size)
                self.label.append(self.classes.setdefault(sample.label, len(self.classes)))
                self.names += name
                self.ends.append(len(self.names))
                self.digest.update(name + f"\n{sample.size} {sample.label}\n".encode() + sample.excerpt)

    def images(
        self, path: Path, names: tuple[str, ...], recipe: ImageRecipe, training: bool, left_out: list[LeftOut]
    ) -> ShardImages:
        """The data set."""
        if not self.start:
            raise UserError(f"{self.shards[0]} holds no images: make shards with samples of an image and its class.")
        number = {name: c for c, name in enumerate(names)}
        numbers = np.array([number[name] for name in self.classes])
        start, length = np.array(self.start, np.int64), np.array(self.length, np.int64)
        texts = Texts(bytes(self.names), np.array(self.ends, np.int64))
        first = Part(self.shards[self.shard[0]], self.start[0], self.length[0])
        size = (recipe.size, recipe.size) if recipe.size else decode(first, texts[0], recipe).size
        return ShardImages(
            files=Folder(path),
            paths=(),
            labels=torch.from_numpy(numbers[np.array(self.label, np.int64)]),
            names=names,
            fingerprint=hashlib.sha256(plainly(recipe) + self.digest.digest()).hexdigest()[:16],
            size=size,
            recipe=recipe,
            augmented=is_augmented(recipe, training),
            left_out=(*left_out, *self.left_out),
            shards=tuple(self.shards),
            shard=np.array(self.shard, np.int32),
            start=start,
            length=length,
            members=texts,
        )
