"""The commands that look at a model of photographs or change it: inspect, forget, rename, merge, undo."""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from negreplay.results.text import one_line

if TYPE_CHECKING:
    from negreplay.photographs.model import Lesson, Model

Path_ = Annotated[Path, tyro.conf.arg(metavar="FILE")]


@dataclass(frozen=True)
class InspectCommand:
    """Say what a model knows: classes, pictures, accuracy now and then, what is kept, and which network it has."""

    model: tyro.conf.Positional[Path]
    """The model."""

    def __call__(self, console: Console) -> None:
        from negreplay.photographs.files import before, read_model

        model = read_model(self.model)
        counts, accuracy = model.counts, model.accuracy()
        best = best_of(model.lessons[:-1])
        table = Table(box=None, pad_edge=False)
        for column in ("class", "pictures", "recognised now", "best before"):
            table.add_column(column, justify="left" if column == "class" else "right")
        for name in model.names:
            table.add_row(
                Text(one_line(name)), str(counts[name]), share_of(accuracy.get(name)), percent(best.get(name))
            )
        console.print(table)
        total = tuple(map(sum, zip(*accuracy.values(), strict=True))) or None
        say(
            console,
            f"{len(model.names)} classes, {sum(counts.values())} pictures; recognised: {share_of(total)} held back",
        )
        say(console, f"network: {model.recipe.classifier.backbone}, {model.origin}, {model.size} pixels")
        say(console, f"learner: {model.recipe.learner.kind}")
        for kind, size in model.kept().items():
            say(console, f"kept: {size / 1e6:8.2f} MB  {kind}")
        say(console, f"kept: {self.model.stat().st_size / 1e6:8.2f} MB  in all, in {self.model}; no picture")
        if before(self.model).exists():
            say(console, f"the version before lies in {before(self.model)}")
        for lesson in model.lessons:
            pictures = sum(lesson.learned.values()) + sum(lesson.held_back.values())
            classes = ", ".join(sorted(lesson.learned.keys() | lesson.held_back.keys()))
            say(console, f"{lesson.when}  {lesson.source}: {pictures} pictures of {classes or 'no class'}")


@dataclass(frozen=True)
class ForgetCommand:
    """Forget a class: its own sums go whole; what stays of it in sums of all classes is said."""

    name: tyro.conf.Positional[str]
    """The class."""
    model: Path_
    """The model."""

    def __call__(self, console: Console) -> None:
        from negreplay.photographs.changes import forget

        _change(self.model, lambda model: forget(model, self.name), console)


@dataclass(frozen=True)
class RenameCommand:
    """Give a class another name."""

    old: tyro.conf.Positional[str]
    """The class."""
    new: tyro.conf.Positional[str]
    """Its new name."""
    model: Path_
    """The model."""

    def __call__(self, console: Console) -> None:
        from negreplay.photographs.changes import rename

        _change(self.model, lambda model: rename(model, self.old, self.new), console)


@dataclass(frozen=True)
class MergeCommand:
    """Make one class of several, as if their pictures had always been of one class."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """The classes."""
    into: str
    """What the one class is called: one of them, or a new name."""
    model: Path_
    """The model."""

    def __call__(self, console: Console) -> None:
        from negreplay.photographs.changes import merge

        _change(self.model, lambda model: merge(model, self.names, self.into), console)


@dataclass(frozen=True)
class UndoCommand:
    """Take back the last lesson or change; a second undo takes the first one back."""

    model: Path_
    """The model."""

    def __call__(self, console: Console) -> None:
        from negreplay.photographs.files import undo

        model = undo(self.model)
        say(console, f"{self.model} knows {len(model.names)} classes again, of {sum(model.counts.values())} pictures")


@dataclass(frozen=True)
class ExportCommand:
    """Write a model as one file that other programs run, from picture to class: as ONNX or for torch.export."""

    file: tyro.conf.Positional[Path]
    """The file to write, whose name ends in .onnx or .pt2."""
    model: Path_
    """The model."""

    def __call__(self, console: Console) -> None:
        from negreplay.photographs.export import export
        from negreplay.photographs.files import read_model

        say(console, export(read_model(self.model), self.file))


def _change(path: Path, edit: "Callable[[Model], str]", console: Console) -> None:
    from negreplay.photographs.files import change

    sentence = change(path, edit).removesuffix(".")
    say(console, f"{sentence}; `negreplay undo --model {shlex.quote(str(path))}` takes it back")


def say(console: Console, text: str) -> None:
    """Prints a line, whatever names are in it."""
    console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


def best_of(lessons: "Iterable[Lesson]") -> dict[str, float]:
    """The best share of each class's pictures that was recognised after any of some lessons."""
    best = dict[str, float]()
    for lesson in lessons:
        for name, (right, of) in lesson.accuracy.items():
            best[name] = max(best.get(name, 0.0), right / of)
    return best


def share_of(of: tuple[int, ...] | None) -> str:
    """Of two numbers, right ones and all: 97% of 34."""
    return f"{of[0] / of[1]:.0%} of {of[1]}" if of else "-"


def percent(value: float | None) -> str:
    """A share in percent, where there is one."""
    return "-" if value is None else f"{value:.0%}"
