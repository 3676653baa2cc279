"""Systems that keep what the old classifier says of new patterns, as values."""

from dataclasses import dataclass
from typing import Literal

from negreplay.recipe.checks import Strict, check, distils
from negreplay.recipe.learning import Weighting
from negreplay.recipe.nets import Outputs


@dataclass(frozen=True)
class LwFRecipe(Strict):
    """Learning without Forgetting: what the old classifier says of the new patterns is kept.

    `weighting` by experiences gives the loss of the new labels 1/N and the distillation 1 - 1/N in the N-th one. With
    `against_new` the new outputs compete in the distillation, where the old classifier says 0 of them; `averaged`
    multiplies it by T^2 and divides it by the number of competing outputs.
    """

    strength: float = 1.0
    temperature: float = 2.0
    weighting: Weighting = Weighting.PATTERNS
    outputs: Outputs = Outputs.SEEN
    against_new: bool = False
    averaged: bool = False
    kind: Literal["lwf"] = "lwf"

    def __post_init__(self) -> None:
        distils(self, "strength")
        told = self.against_new and self.outputs is Outputs.OWN
        check(not told, "learner.against_new has no effect: with own outputs the new ones never compete; remove it.")
        fits = self.outputs is not Outputs.CURRENT
        check(fits, "learner.outputs is current: LwF also trains the old ones; give all, seen or own-experience.")


@dataclass(frozen=True)
class LwMRecipe(Strict):
    """Learning without Memorizing: LwF, and where the old classifier looked is kept too.

    `layer` of the network, whose maps the attention is taken over; `attention` is the weight of their distance (gamma),
    `strength` that of the distillation (beta).
    """

    layer: str
    strength: float = 1.0
    attention: float = 1.0
    temperature: float = 2.0
    kind: Literal["lwm"] = "lwm"

    def __post_init__(self) -> None:
        distils(self, "strength", "attention")
