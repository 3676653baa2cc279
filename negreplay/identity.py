"""What the numbers of a run depend on, recorded when it starts and compared when it is resumed."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from negreplay.builders.study_files import dump_study
from negreplay.data.data import Data
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


class Differences(NamedTuple):
    """What is not as it was, as parts of a sentence that ends with "since this run began".

    `contents` are data sets of which files have another content, though the numbers of images are the same: a damaged
    image may have been repaired.
    """

    changes: list[str]
    contents: list[str]


def compare(folder: Path, recorded: Mapping[str, Any], study: Study, places: Places) -> Differences:
    """What has changed of the study, its data sets and its files of weights since the run in the folder began.

    Raises:
        UserError: data or weights are missing.
    """
    changes: list[str] = []
    if recorded["study"] != hashlib.sha256((folder / "study.json").read_bytes()).hexdigest():
        changes.append(f"{folder / 'study.json'} has been edited")
    open_data.cache_clear()  # images may have changed since an earlier run of this process
    present = identify(study, places)
    used = {name: before for name, before in recorded["data"].items() if name in present["data"]}
    for name, before in used.items():
        changes += _changes_of_data(name, before, present["data"][name])
    # An earlier version recorded the path, which changes where the files are moved.
    weights = {Path(path).name: checksum for path, checksum in recorded["weights"].items()}
    for name, checksum in present["weights"].items():
        if weights.get(Path(name).name) != checksum:
            changes.append(f"the file of weights {name} has another content")
    others = [name for name, before in used.items() if before["fingerprint"] != present["data"][name]["fingerprint"]]
    return Differences(changes, [f"the data {name}, has files of another content" for name in others])


def _changes_of_data(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    missing, new = (_listed(a["images"].keys() - b["images"].keys()) for a, b in ((before, now), (now, before)))
    if missing or new:
        parts = [f"lacks the class {missing}"] * bool(missing) + [f"has the new class {new}"] * bool(new)
        return [f"the data {name}, {' and '.join(parts)}"]
    counts = ((label, now["images"][label], count) for label, count in before["images"].items())
    return [
        f"the data {name}, has {new} images of {label!r} instead of {old}" for label, new, old in counts if new != old
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def _describe(data: Data) -> dict[str, Any]:
    counts = data.labels.bincount(minlength=len(data.names)).tolist()
    return {"images": dict(zip(data.names, counts, strict=True)), "fingerprint": data.fingerprint}
