"""What is fuzzed: kinds of files, for each whole ones, from which bytes are changed, and what reads them."""

import gzip
import io
import json
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load, save

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the program that fuzzes is not started by pytest

from archives import cifar_files, idx, noise, write_cifar, write_mnist
from core50_tree import files_of, pickled, tarred, unpacked, zipped
from saving import learner, row, saved_in, seeded

from negreplay.builders.changes import read_any_study
from negreplay.builders.study_files import dump_study
from negreplay.checkpoint import Checkpoints
from negreplay.data.cifar import load_cifar
from negreplay.data.containers import Folder
from negreplay.data.core50_lists import read_lists
from negreplay.data.data import Tensors
from negreplay.data.decoding import decode
from negreplay.data.folders import load_images
from negreplay.data.latents import LatentStore
from negreplay.data.mnist import load_mnist
from negreplay.data.tables import load_table
from negreplay.nets.library import net_as_trained
from negreplay.nets.weights import read_weights
from negreplay.photographs.files import read_model
from negreplay.photographs.model import Model
from negreplay.photographs.networks import Network
from negreplay.positions import read_rows_of, table_of
from negreplay.recipe import ImageRecipe, NearestMeanRecipe
from negreplay.results.table import header, line, read_rows, write_rows
from negreplay.sealed import seal
from negreplay.studies import STUDIES

Run = Callable[[bytes], object]
RECIPE = ImageRecipe(8, 8)


class Target(NamedTuple):
    """A kind of file: some whole ones, and what makes a folder ready and gives the function that reads one there."""

    whole: Callable[[], list[bytes]]
    ready: Callable[[Path], Run]


def _reader(name: str, read: Callable[[Path], object]) -> Callable[[Path], Run]:
    """Reads a file called so, which the input becomes; the folder is the first argument of `read`."""

    def ready(folder: Path) -> Run:
        def run(content: bytes) -> object:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            return read(folder)

        return run

    return ready


def _beside(make: Callable[[Path], object], name: str, read: Callable[[Path], object]) -> Callable[[Path], Run]:
    """The same in a folder in which other files are."""

    def ready(folder: Path) -> Run:
        make(folder)
        return _reader(name, read)(folder)

    return ready


@cache
def _studies() -> list[bytes]:
    small = {"like": "digits", "name": "mine", "set": {"first.lr_head": 0.1}, "arms": ["nr-gd"], "seeds": [1]}
    return [dump_study(STUDIES[0]), json.dumps(small).encode()]


def _images(folder: Path) -> None:
    for i in range(4):
        Image.fromarray(noise(9, 12, 3, seed=i)).save(folder / f"{i}.png")


