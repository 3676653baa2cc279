"""Recall from statistics: a class is a normal distribution of latents, measured on real ones and never trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.errors import UserError
from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Memory, nothing
from negreplay.recipe import Covariance, ReplayRecipe
from negreplay.replay.source import ReplaySource
from negreplay.replay.spreads import Spread, spread_of
from negreplay.statistics import ClassMeans, Diagonals, Separable, Sketches, signed_roots
from negreplay.streams.stream import Experience

AT_ONCE = 128


class Statistics(ReplaySource):
    """Latents drawn from the mean and the covariance of the square roots of a class's latents.

    The covariance is of low rank, separable or diagonal (see `Covariance`). Roots are squared again, and where no
    latent was ever below zero those below zero are set to zero first. A pattern is its class and an integer, which is
    drawn anew for every minibatch.

    Statistics are sums over real latents. So they do not degrade from one experience to the next, as a generator does
    that learns from what it generated.

    Args:
        latent: the shape of a latent.
        classes: how many classes there will be.
        recipe: how many patterns are recalled in an experience (R), and the form of the covariance.
        rng: draws the matrix of sketches, where the covariance is of low rank.

    Raises:
        UserError: the covariance is to be separable, and latents are vectors.
    """

    signed: Tensor

    def __init__(self, latent: tuple[int, ...], classes: int, recipe: ReplayRecipe, rng: torch.Generator) -> None:
        super().__init__()
        self.latent, self.recipe = latent, recipe
        self.means = ClassMeans(classes, math.prod(latent))
        self.covariance = build_covariance(latent, classes, recipe, rng)
        self.register_buffer("signed", torch.tensor(False))

    def recall(self) -> Memory:
        classes = self.means.counts.nonzero().flatten()
        if len(classes) == 0:
            return nothing()
        means, counts, memory = self.means.means.float(), self.means.counts.double(), self.recipe.memory
        spread = spread_of(self.covariance, classes, counts[classes])
        places = torch.arange(memory) % len(classes)
        return Drawn(classes[places], places, means[classes], spread, self.latent, bool(self.signed))

    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        for x, y in experience.batches(AT_ONCE):
            latents = classifier.encode(x, experience.data.encoded).cpu().flatten(1).float()
            self.signed |= (latents < 0).any()
            self.covariance.add(self.means.add(signed_roots(latents), y))
        yield from ()


def build_covariance(
    latent: tuple[int, ...], classes: int, recipe: ReplayRecipe, rng: torch.Generator
) -> Sketches | Separable | Diagonals:
    """The sums that the covariance of the recipe needs."""
    size = math.prod(latent)
    match recipe.covariance:
        case Covariance.LOW_RANK:
            assert recipe.rank is not None, "ReplayRecipe demands a rank for a covariance of low rank"
            return Sketches(classes, size, recipe.rank, rng)
        case Covariance.SEPARABLE:
            if len(latent) < 2:
                raise UserError(
                    f"replay.covariance is separable, but latents are vectors of {size} numbers: "
                    "give low-rank or diagonal, or cut where latents are maps."
                )
            return Separable(classes, latent)
        case Covariance.DIAGONAL:
            return Diagonals(classes, size)


@dataclass(frozen=True)
class Drawn:
    """A memory of patterns that are drawn when they are read; a row is a class, and a draw decides all else.

    `places` are the classes' rows in `means`, and in the `spread` around them.
    """

    labels: Int[Tensor, " n"]
    places: Int[Tensor, " n"]
    means: Float[Tensor, "classes size"]
    spread: Spread
    latent: tuple[int, ...]
    signed: bool
    augmented: bool = True

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *latent"]:
        """The patterns of these rows; without draws they are those of the rows' numbers."""
        numbers = self.spread.numbers
        normal, rng = torch.empty(len(rows), numbers), torch.Generator()
        for row, draw in zip(normal, (rows if draws is None else draws).tolist(), strict=True):
            torch.randn(numbers, generator=rng.manual_seed(draw), out=row)
        places = self.places[rows]
        roots = self.spread.around(self.means[places], places, normal)
        if not self.signed:
            roots = roots.relu()
        return (roots * roots.abs()).reshape(-1, *self.latent)
