"""What holds weights back from forgetting, as values."""

from dataclasses import dataclass
from typing import Literal

from negreplay.recipe.checks import Strict, at_least, check


@dataclass(frozen=True)
class SynapticIntelligenceRecipe(Strict):
    """Weights that lowered the loss much are held where they were (Tables 4 and 8)."""

    strength: float
    clip: float | None = 1e-3
    multiplier: float = 1.0
    damping: float = 1e-7
    kind: Literal["si"] = "si"

    def __post_init__(self) -> None:
        at_least(0, self, "penalty", "strength", "clip", "multiplier")
        check(self.damping > 0, f"penalty.damping is {self.damping}: give a number above 0.")


@dataclass(frozen=True)
class EWCRecipe(Strict):
    """Weights that the predictions depend on are held where they were.

    With `decay` (gamma, 0 to 1) the importances of all experiences are added up in one, the earlier ones multiplied by
    it each time (online EWC); without, each experience keeps its own. `patterns` bounds how many of an experience are
    looked at; for each of them all answers that the classifier may give count, or one that is `drawn`, which takes less
    time where classes are many.
    """

    strength: float
    decay: float | None = None
    patterns: int | None = None
    drawn: bool = False
    kind: Literal["ewc"] = "ewc"

    def __post_init__(self) -> None:
        at_least(0, self, "penalty", "strength")
        at_least(1, self, "penalty", "patterns")
        inside = self.decay is None or 0 <= self.decay <= 1
        check(inside, f"penalty.decay is {self.decay}: give a number from 0 to 1.")


@dataclass(frozen=True)
class RWalkRecipe(Strict):
    """Riemannian Walk: importances by how the predictions, and how the loss, depended on the weights.

    The Fisher information is averaged along the way, `decay` (alpha) being the weight of the newest minibatch, and the
    scores of the path are added up `every` so many steps.
    """

    strength: float
    decay: float = 0.9
    every: int = 50
    kind: Literal["rwalk"] = "rwalk"

    def __post_init__(self) -> None:
        at_least(0, self, "penalty", "strength")
        at_least(1, self, "penalty", "every")
        check(0 < self.decay <= 1, f"penalty.decay is {self.decay}: give a number above 0, up to 1.")


PenaltyRecipe = SynapticIntelligenceRecipe | EWCRecipe | RWalkRecipe
