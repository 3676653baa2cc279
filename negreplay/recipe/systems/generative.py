"""Systems with a generator of images, as values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from negreplay.recipe.checks import MOST_AT_ONCE, WIDEST, above_zero, in_range
from negreplay.recipe.nets import Outputs
from negreplay.recipe.systems.system import Replays, SystemRecipe


@dataclass(frozen=True)
class DGRRecipe(SystemRecipe):
    """Deep Generative Replay: a VAE generates images, which the old classifier labels.

    `replayed` generated images join each minibatch of the classifier, and each of the VAE. With `distil` the target of
    an image is the old classifier's distribution over classes, at a `temperature`, instead of one class. With
    `averaged` this loss is multiplied by T^2 and divided by the number of outputs. The two hidden layers of the VAE
    have `width` units each, and its latent space has `latent_dim` dimensions.
    """

    explains: ClassVar[str] = "A generator network imagines images of the past, which the old network labels."
    replays: ClassVar[Replays] = Replays.NOTHING
    makes_images: ClassVar[bool] = True
    replayed: int = 128
    distil: bool = False
    temperature: float = 2.0
    outputs: Outputs = Outputs.SEEN
    width: int = 400
    latent_dim: int = 100
    averaged: bool = False
    kind: Literal["dgr"] = "dgr"

    def __post_init__(self) -> None:
        above_zero(self, "learner", "temperature")
        in_range(self, "learner", 1, MOST_AT_ONCE, "replayed")
        in_range(self, "learner", 1, WIDEST, "width", "latent_dim")
        if self.averaged and not self.distil:
            raise ValueError("learner.averaged has no effect: learner.distil is false; remove it.")
        if self.temperature != 2.0 and not self.distil:
            raise ValueError("learner.temperature has no effect: learner.distil is false; remove it.")
        if self.outputs is Outputs.CURRENT:
            raise ValueError(
                "learner.outputs is current: DGR also trains the old ones; give all, seen or own-experience."
            )
