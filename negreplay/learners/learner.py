"""What every way of learning offers."""

from collections.abc import Iterator
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from negreplay.optimize import Step
from negreplay.streams.stream import Experience


class Learner(Protocol):
    """An `nn.Module` that learns experience by experience; its `state_dict` is all it knows."""

    def learn(self, experience: Experience) -> Iterator[Step]:
        """Learns one experience, step by step."""
        ...

    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        """Logits of images (or of latents, where `encoded`); minus infinity for classes never seen."""
        ...
