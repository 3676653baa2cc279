"""What a model says of pictures: classes with their probabilities, or that a picture fits none of them."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from negreplay.data.containers import Folder, listing
from negreplay.data.screening import SUFFIXES, LeftOut
from negreplay.errors import UserError
from negreplay.photographs.lessons import images_of
from negreplay.photographs.model import UNKNOWN, Model
from negreplay.photographs.pictures import Labelled, Pictures, decoded

BEST = 3
"""Classes that are named for a picture, the likeliest first."""
PERIOD = 0.5
"""Seconds between two looks into a folder that is watched."""


@dataclass(frozen=True)
class Prediction:
    """What is said of a picture: `name` is a class or `unknown`, `best` the likeliest classes and their probabilities.

    If the picture cannot be read, `problem` says why, and nothing else is said.
    """

    path: str
    name: str = ""
    best: tuple[tuple[str, float], ...] = ()
    problem: str = ""


def predict(model: Model, pictures: Pictures, share: float = 0.05) -> Iterator[Prediction]:
    """What the model says of each picture, in the order of the pictures.

    Args:
        model: has learned at least one class.
        pictures: files; the names of their classes do not matter.
        share: of pictures of known classes, so many are taken for unknown; 0 to call none unknown.

    Raises:
        UserError: the model has learned nothing.
    """
    if not model.names:
        raise UserError("the model has learned nothing yet: teach it first with `negreplay learn`.")
    judge, limit = model.judge, model.threshold(share) if share else None
    for part in decoded(pictures, model.images):
        whole = [picture for picture in part if not isinstance(picture, LeftOut)]
        said = dict[str, Prediction]()
        if whole:
            features = judge.features(images_of(whole), encoded=False)
            probabilities = (judge.score(features) / model.learner.temperature).softmax(dim=1)
            familiar = torch.ones(len(whole)).bool() if limit is None else judge.familiarity(features).cpu() >= limit
            for picture, row, fits in zip(whole, probabilities.cpu(), familiar.tolist(), strict=True):
                values, classes = row.topk(min(BEST, len(row)))
                named = zip(classes.tolist(), values.tolist(), strict=True)
                best = tuple((model.names[c], value) for c, value in named)
                said[picture.path] = Prediction(picture.path, best[0][0] if fits else UNKNOWN, best)
        for picture in part:
            problem = picture.reason if isinstance(picture, LeftOut) else ""
            yield said.get(picture.path, Prediction(picture.path, problem=problem))


def files_to_predict(paths: Iterable[Path]) -> list[Pictures]:
    """The pictures among files and folders, whose names end as those of pictures do.

    Raises:
        UserError: a path is missing, or a folder holds no pictures.
    """
    found = []
    for path in paths:
        if path.is_file() and path.suffix.lower() != ".zip":
            found.append(Pictures(Folder(path.parent), (Labelled(path.name, ""),)))
            continue
        if not path.exists() or not (path.is_dir() or path.is_file()):
            raise UserError(f"{path} does not exist, or is no file: give pictures, or folders or zips of pictures.")
        files, members = listing(path)
        pictures = tuple(Labelled(of.path, "") for of in members if of.path.lower().endswith(SUFFIXES))
        if not pictures:
            raise UserError(f"{path} holds no pictures: give files or folders of pictures.")
        found.append(Pictures(files, pictures))
    return found


def watch(folder: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[Pictures]:
    """Pictures as they come into a folder; each is taken when its size has stopped growing.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give one that exists, and put pictures there.")
    files = Folder(folder)
    done, sizes = {member.path for member in files.members()}, dict[str, int]()
    while True:
        present = [of for of in files.members() if of.path not in done and of.path.lower().endswith(SUFFIXES)]
        ready = [Labelled(of.path, "") for of in present if of.size and sizes.get(of.path) == of.size]
        sizes = {of.path: of.size for of in present}
        if ready:
            done |= {path for path, _ in ready}
            yield Pictures(files, tuple(ready))
        sleep(PERIOD)


def as_json(prediction: Prediction) -> str:
    """A line of JSON; in a picture that cannot be read, `problem` stands in place of a class."""
    if prediction.problem:
        return json.dumps({"path": prediction.path, "problem": prediction.problem}, ensure_ascii=False)
    fields = {"path": prediction.path, "class": prediction.name, "probability": round(prediction.best[0][1], 4)}
    best = [{"class": name, "probability": round(value, 4)} for name, value in prediction.best]
    return json.dumps(fields | {"best": best}, ensure_ascii=False)


HEADER = ("path", "class", "probability", *(f"{of}{i}" for i in range(2, BEST + 1) for of in ("class", "probability")))
"""The columns of `as_csv`: the class that is named, its probability, and the next ones."""


def as_csv(prediction: Prediction) -> str:
    """A line of CSV, with the columns of `HEADER`."""
    names = [name for name, _ in prediction.best][1:]
    values = [f"{value:.4f}" for _, value in prediction.best]
    rest = [of for pair in zip(names, values[1:], strict=True) for of in pair]
    row = [prediction.path, prediction.name, *values[:1], *rest]
    text = io.StringIO()
    end = "\r\n"  # for Python quotes those ends of lines only that it knows of
    csv.writer(text, lineterminator=end).writerow(row + [""] * (len(HEADER) - len(row)))
    return text.getvalue().removesuffix(end)
