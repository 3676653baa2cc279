"""Systems with a generator of images, as values."""

from dataclasses import dataclass
from typing import Literal

from negreplay.recipe.checks import Strict, at_least, check, distils
from negreplay.recipe.nets import Outputs


@dataclass(frozen=True)
class DGRRecipe(Strict):
    """Deep Generative Replay: a VAE of images, whose patterns the old classifier labels.

    `replayed` generated patterns join each minibatch, of the VAE's too. With `distil` a pattern keeps all that the old
    classifier says of it, at a `temperature`, instead of one class; `averaged` multiplies this loss by T^2 and divides
    it by the number of outputs. `width` is that of the VAE's two hidden layers.
    """

    replayed: int = 128
    distil: bool = False
    temperature: float = 2.0
    outputs: Outputs = Outputs.SEEN
    width: int = 400
    latent_dim: int = 100
    averaged: bool = False
    kind: Literal["dgr"] = "dgr"

    def __post_init__(self) -> None:
        distils(self)
        at_least(1, self, "learner", "replayed", "width", "latent_dim")
        check(self.distil or not self.averaged, "learner.averaged has no effect: learner.distil is false; remove it.")
        plain = self.distil or self.temperature == 2.0
        check(plain, "learner.temperature has no effect: learner.distil is false; remove it.")
        fits = self.outputs is not Outputs.CURRENT
        check(fits, "learner.outputs is current: DGR also trains the old ones; give all, seen or own-experience.")
