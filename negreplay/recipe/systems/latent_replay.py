"""Generative negative replay, AR1 and their relatives, as values."""

from dataclasses import dataclass
from typing import Literal

from negreplay.recipe.checks import Strict, check
from negreplay.recipe.nets import HeadKind, Mean, Outputs
from negreplay.recipe.systems.penalties import PenaltyRecipe


@dataclass(frozen=True)
class LatentReplayRecipe(Strict):
    """Algorithm 2: its head, and the penalty on what it learns.

    CWR* head and SI: AR1; CWR* head without a penalty: AR1free; plain head: naive, or with a penalty SI, EWC and RWalk.
    """

    head: HeadKind = HeadKind.CWR_STAR
    mean: Mean = Mean.PER_CLASS
    penalty: PenaltyRecipe | None = None
    outputs: Outputs = Outputs.ALL
    kind: Literal["latent-replay"] = "latent-replay"

    def __post_init__(self) -> None:
        star, plain = self.head is HeadKind.CWR_STAR, self.head is HeadKind.PLAIN
        check(star or self.mean is Mean.PER_CLASS, f"learner.mean has no effect with head {self.head}: remove it.")
        idle = f"learner.outputs has no effect with head {self.head}: remove it, or take the plain head."
        check(plain or self.outputs is Outputs.ALL, idle)
