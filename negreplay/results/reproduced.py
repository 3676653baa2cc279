"""A published number beside ours, and whether ours reproduces it."""

import math
from dataclasses import dataclass

from negreplay.results.metrics import Spread
from negreplay.results.targets import Target

WITHIN = 2.0
"""Standard deviations of the difference within which a number counts as reproduced."""


@dataclass(frozen=True)
class Line:
    """One number of a table: the paper's and ours, for one arm.

    `paper` is None where nothing is published. `study` names the study that gave ours; it is None where nothing has
    been run.
    """

    benchmark: str
    arm: str
    paper: Target | None
    study: str | None
    ours: Spread | None
    stand_in: bool

    @property
    def deviations(self) -> float | None:
        """By how many standard deviations ours differs from the paper's; None where that cannot be said.

        The standard deviation of the difference follows from those of both over seeds, or from the one that is known.
        """
        if self.ours is None or self.stand_in or self.paper is None:
            return None
        std = math.hypot(100 * (self.ours.std or 0.0), self.paper.std or 0.0)
        return (100 * self.ours.mean - self.paper.value) / std if std else None

    @property
    def reproduced(self) -> str:
        """`yes` or `no` with the difference, `not run`, or why it cannot be said."""
        if self.ours is None or self.stand_in:
            return "not run"
        if self.paper is None:
            return "nothing published"
        points = 100 * self.ours.mean - self.paper.value
        if self.ours.std is None:
            return f"{points:+.2f} points; one seed, not judged"
        if self.paper.tolerance is not None:
            verdict = "yes" if abs(points) <= self.paper.tolerance else "no"
            return f"{verdict} ({points:+.2f}; {self.paper.tolerance:.2f} allowed)"
        if self.deviations is None:
            return f"{points:+.2f} points; no deviation to judge by"
        return f"{'yes' if abs(self.deviations) <= WITHIN else 'no'} ({self.deviations:+.1f} s.d.)"
