"""A user's pictures with their classes: a folder for each class, or a table of paths."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from negreplay.data.containers import Files, Folder, Member, listing
from negreplay.data.decoding import decode, reason_of
from negreplay.data.folders import contents
from negreplay.data.screening import SUFFIXES, LeftOut, look, refuse, some
from negreplay.data.tables import lines_of
from negreplay.data.threads import pool
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

LAYOUT = "make a folder for each class and put its pictures there"
AT_ONCE = 64
_SPLITS = {"train", "test", "val", "valid", "validation"}


class Labelled(NamedTuple):
    """A file and the name of its class."""

    path: str
    name: str


@dataclass(frozen=True)
class Pictures:
    """Files with the names of their classes, and what lies beside them and is not used."""

    files: Files
    labelled: tuple[Labelled, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.labelled)


class Decoded(NamedTuple):
    """A picture as the network gets it; its fingerprint is a number that its pixels decide."""

    path: str
    name: str
    fingerprint: int
    pixels: UInt8[np.ndarray, "height width 3"]


def labelled_pictures(path: Path) -> Pictures:
    """The files in a folder or zip that has a folder for each class, or in a CSV with the columns path and label.

    All that lies below the folder of a class, however deep, belongs to the class. Names of classes are compared in
    Unicode's composed form (NFC).

    Raises:
        UserError: the path is missing, or holds no pictures in folders of classes.
    """
    return _table(path) if path.suffix.lower() == ".csv" else _folder(path)


def _folder(path: Path) -> Pictures:
    files, members = listing(path)
    root = _enclosing(members) if path.is_file() else ""
    inside = [member for member in members if not member.path.endswith("/")]
    labelled, left_out = [], []
    for member in inside:
        name, slash, _ = member.path.removeprefix(root).partition("/")
        if slash:
            labelled.append(Labelled(member.path, unicodedata.normalize("NFC", name)))
        elif member.path.lower().endswith(SUFFIXES):
            left_out.append(LeftOut(member.path, "it lies in no folder of a class"))
    folders = {name for _, name in labelled}
    if "train" in folders and folders <= _SPLITS:
        raise UserError(
            f"{path} holds the folders {' and '.join(sorted(folders))}, and each folder is taken for a class: "
            f"give {path / 'train'}."
        )
    if not labelled:
        tops = {member.path.removeprefix(root).split("/")[0] for member in members if member.path.endswith("/")}
        raise UserError(f"{path} has no folder with pictures; {contents(tops, [of.path for of in inside])}: {LAYOUT}.")
    return Pictures(files, tuple(sorted(labelled)), tuple(left_out))


def _enclosing(members: Sequence[Member]) -> str:
    """The one folder around all classes of a zip, with its slash; empty where there is none."""
    tops = {member.path.split("/")[0] for member in members}
    if len(tops) != 1:
        return ""
    root = f"{tops.pop()}/"
    files = [member.path for member in members if not member.path.endswith("/")]
    return root if files and all(file.startswith(root) and "/" in file.removeprefix(root) for file in files) else ""


def _table(path: Path) -> Pictures:
    labelled = set[Labelled]()
    for line, (file, label) in lines_of(path, ("path", "label")):
        name = unicodedata.normalize("NFC", label.strip())
        if not file or not name:
            raise UserError(f"{path}, line {line}: it needs a path and a label.")
        labelled.add(Labelled(file, name))
    return Pictures(Folder(path.parent), tuple(sorted(labelled)))


def screened(pictures: Pictures, skip: bool, how: str = "") -> Pictures:
    """The pictures without the files that are none.

    Args:
        pictures: files of any kind.
        skip: whether damaged pictures are left out too; otherwise they are refused, all of them at once.
        how: says how they can be left out, at the end of that sentence.

    Raises:
        UserError: pictures cannot be read, or none is left.
    """
    members = [Member(path, 0, "") for path, _ in pictures.labelled]
    looked = list(look(pictures.files, members, all_images=False))
    if not skip:
        refuse(pictures.files, looked, how)
    kept = [one for one, (_, of) in zip(pictures.labelled, looked, strict=True) if of.stamp]
    left_out = [LeftOut(member.path, of.reason) for member, of in looked if not of.stamp]
    if not kept:
        others = some(f"{path} ({reason})" for path, reason in left_out)
        raise UserError(f"{pictures.files.path} holds no pictures, but {others}: give files of pictures.")
    return Pictures(pictures.files, tuple(kept), (*pictures.left_out, *left_out))


def decoded(pictures: Pictures, recipe: ImageRecipe) -> Iterator[list[Decoded | LeftOut]]:
    """The pictures as the network gets them, some at a time; damaged ones are left out."""
    for start in range(0, len(pictures), AT_ONCE):
        part = pictures.labelled[start : start + AT_ONCE]
        yield list(pool().map(_decoded, repeat(pictures.files), part, repeat(recipe)))


def _decoded(files: Files, labelled: Labelled, recipe: ImageRecipe) -> Decoded | LeftOut:
    path, name = labelled
    try:
        pixels = np.asarray(decode(files, path, recipe))
    except UserError as error:
        return LeftOut(path, reason_of(error.__cause__) if isinstance(error.__cause__, Exception) else str(error))
    return Decoded(path, name, fingerprint_of(pixels), pixels)


def fingerprint_of(pixels: UInt8[np.ndarray, "height width 3"]) -> int:
    """64 bits that the pixels decide, as a signed integer."""
    return int.from_bytes(blake2b(np.ascontiguousarray(pixels).data, digest_size=8).digest(), "big", signed=True)
