"""What a program that follows a run is told, and what it has to offer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from negreplay.recipe import Recipe, Study


@dataclass(frozen=True)
class Followed:
    """An arm with a seed of a study, in the folder of its run; `first` is the experience, from 0, with which it starts.

    A run that is resumed starts with a later experience than the first one.
    """

    folder: Path
    study: Study
    recipe: Recipe
    seed: int
    first: int

    @property
    def name(self) -> str:
        """The arm and the seed: nr-gd-0."""
        return f"{self.recipe.name}-{self.seed}"


@dataclass(frozen=True)
class Point:
    """Numbers at a position in the stream.

    `index` is that of the experience, from 0, and `share` how much of it has been learned, up to 1. `values` are the
    numbers by the names of their curves. They are `results` of an evaluation, or else the loss of a step.
    """

    index: int
    share: float
    values: dict[str, float]
    results: bool


@runtime_checkable
class Curves(Protocol):
    """What a tool writes of one arm with one seed."""

    def write(self, point: Point) -> None: ...

    def close(self, finished: bool) -> None:
        """Ends the curves; they may go on in another process if the arm has not `finished`."""
        ...
