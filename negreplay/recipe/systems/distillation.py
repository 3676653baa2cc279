"""Systems that distil the old classifier's predictions on new patterns, as values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from negreplay.recipe.checks import LARGEST, above_zero, in_range
from negreplay.recipe.learning import Weighting
from negreplay.recipe.nets import Outputs
from negreplay.recipe.systems.system import Replays, SystemRecipe


@dataclass(frozen=True)
class LwFRecipe(SystemRecipe):
    """Learning without Forgetting: on new patterns the classifier keeps the predictions that it made before.

    `strength` weighs the distillation, and `temperature` divides the logits in it. With `weighting` by experiences the
    loss of the new labels has the weight 1/N and the distillation 1 - 1/N in the N-th experience. With `against_new`
    the new outputs compete in the distillation, where the old classifier gives them the probability 0. With `averaged`
    the distillation is multiplied by T^2 and divided by the number of competing outputs.
    """

    explains: ClassVar[str] = "The network keeps the answers that it gave to the new images before it learned them."
    replays: ClassVar[Replays] = Replays.EXEMPLARS_OR_NOTHING
    strength: float = 1.0
    temperature: float = 2.0
    weighting: Weighting = Weighting.PATTERNS
    outputs: Outputs = Outputs.SEEN
    against_new: bool = False
    averaged: bool = False
    kind: Literal["lwf"] = "lwf"

    def __post_init__(self) -> None:
        in_range(self, "learner", 0, LARGEST, "strength")
        above_zero(self, "learner", "temperature")
        if self.against_new and self.outputs is Outputs.OWN:
            raise ValueError(
                "learner.against_new has no effect: with own outputs the new ones never compete; remove it."
            )
        if self.outputs is Outputs.CURRENT:
            raise ValueError(
                "learner.outputs is current: LwF also trains the old ones; give all, seen or own-experience."
            )


@dataclass(frozen=True)
class LwMRecipe(SystemRecipe):
    """Learning without Memorizing: Learning without Forgetting that also keeps the attention of the old classifier.

    The attention is taken over the maps of the network's layer called `layer`. `attention` weighs the distance of the
    attentions (gamma), and `strength` the distillation (beta).
    """

    explains: ClassVar[str] = "The network keeps its earlier answers to the new images, and the places where it looked."
    replays: ClassVar[Replays] = Replays.EXEMPLARS_OR_NOTHING
    layer: str
    strength: float = 1.0
    attention: float = 1.0
    temperature: float = 2.0
    kind: Literal["lwm"] = "lwm"

    def __post_init__(self) -> None:
        in_range(self, "learner", 0, LARGEST, "strength", "attention")
        above_zero(self, "learner", "temperature")
