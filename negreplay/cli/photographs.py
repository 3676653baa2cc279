"""The commands for people with photographs: learn and predict.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from negreplay.cli.models import Path_, best_of, percent, say, share_of
from negreplay.errors import UserError
from negreplay.results.text import one_line, printable

if TYPE_CHECKING:
    from negreplay.data.download import Advance
    from negreplay.photographs.model import Lesson, Model
    from negreplay.photographs.predictions import Prediction

Kind = Literal["rda", "nearest-mean", "slda", "klda", "fecam", "ridge", "ranpac"]


@dataclass(frozen=True)
class LearnCommand:
    """Teach a model classes from photographs: new classes, or new pictures of old ones, without the earlier pictures.

    The pictures lie in a folder (or zip) with a folder for each class, or are listed in a CSV with the columns path and
    label. The model ends the same as if all pictures had come at once.
    """

    pictures: tyro.conf.Positional[Path]
    """Folder, zip or CSV of pictures with their classes."""
    model: Path_
    """The model; it is made if it is not there, and the version before stays beside it."""
    backbone: str | None = None
    """Of a new model: a network of timm, as timm/NAME, with timm's weights (default: EfficientNet-Lite0)."""
    weights: Path | None = None
    """Of a new model: a safetensors file of the backbone's weights, in place of a download."""
    learner: Kind | None = None
    """Of a new model: how it learns from features (default: rda, the best under 40 MB for 50 classes)."""
    size: int | None = None
    """Of a new model: pixels of a side, to which pictures are fitted (default: 224)."""
    test_pictures: bool = True
    """Of a new model: whether a tenth of the pictures is held back, as features, to tell how good the model is."""
    unusable: Literal["refuse", "skip"] = "refuse"
    """What becomes of damaged pictures, and of those that have come in another class."""

    def __call__(self, console: Console) -> None:
        from negreplay.display import follow
        from negreplay.photographs.files import check_path, read_model, write_model, writing
        from negreplay.photographs.lessons import learn
        from negreplay.photographs.pictures import labelled_pictures
        from negreplay.slow_paths import avoid_slow_paths

        avoid_slow_paths()
        if not self.model.exists():
            check_path(self.model)
        pictures = labelled_pictures(self.pictures)
        with writing(self.model):
            if self.model.exists():
                self._check_settings()
                model = read_model(self.model)
            else:
                model = self._new()
            say(console, f"network: {model.recipe.classifier.backbone}, {model.origin}")
            lessons = list["Lesson"]()
            earlier, count = model.accuracy(), len(model.labels)
            follow(
                _returning(learn(model, pictures, self.unusable == "skip", " with --unusable skip"), lessons.append),
                console,
            )
            if lessons[0].is_new:
                write_model(model, self.model)
        _show_lesson(model, lessons[0], self.model, console)
        _compare(earlier, model.accuracy(count), console)

    def _check_settings(self) -> None:
        given = {
            "--backbone": self.backbone is not None,
            "--weights": self.weights is not None,
            "--learner": self.learner is not None,
            "--size": self.size is not None,
            "--no-test-pictures": not self.test_pictures,
        }
        for option, is_given in given.items():
            if is_given:
                raise UserError(
                    f"{self.model} is there already, and {option} is for a new model: leave it out, "
                    "or give --model another name."
                )

    def _new(self) -> "Model":
        from negreplay.photographs.model import Model
        from negreplay.photographs.networks import network
        from negreplay.recipe import CLOSED_FORM

        spec = CLOSED_FORM[self.learner or "rda"]()
        size = 224 if self.size is None else self.size
        if not 32 <= size <= 1024:
            raise UserError(f"--size is {size}: give 32 to 1024 pixels.")
        return Model.new(network(self.backbone, self.weights), spec, size, self.test_pictures)


