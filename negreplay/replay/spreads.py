"""How patterns that are drawn from statistics lie around the mean of their class."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.statistics import Diagonals, Separable, Sketches
from negreplay.statistics.maps import correlation_root


@dataclass(frozen=True)
class LowRank:
    """Each class varies in a few directions of its own, and the rest of the variance of each number is noise."""

    factors: Float[Tensor, "classes size rank"]
    noise: Float[Tensor, "classes size"]

    @property
    def numbers(self) -> int:
        """How many normal numbers a pattern is made of."""
        return self.factors.shape[2] + self.noise.shape[1]

    def around(
        self, means: Float[Tensor, "k size"], places: Int[Tensor, " k"], normal: Float[Tensor, "k numbers"]
    ) -> Float[Tensor, "k size"]:
        """Patterns around the means of their classes, whose rows in `factors` and `noise` these places are."""
        rank = self.factors.shape[2]
        patterns = means + self.noise[places] * normal[:, rank:]
        for place in places.unique().tolist():
            of_class = places == place
            patterns[of_class] += normal[of_class, :rank] @ self.factors[place].T
        return patterns


@dataclass(frozen=True)
class Correlated:
    """Each number of a map varies by its class, and together with others by its channel and its place.

    `channels` and `places` are square roots of the matrices of correlations.
    """

    channels: Float[Tensor, "channels channels"]
    places: Float[Tensor, "places places"]
    noise: Float[Tensor, "classes size"]

    @property
    def numbers(self) -> int:
        """How many normal numbers a pattern is made of."""
        return self.noise.shape[1]

    def around(
        self, means: Float[Tensor, "k size"], places: Int[Tensor, " k"], normal: Float[Tensor, "k numbers"]
    ) -> Float[Tensor, "k size"]:
        """Patterns around the means of their classes, whose rows in `noise` these places are."""
        maps = normal.unflatten(1, (len(self.channels), len(self.places)))
        return means + self.noise[places] * (self.channels @ maps @ self.places).flatten(1)


Spread = LowRank | Correlated


def spread_of(
    covariance: Sketches | Separable | Diagonals,
    classes: Int[Tensor, " classes"],
    counts: Float[Tensor, " classes"],
) -> Spread:
    """The spread of these classes, of which so many patterns were counted."""
    if isinstance(covariance, Sketches):
        return _low_rank(covariance, classes, counts)
    diagonals = covariance.diagonals if isinstance(covariance, Separable) else covariance
    noise = (diagonals.squares[classes] / counts.unsqueeze(1)).sqrt().float()
    if isinstance(covariance, Separable):
        channels, places = (correlation_root(scatter) for scatter in (covariance.channels, covariance.places))
        return Correlated(channels.float(), places.float(), noise)
    return LowRank(noise.new_empty(*noise.shape, 0), noise)


def _low_rank(sketches: Sketches, classes: Int[Tensor, " classes"], counts: Float[Tensor, " classes"]) -> LowRank:
    factors, noise = [], []
    for c, count in zip(classes.tolist(), counts, strict=True):
        factor = sketches.factors(c)
        rest = (sketches.squares[c] - factor.square().sum(dim=1)).clamp(min=0)
        factors.append((factor / count.sqrt()).float())
        noise.append((rest / count).sqrt().float())
    return LowRank(torch.stack(factors), torch.stack(noise))
