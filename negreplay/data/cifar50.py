"""cifar50: small photographs of 50 classes, made from the official archive of CIFAR-100.

Of each class all 600 images, those for training and those for testing together, are sorted by the SHA-1 of their raw
bytes (height x width x colour). The first 100 are for testing, the next 400 for training, and the last 100 are unused.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from negreplay.data.cifar import read_cifar
from negreplay.data.download import Advance
from negreplay.errors import UserError

CLASSES = (
    *("aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bus", "camel"),
    *("can", "castle", "caterpillar", "clock", "cockroach", "crab", "crocodile", "dolphin", "forest", "kangaroo"),
    *("lamp", "lawn_mower", "leopard", "lion", "lobster", "motorcycle", "mushroom", "orange", "orchid", "otter"),
    *("palm_tree", "plain", "plate", "poppy", "porcupine", "road", "sea", "shark", "shrew", "skunk"),
    *("skyscraper", "snake", "squirrel", "sunflower", "telephone", "train", "tulip", "turtle", "whale", "worm"),
)
PUBLISHED = 600
"""Images of each class in CIFAR-100."""
SPLITS = {"test": range(100), "train": range(100, 500)}
"""Which of the sorted images of a class each split has, numbered from 000 in it."""
DIGEST = "e008c8ce652730d272821794915fd818e585c19e152fc4c739f2bdc5386c8932"
"""The SHA-256 of the raw bytes of all images: test before train, in each the classes by name, in each by number."""

Photographs = Mapping[str, Sequence[bytes]]
"""The raw bytes of the images in each folder, such as `test/baby`, in the order of `DIGEST`."""


def get_cifar50(
    root: Path, source: Path | None, classes: tuple[str, ...] = CLASSES, digest: str = DIGEST
) -> Iterator[Advance]:
    """Makes the folder `root`, whole or not at all; where it exists already it is verified and left as it is.

    Args:
        root: the folder that is to hold `train/<class>/NNN.png` and `test/<class>/NNN.png`.
        source: `cifar-100-python.tar.gz` or the folder it unpacks to; not needed where `root` exists.
        classes: the classes, sorted.
        digest: what their images must have, see `DIGEST`.

    Raises:
        UserError: the archive or the folder has other images, or one of them cannot be read or written.
    """
    if root.exists():
        yield from verify(root, classes, digest)
        return
    if source is None:
        raise UserError(
            f"there is no {root}: get the official archive cifar-100-python.tar.gz (the Python version of CIFAR-100, "
            "from the web page of its author, Alex Krizhevsky), and say where it is with --from PATH."
        )
    photographs = choose(source, classes)
    if _digest(photographs) != digest:
        raise UserError(f"{source} has other images than CIFAR-100: get it from its official address.")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
        try:
            yield from _write(photographs, unfinished)
            yield from verify(unfinished, classes, digest)
            unfinished.chmod(0o755)  # a temporary folder is its owner's alone
            unfinished.rename(root)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{root} cannot be written ({error.strerror}): free some space, or choose another folder with --root."
        ) from error


def choose(source: Path, classes: tuple[str, ...] = CLASSES) -> dict[str, list[bytes]]:
    """The images of each folder, chosen from the archive.

    Raises:
        UserError: the archive cannot be read, lacks a class, or has more or fewer than 600 images of it.
    """
    names, *published = read_cifar("cifar100", source)
    images: dict[str, list[bytes]] = {name: [] for name in names}
    for pixels, labels in published:
        for image, label in zip(pixels, labels, strict=True):
            images[names[label]].append(image.tobytes())
    for name in classes:
        if (count := len(images.get(name, ()))) != PUBLISHED:
            raise UserError(
                f"{source} has {count} images of {name!r} and CIFAR-100 has {PUBLISHED}: "
                "get it from its official address."
            )
    ordered = {name: sorted(images[name], key=lambda image: hashlib.sha1(image).digest()) for name in classes}
    return {f"{split}/{name}": [ordered[name][i] for i in rows] for split, rows in SPLITS.items() for name in classes}


def verify(root: Path, classes: tuple[str, ...] = CLASSES, digest: str = DIGEST) -> Iterator[Advance]:
    """Reads all images of a folder back.

    Raises:
        UserError: the folder lacks an image, has others too, or one of them is not what it should be.
    """
    remedy = f"move {root} away and run the same command again with --from PATH."
    photographs: dict[str, list[bytes]] = {}
    done, total = 0, len(classes) * sum(map(len, SPLITS.values()))
    for split, rows in SPLITS.items():
        _expect(root / split, set(classes), remedy)
        for name in classes:
            folder, numbers = root / split / name, range(len(rows))
            _expect(folder, {_file(number) for number in numbers}, remedy)
            photographs[f"{split}/{name}"] = [_read(folder / _file(number), remedy).tobytes() for number in numbers]
            done += len(rows)
            yield Advance("verify", done, total, "images")
    if _digest(photographs) != digest:
        raise UserError(f"{root} has other images than cifar50: {remedy}")


def describe(root: Path) -> str:
    """What a complete folder holds."""
    train, test = (len(SPLITS[split]) for split in ("train", "test"))
    return f"{root} holds cifar50: {len(CLASSES)} classes, each with {train} images to learn and {test} to test."


def _digest(photographs: Photographs) -> str:
    digest = hashlib.sha256()
    for images in photographs.values():
        for image in images:
            digest.update(image)
    return digest.hexdigest()


def _file(number: int) -> str:
    return f"{number:03}.png"


def _write(photographs: Photographs, root: Path) -> Iterator[Advance]:
    done, total = 0, sum(map(len, photographs.values()))
    for folder, images in photographs.items():
        (root / folder).mkdir(parents=True)
        for number, image in enumerate(images):
            png = BytesIO()
            Image.frombytes("RGB", (32, 32), image).save(png, "PNG")
            (root / folder / _file(number)).write_bytes(png.getvalue())
        done += len(images)
        yield Advance("write", done, total, "images")


def _expect(folder: Path, names: set[str], remedy: str) -> None:
    try:
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): {remedy}") from error
    if missing := names - present:
        raise UserError(f"{folder} has no {min(missing)}: {remedy}")
    if others := present - names:
        raise UserError(f"{folder} has {min(others)!r}, which is not of cifar50: {remedy}")


def _read(path: Path, remedy: str) -> UInt8[np.ndarray, "32 32 3"]:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is no readable PNG ({error}): {remedy}") from error
    if pixels.shape != (32, 32, 3) or pixels.dtype != np.uint8:
        raise UserError(f"{path} has not 32 x 32 pixels in colour: {remedy}")
    return pixels