@dataclass(frozen=True)
class PredictCommand:
    """Say of which class pictures are, with the probability, or that they fit no class.

    The exit code is 0 if each picture has a class, 1 if one is unknown, and 2 if one cannot be read.
    """

    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures, and folders or zips of pictures."""
    model: Path_
    """The model."""
    format: Literal["table", "jsonl", "csv"] = "table"
    """How it is said: as a table, or line by line as JSON or CSV."""
    unknown: float = 0.05
    """Of pictures of known classes, the share that may be taken for unknown; 0 calls none unknown."""
    watch: Path | None = None
    """A folder in which pictures are awaited, until Ctrl-C."""

    def __call__(self, console: Console) -> None:
        if not 0 <= self.unknown < 1:
            raise UserError(f"--unknown is {self.unknown}: give a number from 0 to below 1.")
        if not self.pictures and self.watch is None:
            raise UserError("no pictures are given: name files or folders, or a folder to --watch.")
        from negreplay.photographs.files import read_model
        from negreplay.photographs.model import ENOUGH, UNKNOWN
        from negreplay.photographs.predictions import HEADER, files_to_predict, predict, watch
        from negreplay.slow_paths import avoid_slow_paths

        avoid_slow_paths()
        model, given = read_model(self.model), files_to_predict(self.pictures)
        if self.unknown and model.threshold(self.unknown) is None:
            note = f"too few pictures were held back ({len(model.labels)} of {ENOUGH}) to tell what is unknown"
            print(f"negreplay: {note}; probabilities are guesses.", file=sys.stderr)
        problems = unknown = 0
        if self.format == "csv":
            print(",".join(HEADER))
        for pictures in chain(given, watch(self.watch) if self.watch else ()):
            for prediction in predict(model, pictures, self.unknown):
                problems += bool(prediction.problem)
                unknown += prediction.name == UNKNOWN
                self._show(prediction, str(pictures.files.path), max(map(len, model.names)))
        if problems or unknown:
            sys.exit(2 if problems else 1)

    def _show(self, prediction: "Prediction", place: str, width: int) -> None:
        from negreplay.photographs.predictions import as_csv, as_json

        prediction = replace(prediction, path=str(Path(place) / prediction.path))
        if self.format != "table":
            print(printable(as_json(prediction) if self.format == "jsonl" else as_csv(prediction)), flush=True)
        elif prediction.problem:
            print(one_line(f"  -    {'cannot be read':{width}}  {prediction.path} ({prediction.problem})"), flush=True)
        else:
            print(one_line(f"{prediction.best[0][1]:>4.0%}   {prediction.name:{width}}  {prediction.path}"), flush=True)


def _returning(steps: "Generator[Advance, None, Lesson]", take: "Callable[[Lesson], None]") -> "Iterator[Advance]":
    """The steps of a lesson; what it returns is handed over at the end."""
    take((yield from steps))


def _compare(before: "dict[str, tuple[int, int]]", now: "dict[str, tuple[int, int]]", console: Console) -> None:
    """Says what has become of the pictures that were held back before."""
    if before:
        (right, of), (right_now, of_now) = (tuple(map(sum, zip(*some.values(), strict=True))) for some in (before, now))
        say(console, f"of the pictures held back before: {right / of:.1%} before, {right_now / of_now:.1%} now")


def _show_lesson(model: "Model", lesson: "Lesson", path: Path, console: Console) -> None:
    best = best_of(of for of in model.lessons if of is not lesson)
    table = Table(box=None, pad_edge=False)
    for column in ("class", "learned", "held back", "recognised now", "best before"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name in model.names:
        new = lesson.learned.get(name, 0), lesson.held_back.get(name, 0)
        share = share_of(lesson.accuracy.get(name))
        table.add_row(Text(one_line(name)), *(str(count or "-") for count in new), share, percent(best.get(name)))
    console.print(table)
    known = f", {lesson.known} pictures that it knew" if lesson.known else ""
    left = f", {lesson.left_out} files that are no pictures" if lesson.left_out else ""
    right, of = (sum(values) for values in zip(*lesson.accuracy.values(), strict=True)) if lesson.accuracy else (0, 0)
    now = (
        f"it recognises {right / of:.1%} of the {of} pictures held back" if of else "no picture is held back to test it"
    )
    say(console, f"learned {sum(lesson.learned.values())} pictures{known}{left}; {now}")
    for file, reason in lesson.examples.items():
        say(console, f"left out: {file} ({reason})")
    say(console, f"{path}: {len(model.names)} classes, {path.stat().st_size / 1e6:.1f} MB, no picture")
