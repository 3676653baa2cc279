"""The commands that look at a model of photographs or change it: inspect, forget, rename, merge, undo."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from negreplay.errors import UserError
from negreplay.files import alone
from negreplay.results.text import printable

if TYPE_CHECKING:
    from negreplay.photographs.model import Model

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
        best = best_before(model)
        table = Table(box=None, pad_edge=False)
        for column in ("class", "pictures", "recognised now", "best before"):
            table.add_column(column, justify="left" if column == "class" else "right")
        for name in model.names:
            table.add_row(printable(name), str(counts[name]), share_of(accuracy.get(name)), percent(best.get(name)))
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
        def forget(model: "Model") -> str:
            number = model.number(self.name)
            if len(model.names) == 1:
                raise UserError(
                    f"the model knows {self.name!r} only: teach it another class before it forgets this one."
                )
            pictures = model.counts[self.name]
            to = [c - (c > number) if c != number else -1 for c in range(len(model.names))]
            model.regroup(to, [name for name in model.names if name != self.name])
            return f"forgot {self.name}: {pictures} pictures. {model.learner.spec.stays}"

        change(self.model, forget, console)


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
        def rename(model: "Model") -> str:
            from negreplay.photographs.lessons import check_names

            number, others = model.number(self.old), [name for name in model.names if name != self.old]
            if self.new in others:
                raise UserError(f"there is a class {self.new!r} already: `negreplay merge` makes one class of two.")
            check_names(others, [self.new])
            model.names[number] = self.new
            return f"{self.old} is called {self.new} now"

        change(self.model, rename, console)


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
        def merge(model: "Model") -> str:
            from negreplay.photographs.lessons import check_names

            merged = {model.number(name) for name in self.names}
            if len(merged) + (self.into in model.names and model.number(self.into) not in merged) < 2:
                raise UserError("one class cannot be merged: name two classes or more.")
            if self.into in model.names:
                merged.add(model.number(self.into))
            names = [name for c, name in enumerate(model.names) if c not in merged]
            check_names(names, [self.into])
            names.append(self.into)
            to = [names.index(self.into if c in merged else name) for c, name in enumerate(model.names)]
            model.regroup(to, names)
            return f"{' and '.join(self.names)} are one class now, {self.into}: {model.counts[self.into]} pictures"

        change(self.model, merge, console)


@dataclass(frozen=True)
class UndoCommand:
    """Take back the last lesson or change; a second undo takes the first one back."""

    model: Path_
    """The model."""

    def __call__(self, console: Console) -> None:
        from negreplay.photographs.files import read_model, undo

        with writing(self.model):
            undo(self.model)
            model = read_model(self.model)
        say(console, f"{self.model} knows {len(model.names)} classes again, of {sum(model.counts.values())} pictures")


def change(path: Path, edit: "Callable[[Model], str]", console: Console) -> None:
    """Changes a model in its file, and says what has become of it."""
    from negreplay.photographs.files import read_model, write_model

    with writing(path):
        model = read_model(path)
        sentence = edit(model)
        write_model(model, path)
    say(console, f"{sentence}; `negreplay undo --model {path}` takes it back")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within, no other process writes the model."""
    busy = f"another process is writing {path}: wait until it has finished."
    with alone(path.with_name(f".{path.name}.lock"), busy):
        yield


def say(console: Console, text: str) -> None:
    """Prints a line, whatever names are in it."""
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def best_before(model: "Model") -> dict[str, float]:
    """The best share of each class's pictures that was recognised after any earlier lesson."""
    best = dict[str, float]()
    for lesson in model.lessons[:-1]:
        for name, (right, of) in lesson.accuracy.items():
            best[name] = max(best.get(name, 0.0), right / of)
    return best


def share_of(of: tuple[int, ...] | None) -> str:
    """Of two numbers, right ones and all: 97% of 34."""
    return f"{of[0] / of[1]:.0%} of {of[1]}" if of else "-"


def percent(value: float | None) -> str:
    """A share in percent, where there is one."""
    return "-" if value is None else f"{value:.0%}"
