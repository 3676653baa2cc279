"""What every way of learning offers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

from negreplay.optimize import Step
from negreplay.streams.stream import Experience


class Learner(nn.Module, ABC):
    """Learns experience by experience; its `state_dict` is all it knows."""

    @abstractmethod
    def learn(self, experience: Experience) -> Iterator[Step]:
        """Learns one experience, step by step."""

    @abstractmethod
    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        """Logits of images (or of latents, where `encoded`); minus infinity for classes never seen."""
