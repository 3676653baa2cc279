"""Small archives of the official kinds."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pictures import save
from PIL import Image

CIFAR_TRAIN = {"cifar10": [f"data_batch_{k}" for k in range(1, 6)], "cifar100": ["train"]}
CIFAR_FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
CIFAR_ARCHIVE = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)


def idx(content: np.ndarray) -> bytes:
    return bytes((0, 0, 8, content.ndim)) + struct.pack(f">{content.ndim}I", *content.shape) + content.tobytes()


def write_mnist(folder: Path, train: Sequence[int], test: Sequence[int], packed: bool = True) -> None:
    """Images of 28 x 28 noise with these labels."""
    folder.mkdir(parents=True)
    for seed, (prefix, labels) in enumerate((("train", train), ("t10k", test))):
        for kind, content in (
            ("images-idx3", noise(len(labels), 28, 28, seed=seed)),
            ("labels-idx1", np.array(labels, dtype=np.uint8)),
        ):
            path = folder / f"{prefix}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(content)) if packed else idx(content))


def pickle2(value: object) -> bytes:
    """A pickle as Python 2 and the NumPy of its time wrote it, in protocol 2."""
    return b"\x80\x02" + _saved(value) + b"."


def _saved(value: object) -> bytes:
    match value:
        case int():
            return b"J" + struct.pack("<i", value)
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case list():
            return b"](" + b"".join(map(_saved, value)) + b"e"
        case dict():
            return b"}(" + b"".join(_saved(key) + _saved(item) for key, item in value.items()) + b"u"
        case np.ndarray():
            kind = b"cnumpy\ndtype\n(" + _saved(b"u1") + _saved(0) + _saved(1) + b"tR("
            kind += _saved(3) + _saved(b"|") + b"NNN" + _saved(-1) + _saved(-1) + _saved(0) + b"tb"
            shape = b"(" + b"".join(map(_saved, value.shape)) + b"t"
            state = b"(" + _saved(1) + shape + kind + b"\x89" + _saved(value.tobytes()) + b"t"
            begun = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + _saved(0) + b"t" + _saved(b"b")
            return begun + b"tR" + state + b"b"
        case _:
            raise TypeError(value)


def cifar_files(name: str, classes: int = 3, each: int = 4) -> dict[str, bytes]:
    """Each training file and the test file hold so many images of each class."""
    labels = [c for _ in range(each) for c in range(classes)]
    fine, prefix = (b"labels", b"label") if name == "cifar10" else (b"fine_labels", b"fine_label")
    files = {}
    for seed, file in enumerate([*CIFAR_TRAIN[name], "test_batch" if name == "cifar10" else "test"]):
        data = noise(len(labels), 3072, seed=seed)
        batch: dict[bytes, object] = {b"batch_label": file.encode(), fine: labels, b"data": data, b"filenames": []}
        if name == "cifar100":
            batch[b"coarse_labels"] = [0] * len(labels)
        files[file] = pickle2(batch)
    names = [f"class {c}".encode() for c in range(classes)]
    meta = {b"num_vis": 3072, prefix + b"_names": names, b"coarse_label_names": [b"all"]}
    return files | {"batches.meta" if name == "cifar10" else "meta": pickle2(meta)}


def write_cifar(place: Path, name: str, files: dict[str, bytes], archive: bool) -> Path:
    """The path of the archive or the folder."""
    place.mkdir(parents=True, exist_ok=True)
    if archive:
        path = place / CIFAR_ARCHIVE[name]
        with tarfile.open(path, "w:gz") as tar:
            for file, content in files.items():
                info = tarfile.TarInfo(f"{CIFAR_FOLDER[name]}/{file}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path
    folder = place / CIFAR_FOLDER[name]
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def write_tiny_imagenet(place: Path, train: int = 3, test: int = 2) -> Path:
    """Two classes of 64 x 64 noise."""
    root = place / "tiny-imagenet-200"
    lines = []
    for c, name in enumerate(("n02", "n01")):
        for i in range(train):
            save(Image.fromarray(noise(64, 64, 3, seed=10 * c + i)), root / f"train/{name}/images/{name}_{i}.JPEG")
        (root / f"train/{name}/{name}_boxes.txt").write_text("")
        for i in range(test):
            file = f"val_{10 * i + c}.JPEG"
            save(Image.fromarray(noise(64, 64, 3, seed=100 + 10 * i + c)), root / "val/images" / file)
            lines.append(f"{file}\t{name}\t0\t0\t62\t62\n")
    save(Image.fromarray(noise(64, 64, 3)), root / "test/images/test_0.JPEG")
    (root / "val/val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("n02\nn01\n")
    return root


def write_imagenet(place: Path, classes: int = 2, train: int = 3, test: int = 1) -> Path:
    """JPEGs of 50 x 40 noise, classes `n00`, `n01`, ..."""
    root = place / "imagenet"
    for split, count in (("train", train), ("val", test)):
        for c in range(classes):
            for i in range(count):
                image = Image.fromarray(noise(40, 50, 3, seed=100 * c + 10 * i + len(split)))
                save(image, root / f"{split}/n{c:02}/{split}_{c}_{i}.JPEG")
    return root


def zipped(folder: Path) -> Path:
    """A folder as a zip beside it, with the folder inside."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder.parent))
    return path
