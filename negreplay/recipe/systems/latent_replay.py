"""Generative negative replay, AR1 and their relatives, as values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from negreplay.recipe.learning import ReplayRecipe, Source
from negreplay.recipe.nets import HeadKind, Mean, Outputs
from negreplay.recipe.systems.penalties import PenaltyRecipe
from negreplay.recipe.systems.system import Replays, SystemRecipe


@dataclass(frozen=True)
class LatentReplayRecipe(SystemRecipe):
    """Algorithm 2, with its head and the penalty on what it learns.

    The CWR* head with Synaptic Intelligence is AR1, and without a penalty AR1free. The plain head without a penalty is
    the naive learner, and with one it is Synaptic Intelligence, EWC or RWalk. Only a plain head has `outputs`.
    """

    replays: ClassVar[Replays] = Replays.ANYTHING
    front_learns: ClassVar[bool] = True
    head: HeadKind = HeadKind.CWR_STAR
    mean: Mean = Mean.PER_CLASS
    penalty: PenaltyRecipe | None = None
    outputs: Outputs = Outputs.ALL
    kind: Literal["latent-replay"] = "latent-replay"

    def __post_init__(self) -> None:
        if self.mean is not Mean.PER_CLASS and self.head is not HeadKind.CWR_STAR:
            raise ValueError(f"learner.mean has no effect with head {self.head}: remove it.")
        if self.outputs is not Outputs.ALL and self.head is not HeadKind.PLAIN:
            raise ValueError(f"learner.outputs has no effect with head {self.head}: remove it, or take the plain head.")

    def explanation(self) -> Iterator[str]:
        """What the penalty and the outputs do: all else that this system does is its replay."""
        if self.penalty is not None:
            yield self.penalty.explains
        if self.outputs is Outputs.CURRENT:
            yield "Absent classes take no part in the training, so nothing is taught against them."

    def objection(self, replay: ReplayRecipe) -> str | None:
        """Refuses replay where patterns of earlier experiences have no output."""
        if self.outputs is Outputs.CURRENT and replay.source is not Source.NONE:
            return "learner.outputs is current: replayed patterns have no output then; set source none."
        return None
