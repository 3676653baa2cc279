"""Other programs that follow a run: what its events say becomes curves in TensorBoard and in Weights & Biases.

A follower is shown events, exactly like the display; nothing that learns knows of it. One that fails is left out with a
line on the terminal, and the run goes on.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from negreplay.bridges.points import Curves, Followed, Point
from negreplay.errors import UserError, suggest
from negreplay.prepare import Event
from negreplay.recipe import Study
from negreplay.results.metrics import Row
from negreplay.results.text import printable

GROUPS = {
    "accuracy": ("whole", "growing", "task_agnostic", "task_aware"),
    "seconds": ("train_seconds", "generator_seconds", "evaluate_seconds"),
    "bytes": ("kept_bytes", "peak_bytes"),
}
"""The columns of results.csv that are followed, by the group in which a tool shows them."""
MOST_CLASSES = 100
"""With more classes than these there is no curve for each class; results.csv has them all."""
LOSSES = 1000
"""Losses that are written of a part of the work, in a whole stream."""


class Follower:
    """Shows the events of a run to one tool, which gets curves for each arm and seed.

    Args:
        name: of the tool.
        folder: of the run.
        study: what is run.
    """

    def __init__(self, name: str, folder: Path, study: Study) -> None:
        self.name, self.folder, self.study = name, folder, study
        self.recipes = {recipe.name: recipe for recipe in study.recipes}
        self.open = dict[tuple[str, int], Curves]()
        self.written = dict[tuple[str, int], tuple[str, int]]()
        self.failed = False

    def __call__(self, event: Event) -> None:
        """Takes what an event says; a failure is a line on the terminal, and the end of following."""
        point = self._point(event)
        if point is not None:
            self._try(lambda: self._curves(event).write(point))
        key = event.arm, event.seed
        if event.step is None and event.index == event.experiences - 1 and key in self.open:
            self._try(lambda: self.open.pop(key).close(finished=True))

    def close(self) -> None:
        """Ends the curves of all arms that were stopped."""
        for key in list(self.open):
            self._try(lambda key=key: self.open.pop(key).close(finished=False))

    def _curves(self, event: Event) -> Curves:
        key = event.arm, event.seed
        if key not in self.open:
            followed = Followed(self.folder, self.study, self.recipes[event.arm], event.seed, event.index)
            self.open[key] = TOOLS[self.name](followed)
        return self.open[key]

    def _point(self, event: Event) -> Point | None:
        """What is written of an event, if anything is."""
        if event.row is not None:
            return Point(event.index, 1.0, values_of(event.row), results=True)
        step, key = event.step, (event.arm, event.seed)
        if step is None or step.part == "encoding" or not step.loss:
            return None
        share = step.done / step.total
        thinned = step.part, int(LOSSES * (event.index + share) / event.experiences)
        if self.written.get(key) == thinned:
            return None
        self.written[key] = thinned
        return Point(event.index, share, {f"loss/{step.part}": step.loss}, results=False)

    def _try(self, work: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            work()
        except Exception as error:  # whatever a tool raises, for the run is worth more than its curves
            self.failed = True
            reason = printable((str(error).strip() or type(error).__name__).splitlines()[0]).rstrip(".")
            print(f"negreplay: {self.name} follows no longer ({reason}); the run goes on without it.", file=sys.stderr)


def values_of(row: Row) -> dict[str, float]:
    """The numbers of an evaluation by the names of their curves: `accuracy/whole`, `class/cat`, `bytes/kept_bytes`."""
    values = {f"{group}/{name}": getattr(row, name) for group, names in GROUPS.items() for name in names}
    if len(row.per_class) <= MOST_CLASSES:
        values |= {f"class/{printable(name)}": share for name, share in row.per_class.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def _tensorboard(followed: Followed) -> Curves:
    from negreplay.bridges.tensorboard import TensorBoardCurves

    return TensorBoardCurves(followed)


def _wandb(followed: Followed) -> Curves:
    from negreplay.bridges.wandb import WandbCurves

    return WandbCurves(followed)


TOOLS: dict[str, Callable[[Followed], Curves]] = {"tensorboard": _tensorboard, "wandb": _wandb}
"""The tools that can follow a run, by the names of their packages."""


def check_followers(names: Sequence[str]) -> None:
    """Refuses a tool that could not follow a run, before anything is learned.

    Raises:
        UserError: there is no such tool, its package is missing, or Weights & Biases knows neither who is asking nor
            that it should stay offline.
    """
    for name in names:
        if name not in TOOLS:
            raise UserError(f"no tool called {name!r} can follow a run: {suggest(name, list(TOOLS))}")
        try:
            import_module(f"negreplay.bridges.{name}").check()
        except ModuleNotFoundError as error:
            raise UserError(f"to follow a run {name} needs {error.name}: pip install 'negreplay[track]'.") from None


@contextmanager
def following(names: Sequence[str], folder: Path, study: Study) -> Iterator[Callable[[Event], None]]:
    """A context whose value is to be called with each event of a run.

    Args:
        names: tools: `tensorboard`, `wandb`, or both.
        folder: of the run.
        study: what is run.

    Raises:
        UserError: a tool is refused by `check_followers`.
    """
    check_followers(names)
    followers = [Follower(name, folder, study) for name in dict.fromkeys(names)]

    def show(event: Event) -> None:
        for follower in followers:
            follower(event)

    try:
        yield show
    finally:
        for follower in followers:
            follower.close()
