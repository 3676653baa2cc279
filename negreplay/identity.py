"""What the numbers of a run depend on, recorded when it starts and compared when it is resumed."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from negreplay.builders.study_files import dump_study
from negreplay.data.data import Data
from negreplay.errors import UserError
from negreplay.files import find
from negreplay.prepare import Places, images_of, open_data
from negreplay.recipe import Study


def identify(study: Study, places: Places) -> dict[str, Any]:
    """The checksum of the study, its data sets by name and split, and the checksums of its files of weights.

    Arms share images. They are described once, and named by the first arm that has them.

    Raises:
        UserError: data or weights are missing.
    """
    data: dict[str, Any] = {}
    files: dict[str, str] = {}
    for recipe in {images_of(recipe.arriving): recipe for recipe in reversed(study.recipes)}.values():
        for split, one in zip(("training", "test"), open_data(recipe.arriving, places.data), strict=True):
            data[f"{recipe.arriving.data}, {split} set, of arm {recipe.name}"] = _describe(one)
    for recipe in study.recipes:
        if recipe.classifier.weights is not None:
            name = recipe.classifier.weights.file
            path = find(name, places.weights, "weights")
            files[name] = files.get(name) or hashlib.sha256(path.read_bytes()).hexdigest()
    return {"study": hashlib.sha256(dump_study(study)).hexdigest(), "data": data, "weights": files}


def compare(folder: Path, recorded: Mapping[str, Any], study: Study, places: Places) -> list[str]:
    """Refuses to go on with what is not as it was.

    Returns:
        A sentence for each data set of which files have another content, though the numbers of images are the same: a
        damaged image may have been repaired since then.

    Raises:
        UserError: the study, a class, a data set or a file of weights has changed since the run in the folder began.
    """
    if recorded["study"] != hashlib.sha256((folder / "study.json").read_bytes()).hexdigest():
        raise _changed(f"{folder / 'study.json'} has been edited")
    open_data.cache_clear()  # images may have changed since an earlier run of this process
    present = identify(study, places)
    for name, before in recorded["data"].items():
        _compare_data(name, before, present["data"][name])
    for name, checksum in present["weights"].items():
        # An earlier version recorded the path, which changes where the files are moved.
        before = {Path(path).name: of for path, of in recorded["weights"].items()}
        if before.get(Path(name).name) != checksum:
            raise _changed(f"the file of weights {name} has another content")
    return [
        f"the data {name}, has files of another content than when this run began: what is learned from here on is "
        "learned from them."
        for name, before in recorded["data"].items()
        if before["fingerprint"] != present["data"][name]["fingerprint"]
    ]


def _compare_data(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    missing, new = (_listed(a["images"].keys() - b["images"].keys()) for a, b in ((before, now), (now, before)))
    if missing or new:
        parts = [f"lacks the class {missing}"] * bool(missing) + [f"has the new class {new}"] * bool(new)
        raise _changed(f"the data {name}, {' and '.join(parts)}")
    for label, count in before["images"].items():
        if now["images"][label] != count:
            raise _changed(f"the data {name}, has {now['images'][label]} images of {label!r} instead of {count}")


def _changed(what: str) -> UserError:
    return UserError(f"{what} since this run began: put it back as it was, or run the study in another folder.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def _describe(data: Data) -> dict[str, Any]:
    counts = data.labels.bincount(minlength=len(data.names)).tolist()
    return {"images": dict(zip(data.names, counts, strict=True)), "fingerprint": data.fingerprint}
