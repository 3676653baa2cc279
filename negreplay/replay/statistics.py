"""Recall from statistics: a class is a normal distribution of latents, measured on real ones and never trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Memory, nothing
from negreplay.replay.source import ReplaySource
from negreplay.statistics import ClassMeans, Sketches, signed_roots
from negreplay.streams.stream import Experience

AT_ONCE = 128


class Statistics(ReplaySource):
    """Latents drawn from the mean and a covariance of low rank of the square roots of a class's latents.

    The rest of the variance, what the directions of the covariance leave out, is noise of each number by itself. Roots
    are squared again, and where no latent was ever below zero those below zero are set to zero first. A pattern is its
    class and an integer, which is drawn anew for every minibatch.

    Statistics are sums over real latents. So they do not degrade from one experience to the next, as a generator does
    that learns from what it generated.

    Args:
        latent: the shape of a latent.
        classes: how many classes there will be.
        memory: R, patterns recalled in an experience.
        rank: directions of a class's covariance that are kept.
        rng: draws the sketches' matrix.
    """

    signed: Tensor

    def __init__(self, latent: tuple[int, ...], classes: int, memory: int, rank: int, rng: torch.Generator) -> None:
        super().__init__()
        size = math.prod(latent)
        self.latent, self.memory = latent, memory
        self.means = ClassMeans(classes, size)
        self.sketches = Sketches(classes, size, rank, rng)
        self.register_buffer("signed", torch.tensor(False))

    def recall(self) -> Memory:
        classes = self.means.counts.nonzero().flatten()
        if len(classes) == 0:
            return nothing()
        means, counts = self.means.means.float(), self.means.counts.double()
        factors, noise = [], []
        for c in classes.tolist():
            factor = self.sketches.factors(c)
            rest = (self.sketches.squares[c] - factor.square().sum(dim=1)).clamp(min=0)
            factors.append((factor / counts[c].sqrt()).float())
            noise.append((rest / counts[c]).sqrt().float())
        places = torch.arange(self.memory) % len(classes)
        labels = classes[places]
        return Drawn(
            labels, places, means[classes], torch.stack(factors), torch.stack(noise), self.latent, bool(self.signed)
        )

    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        for x, y in experience.batches(AT_ONCE):
            latents = classifier.encode(x, experience.data.encoded).cpu().flatten(1).float()
            self.signed |= (latents < 0).any()
            self.sketches.add(self.means.add(signed_roots(latents), y))
        yield from ()


@dataclass(frozen=True)
class Drawn:
    """A memory of patterns that are drawn when they are read; a row is a class, and a draw decides all else.

    `places` are the classes' rows in `means`, `factors` and `noise`.
    """

    labels: Int[Tensor, " n"]
    places: Int[Tensor, " n"]
    means: Float[Tensor, "classes size"]
    factors: Float[Tensor, "classes size rank"]
    noise: Float[Tensor, "classes size"]
    latent: tuple[int, ...]
    signed: bool
    augmented: bool = True

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *latent"]:
        """The patterns of these rows; without draws they are those of the rows' numbers."""
        size, rank = self.factors.shape[1:]
        normal, rng = torch.empty(len(rows), rank + size), torch.Generator()
        for row, draw in zip(normal, (rows if draws is None else draws).tolist(), strict=True):
            torch.randn(rank + size, generator=rng.manual_seed(draw), out=row)
        places = self.places[rows]
        roots = self.means[places] + self.noise[places] * normal[:, rank:]
        for place in places.unique().tolist():
            of_class = places == place
            roots[of_class] += normal[of_class, :rank] @ self.factors[place].T
        if not self.signed:
            roots = roots.relu()
        return (roots * roots.abs()).reshape(-1, *self.latent)