def _pictures() -> list[bytes]:
    kinds = {"PNG": {}, "JPEG": {"exif": _turned()}, "GIF": {}, "WEBP": {}, "BMP": {}, "PPM": {}, "QOI": {}, "AVIF": {}}
    kinds |= {"JPEG2000": {}, "TIFF": {"compression": "tiff_lzw"}}
    image, made = Image.fromarray(noise(9, 12, 3)), []
    for kind, options in kinds.items():
        file = io.BytesIO()
        image.save(file, kind, **options)
        made.append(file.getvalue())
    for mode in ("1", "P", "LA", "I;16", "RGBA"):
        file = io.BytesIO()
        image.convert("L" if mode == "I;16" else mode).convert(mode).save(file, "PNG")
        made.append(file.getvalue())
    return [*made, b"P3 2 2 255 " + b"1 " * 12, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"]


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _zips() -> list[bytes]:
    made = []
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", kind) as archive:
            for split in ("train", "test"):
                archive.writestr(f"pets/{split}/cät/0.png", _pictures()[0])
        made.append(file.getvalue())
    return made


def _cifar(folder: Path) -> None:
    write_cifar(folder, "cifar100", cifar_files("cifar100", classes=2, each=1), archive=False)


def _cifar_tars() -> list[bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in cifar_files("cifar100", classes=2, each=1).items():
            info = tarfile.TarInfo(f"cifar-100-python/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return [file.getvalue()]


def _unpacked_tar(folder: Path) -> Run:
    """The input is the tar that gzip has packed, so that a changed byte reaches it."""
    read = _reader("cifar-100-python.tar.gz", lambda place: load_cifar("cifar100", place, RECIPE))(folder)
    return lambda content: read(gzip.compress(content, 1))


def _lists(folder: Path) -> None:
    unpacked(folder, files_of("ni", 0))


def _list_archives(kind: str) -> Callable[[], list[bytes]]:
    def whole() -> list[bytes]:
        with TemporaryDirectory() as name:
            files = {file: text[:300] for file, text in files_of("ni", 0).items()}
            zipped(Path(name), files) if kind == "zip" else tarred(Path(name), files, kind)
            return [next(Path(name).iterdir()).read_bytes()]

    return whole


def _checkpoint(folder: Path) -> Run:
    path = saved_in(folder)
    write_rows(table_of(path), [row(0), row(1)])

    def run(content: bytes) -> object:
        path.write_bytes(content)
        read_rows_of(path)
        return Checkpoints(path, learner(), seeded(0), ()).load()

    return run


def _whole_checkpoint() -> list[bytes]:
    with TemporaryDirectory() as name:
        return [saved_in(Path(name)).read_bytes()]


@cache
def _model() -> bytes:
    model = Model.new(
        Network("timm/test_resnet", net_as_trained("test_resnet"), "random"), NearestMeanRecipe(), 32, hold=True
    )
    model.grow(["cat", "dog"])
    return model.content()


def _text_of(whole: Callable[[], bytes]) -> Callable[[], list[bytes]]:
    return lambda: [_metadata(whole())["negreplay"].encode()]


def _metadata(content: bytes) -> dict[str, str]:
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]


def _sealed_again(whole: Callable[[], bytes], ready: Callable[[Path], Run]) -> Callable[[Path], Run]:
    """The input is the text of a sealed file, sealed anew with that file's tensors."""

    def made(folder: Path) -> Run:
        run, tensors = ready(folder), load(whole())
        return lambda content: run(seal(content.decode(errors="replace"), tensors))

    return made


_read_model = _reader("m.safetensors", lambda folder: read_model(folder / "m.safetensors"))


def _latents(folder: Path) -> Run:
    images = Tensors(torch.rand(6, 3, 4, 4), torch.arange(6) % 2, ("a", "b"), "images")
    store = LatentStore(folder / "store")
    for _ in store.encode(images, lambda x: x.flatten(1), "front"):
        pass
    (path,) = (folder / "store").glob("*.npy")

    def run(content: bytes) -> object:
        path.write_bytes(content)
        stored = store.open(images, "front")
        return stored and stored.read(torch.tensor([0, 5]))

    return run


def _array() -> list[bytes]:
    file = io.BytesIO()
    np.save(file, noise(6, 48).astype(np.float32))
    return [file.getvalue()]


TARGETS = {
    "study": Target(_studies, _reader("s.json", lambda folder: read_any_study(folder / "s.json", STUDIES))),
    "table": Target(
        lambda: [b"path,label,split\n0.png,a,train\n1.png,b,train\n2.png,a,test\n3.png,b,test\n"],
        _beside(_images, "t.csv", lambda folder: load_table(folder / "t.csv", RECIPE)),
    ),
    "list": Target(
        lambda: [b"s1/o1/C_01_01_000.png 0\r\ns1/o2/C_01_02_000.png 1\n"],
        _beside(_lists, "NI_inc/run0/train_batch_03_filelist.txt", lambda folder: read_lists(folder, "ni", 0)),
    ),
    "rows": Target(
        lambda: [b"arm,seed,experience\nx,0,0\n", _rows()],
        _reader("r.csv", lambda folder: read_rows(folder / "r.csv")),
    ),
    "idx": Target(
        lambda: [idx(noise(2, 28, 28)), gzip.compress(idx(noise(2, 28, 28)))],
        _beside(
            lambda folder: write_mnist(folder / "mnist", [1, 2], [3]),
            "mnist/train-images-idx3-ubyte.gz",
            lambda folder: load_mnist("mnist", folder, RECIPE),
        ),
    ),
    "pickled arrays": Target(
        lambda: [cifar_files("cifar100", 2, 1)["train"], pickle.dumps({b"data": noise(2, 3072)}, 4)],
        _beside(_cifar, "cifar-100-python/train", lambda folder: load_cifar("cifar100", folder, RECIPE)),
    ),
    "pickled lists": Target(
        lambda: [pickle.dumps({"ni": {0: [[0, 1], [2]]}}, protocol) for protocol in (0, 2, 4)],
        _beside(lambda folder: pickled(folder, "ni", 0), "LUP.pkl", lambda folder: read_lists(folder, "ni", 0)),
    ),
    "zip": Target(_zips, _reader("pets.zip", lambda folder: load_images(folder / "pets.zip", RECIPE))),
    "packed tar": Target(
        _cifar_tars, _reader("cifar-100-python.tar.gz", lambda folder: load_cifar("cifar100", folder, RECIPE))
    ),
    "tar": Target(lambda: [gzip.decompress(_cifar_tars()[0])], _unpacked_tar),
    "zip of lists": Target(_list_archives("zip"), _reader("l.zip", lambda folder: read_lists(folder, "ni", 0))),
    "tar.xz of lists": Target(_list_archives("xz"), _reader("l.tar.xz", lambda folder: read_lists(folder, "ni", 0))),
    "checkpoint": Target(_whole_checkpoint, _checkpoint),
    "text of a checkpoint": Target(
        _text_of(lambda: _whole_checkpoint()[0]), _sealed_again(lambda: _whole_checkpoint()[0], _checkpoint)
    ),
    "model": Target(lambda: [_model()], _read_model),
    "text of a model": Target(_text_of(_model), _sealed_again(_model, _read_model)),
    "weights": Target(
        lambda: [save({"a": torch.ones(2), "b": torch.zeros(3, dtype=torch.long)}, {"c": "d"})],
        _reader("w.safetensors", lambda folder: read_weights(folder / "w.safetensors")),
    ),
    "latents": Target(_array, _latents),
    "picture": Target(_pictures, _reader("a.png", lambda folder: decode(Folder(folder), "a.png", RECIPE))),
}
"""All that is fuzzed, by its name."""


def _rows() -> bytes:
    names = ("cat", "dog", "eel")
    return (header(names) + line(row(0), names) + line(row(1), names)).encode()
