"""Images from a folder or a zip, `<split>/<class>/<image>`, decoded when they are read.

The splits are `train` and `test` (`val`, `valid` or `validation` where there is no `test`); one enclosing folder is
allowed. A zip is read in place, never unpacked. Hidden files, files that are no images, and anything deeper than
`<split>/<class>/<image>` are ignored.
"""

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from negreplay.errors import UserError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_TEST = ("test", "val", "valid", "validation")
_LAYOUT = "arrange the images as train/<class>/<image> and test/<class>/<image>"
_THREADS = min(os.cpu_count() or 1, 8)
# Part of every fingerprint: raise it when `_decode` gives other pixels, for stored latents to be computed anew.
_DECODER = 1
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)


class _Member(NamedTuple):
    """A file, or a folder where `path` ends with a slash; `stamp` changes with the content."""

    path: str
    size: int
    stamp: int


_Tree = dict[str, dict[str, list[_Member]]]


@dataclass(frozen=True)
class _Folder:
    path: Path

    def members(self) -> list[_Member]:
        return list(_scan(self.path, "", depth=3))

    def read(self, member: str) -> bytes:
        return (self.path / member).read_bytes()


class _Zip:
    """A zip that each process opens for itself: a forked one must not share its parent's place in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process, self._archive = os.getpid(), zipfile.ZipFile(path)

    def __reduce__(self) -> "tuple[type[_Zip], tuple[Path]]":
        return _Zip, (self.path,)

    def members(self) -> list[_Member]:
        return [_Member(info.filename, info.file_size, info.CRC) for info in self._archive.infolist()]

    def read(self, member: str) -> bytes:
        if self._process != os.getpid():
            self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()
        return self._archive.read(member)


@dataclass(frozen=True)
class Images:
    """One split of a folder or zip of images, a data set whose images are decoded as they are read.

    Images become RGB: transparent pixels are laid on black, 16 bits are scaled to 8, and the EXIF orientation is
    honoured. With `image_size` they are resized, bicubically, to that many pixels square (the sides are not kept in
    proportion); without it all must have `size`, width x height.
    """

    files: _Folder | _Zip
    paths: tuple[str, ...]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str
    size: tuple[int, int]
    image_size: int | None = None
    encoded: bool = False

    def read(self, rows: Int[Tensor, " k"]) -> Float[Tensor, "k 3 height width"]:
        """The images of these rows, in [0, 1].

        Raises:
            UserError: an image cannot be decoded, or its size differs from the others' and no image_size was given.
        """
        width, height = self.size
        pixels = np.empty((len(rows), height, width, 3), dtype=np.uint8)
        with ThreadPoolExecutor(_THREADS) as pool:
            for place, image in enumerate(pool.map(self._pixels, rows.tolist())):
                pixels[place] = image
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div_(255)

    def _pixels(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        image = _decode(self.files, self.paths[row], self.image_size)
        if image.size != self.size:
            (width, height), (others_width, others_height) = image.size, self.size
            raise UserError(
                f"{self.files.path / self.paths[row]} has {width} x {height} pixels and others "
                f"{others_width} x {others_height}: give stream.image_size, to which all are resized."
            )
        return np.asarray(image)


def load_images(path: Path, image_size: int | None) -> tuple[Images, Images]:
    """The training and test images of a folder or zip; classes are numbered in the order of their names.

    A class that has test images only is among the names, for the stream to refuse.

    Args:
        path: the folder or zip.
        image_size: the side in pixels to which images are resized; None where all have one size.

    Raises:
        UserError: `path` is missing, is neither a folder nor a zip, or has no train or test folder; or a class has no
            training images in its folder, or none to test it with; or the first image cannot be decoded.
    """
    files, members = _listing(path)
    root = _enclosing(members)
    tree = _tree(members, root)
    if not tree.get("train"):
        raise UserError(f"{path} has no train folder with a folder for each class: {_LAYOUT}.")
    held_out = next((tree[name] for name in _TEST if tree.get(name)), None)
    if held_out is None:
        raise UserError(f"{path} has no test folder with a folder for each class: {_LAYOUT}.")
    _check_classes(path, tree["train"], held_out)
    names = tuple(sorted(tree["train"].keys() | held_out.keys()))
    first = tree["train"][min(tree["train"])][0].path
    size = (image_size, image_size) if image_size else _decode(files, first, None).size

    def images(split: dict[str, list[_Member]]) -> Images:
        found = [(member, c) for c, name in enumerate(names) for member in split.get(name, ())]
        labels = torch.tensor([c for _, c in found], dtype=torch.long)
        fingerprint = _fingerprint([member for member, _ in found], root, image_size)
        paths = tuple(member.path for member, _ in found)
        return Images(files, paths, labels, names, fingerprint, size, image_size)

    return images(tree["train"]), images(held_out)


def listed_images(
    folder: Path, paths: Sequence[str], labels: Int[Tensor, " n"], names: tuple[str, ...], image_size: int | None
) -> Images:
    """The images at these paths in a folder, which somebody else has listed and labelled.

    Raises:
        UserError: a file is missing, or the first image cannot be decoded.
    """
    files, members = _Folder(folder), []
    for path in paths:
        try:
            stat = (folder / path).stat()
        except OSError as error:
            raise UserError(f"{folder / path} cannot be read ({error.strerror}): copy it again.") from error
        members.append(_Member(path, stat.st_size, stat.st_mtime_ns))
    size = (image_size, image_size) if image_size else _decode(files, paths[0], None).size
    return Images(files, tuple(paths), labels, names, _fingerprint(members, "", image_size), size, image_size)


def _listing(path: Path) -> tuple[_Folder | _Zip, list[_Member]]:
    if not path.exists():
        raise UserError(f"{path} does not exist: give the path of a folder or zip of images.")
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is neither a folder nor a zip: give a folder or a zip of images.")
    try:
        files = _Folder(path) if path.is_dir() else _Zip(path)
        members = files.members()
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}): check its permissions, or copy it again.") from error
    return files, sorted(member for member in members if not _hidden(member.path))


def _scan(folder: Path, prefix: str, depth: int) -> Iterator[_Member]:
    with os.scandir(folder) as entries:
        for entry in entries:
            inside = prefix + entry.name
            if entry.is_dir() and not _hidden(inside):
                yield _Member(f"{inside}/", 0, 0)
                if depth:
                    yield from _scan(folder / entry.name, f"{inside}/", depth - 1)
            elif entry.is_file():
                stat = entry.stat()
                yield _Member(inside, stat.st_size, stat.st_mtime_ns)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


def _enclosing(members: list[_Member]) -> str:
    """The one folder around the splits, with its slash; empty where there is none."""
    splits = {"train", *_TEST}
    folders = [member.path.split("/")[:-1] for member in members]
    if any(parts[0] in splits for parts in folders if parts):
        return ""
    outer = {parts[0] for parts in folders if len(parts) > 1 and parts[1] in splits}
    return f"{outer.pop()}/" if len(outer) == 1 else ""


def _tree(members: list[_Member], root: str) -> _Tree:
    """The images by split and class; a folder without images is there too, so that it can be refused."""
    tree: _Tree = {}
    for member in members:
        if not member.path.startswith(root):
            continue
        match member.path.removeprefix(root).split("/"):
            case [split, name, file] if name:
                held = tree.setdefault(split, {}).setdefault(name, [])
                if file.lower().endswith(_SUFFIXES):
                    held.append(member)
    return tree


def _check_classes(path: Path, train: dict[str, list[_Member]], test: dict[str, list[_Member]]) -> None:
    for name, images in train.items():
        if not images:
            raise UserError(f"{path}: the folder train/{name} holds no images: add some, or remove the folder.")
        if not test.get(name):
            raise UserError(f"{path}: class {name!r} has training images but none to test it: add some to test/{name}.")


def _fingerprint(members: list[_Member], root: str, image_size: int | None) -> str:
    digest = hashlib.sha256(f"{_DECODER} {image_size}\n".encode())
    for member in members:
        digest.update(os.fsencode(f"{member.path.removeprefix(root)}\n{member.size} {member.stamp}\n"))
    return digest.hexdigest()[:16]


def _decode(files: _Folder | _Zip, member: str, image_size: int | None) -> Image.Image:
    """One image as RGB, upright, resized."""
    try:
        with Image.open(BytesIO(files.read(member))) as image:
            if image_size:
                # A JPEG decodes faster at a fraction of its size; twice the wanted size leaves enough to resample.
                image.draft(None, (2 * image_size, 2 * image_size))
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _to_rgb(image)
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{files.path / member} is no readable image ({reason}): replace or remove it.") from error
    return rgb.resize((image_size, image_size), Image.Resampling.BICUBIC) if image_size else rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a known range")
    if image.mode.startswith("I"):
        # Pillow clips 16 bits to 8 when it converts: almost every pixel would be white.
        sixteen_bits = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((sixteen_bits + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
