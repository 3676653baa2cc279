"""Penalties that keep important weights near their earlier values, as values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from negreplay.recipe.checks import LARGEST, MOST_PATTERNS, MOST_STEPS, Strict, above_zero, in_range


@dataclass(frozen=True)
class SynapticIntelligenceRecipe(Strict):
    """Synaptic Intelligence: weights whose movement lowered the loss stay near their earlier values (Tables 4 and 8).

    `strength` weighs the penalty. The importance of a weight is its share in the fall of the loss, divided by its
    squared movement plus `damping`. It is multiplied by `multiplier` and clipped from above at `clip`.
    """

    explains: ClassVar[str] = "Weights whose movement lowered the loss are kept near where they were."
    strength: float
    clip: float | None = 1e-3
    multiplier: float = 1.0
    damping: float = 1e-7
    kind: Literal["si"] = "si"

    def __post_init__(self) -> None:
        in_range(self, "penalty", 0, LARGEST, "strength", "clip", "multiplier")
        above_zero(self, "penalty", "damping")


@dataclass(frozen=True)
class EWCRecipe(Strict):
    """Elastic Weight Consolidation: weights that the predictions depend on stay near their earlier values.

    `strength` weighs the penalty. Without `decay` each experience keeps importances of its own. With `decay` (gamma, 0
    to 1) there is one sum of importances, which is multiplied by `decay` before those of an experience are added
    (online EWC). Importances are computed on at most `patterns` patterns of an experience. For each pattern all classes
    that the classifier may answer count; or, with `drawn`, one class that is drawn from its answer, which takes less
    time where classes are many.
    """

    explains: ClassVar[str] = "Weights that predictions depend on are kept near where they were."
    strength: float
    decay: float | None = None
    patterns: int | None = None
    drawn: bool = False
    kind: Literal["ewc"] = "ewc"

    def __post_init__(self) -> None:
        in_range(self, "penalty", 0, LARGEST, "strength")
        in_range(self, "penalty", 1, MOST_PATTERNS, "patterns")
        if self.decay is not None and not 0 <= self.decay <= 1:
            raise ValueError(f"penalty.decay is {self.decay}: give a number from 0 to 1.")


@dataclass(frozen=True)
class RWalkRecipe(Strict):
    """Riemannian Walk: weights that the predictions or the loss depended on stay near their earlier values.

    `strength` weighs the penalty. The Fisher information is a running average, in which the newest minibatch has the
    weight `decay` (alpha). The scores of the path are added up every `every` steps.
    """

    explains: ClassVar[str] = "Weights that predictions and the loss depended on are kept near where they were."
    strength: float
    decay: float = 0.9
    every: int = 50
    kind: Literal["rwalk"] = "rwalk"

    def __post_init__(self) -> None:
        in_range(self, "penalty", 0, LARGEST, "strength")
        in_range(self, "penalty", 1, MOST_STEPS, "every")
        if not 0 < self.decay <= 1:
            raise ValueError(f"penalty.decay is {self.decay}: give a number above 0, up to 1.")


PenaltyRecipe = SynapticIntelligenceRecipe | EWCRecipe | RWalkRecipe
