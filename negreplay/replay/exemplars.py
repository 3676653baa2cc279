"""Exemplars: original patterns kept class by class, equally many of each."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from negreplay.data.data import Data, Tensors
from negreplay.data.images import Pixels
from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Memory
from negreplay.recipe import Augment, Choice, ImageRecipe
from negreplay.replay.source import ReplaySource
from negreplay.streams.stream import Experience

AT_ONCE = 250
"""Patterns whose features are computed in one forward pass."""


class Exemplars(ReplaySource):
    """A memory of original patterns with as many of each class as of any other.

    Those of a class stand in the order of their choice, so that when its share shrinks the first ones stay. When a
    class comes again, what is chosen from are its exemplars and the new patterns together.

    Args:
        example: a pattern; where `images` is given, an image whose pixels are whole 255ths, kept as bytes.
        classes: number of classes.
        size: how many patterns fit.
        per_class: how many of each class; None divides `size` among the classes seen.
        choice: drawn, by herding, or all of them (`size` and no `per_class`).
        images: how the images are varied when they are taken.
        rng: draws.

    References:
        Rebuffi et al., iCaRL: Incremental Classifier and Representation Learning, 2017, Algorithms 4 and 5 (herding).
    """

    x: Tensor
    y: Tensor
    filled: Tensor
    past: Tensor

    def __init__(
        self,
        example: Float[Tensor, "*shape"],
        classes: int,
        size: int,
        per_class: int | None,
        choice: Choice,
        images: ImageRecipe | None,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.size, self.per_class, self.choice, self.images, self.rng = size, per_class, choice, images, rng
        kind = torch.float32 if images is None else torch.uint8
        self.register_buffer("x", torch.zeros(size, *example.shape, dtype=kind))
        self.register_buffer("y", torch.zeros(size, dtype=torch.long))
        self.register_buffer("filled", torch.tensor(0))
        self.register_buffer("past", torch.zeros(classes, dtype=torch.long))

    def recall(self) -> Memory:
        return self.data()

    def data(self, augmented: bool = True) -> Data:
        """What is kept, as a data set; images come varied unless they are read without draws."""
        filled, names = int(self.filled), tuple(map(str, range(len(self.past))))
        x, y = self.x[:filled], self.y[:filled]
        if self.images is None:
            return Tensors(x, y, names, "exemplars", encoded=True)
        pixels = np.moveaxis(x.numpy(), 1, -1)
        varied = augmented and self.images.augment is not Augment.NONE
        return Pixels(pixels, y, names, "exemplars", self.images, varied)

    @torch.no_grad()
    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        classifier.eval()
        counts, data = experience.counts, experience.data
        past = self.past + counts
        share = self.share(past)
        xs, ys = [], []
        for c in past.nonzero().flatten().tolist():
            mine = self.x[: int(self.filled)][self.y[: int(self.filled)] == c]
            if counts[c]:
                batches = data.of(c).batches(AT_ONCE)
                new = [self.packed(classifier.encode(x, data.encoded).cpu()) for x, _ in batches]
                mine = self._chosen(classifier, mine, torch.cat(new), share, c)
            xs.append(mine[:share])
            ys.append(torch.full((len(xs[-1]),), c))
        x, y = torch.cat(xs)[: self.size], torch.cat(ys)[: self.size]
        self.x[: len(y)], self.y[: len(y)] = x, y
        self.filled.fill_(len(y))
        self.past.copy_(past)
        yield from ()

    def packed(self, x: Float[Tensor, "n *shape"]) -> Tensor:
        """Patterns as they are kept: images as bytes, latents as they are."""
        return x if self.images is None else (x * 255).round().to(torch.uint8)

    def put_first(self, c: int, kept: Tensor) -> None:
        """Gives these the first places of class `c`, as many as it has, whose last exemplars go."""
        places = (self.y[: int(self.filled)] == c).nonzero().flatten()
        kept = kept[: len(places)]
        self.x[places] = torch.cat([kept, self.x[places[: len(places) - len(kept)]]])

    def share(self, past: Int[Tensor, " classes"]) -> int:
        """How many of a class are kept, when so many patterns of each have come."""
        if self.choice is Choice.ALL:
            return self.size
        return self.per_class or self.size // int((past > 0).sum())

    def _unpacked(self, x: Tensor) -> Float[Tensor, "n *shape"]:
        return x if self.images is None else x / 255

    def _chosen(self, classifier: Classifier, kept: Tensor, new: Tensor, share: int, c: int) -> Tensor:
        """The exemplars of class `c`, of which `kept` were before, and `new` have come."""
        match self.choice:
            case Choice.HERDING:
                candidates = torch.cat([kept, new])
                chunks = self._unpacked(candidates).split(AT_ONCE)
                features = torch.cat([classifier.features(classifier.encode(x, True)).float().cpu() for x in chunks])
                return candidates[herding(features, share)]
            case Choice.ALL:
                return torch.cat([kept, new])
            case _:
                # Each pattern of the class that ever came is as likely to be here as any other.
                total = int(self.past[c]) + len(new)
                place = torch.rand(total, generator=self.rng).argsort()[:share]
                old = min(int((place < self.past[c]).sum()), len(kept))
                fresh = torch.randperm(len(new), generator=self.rng)[: share - old]
                stay = torch.randperm(len(kept), generator=self.rng)[:old]
                both = torch.cat([kept[stay], new[fresh]])
                return both[torch.randperm(len(both), generator=self.rng)]


def herding(features: Float[Tensor, "n f"], count: int) -> Int[Tensor, " k"]:
    """The patterns whose mean stays nearest to the mean of all, one after the other (iCaRL's Algorithm 4).

    Features are taken at length 1.
    """
    features = F.normalize(features, dim=1)
    mean, total = features.mean(dim=0), torch.zeros_like(features[0])
    halves = features.square().sum(dim=1) / 2
    free = torch.ones(len(features), dtype=torch.bool)
    chosen = []
    for k in range(1, min(count, len(features)) + 1):
        # |mean - (total + f) / k|^2 is smallest where this is largest, which is one product of a matrix and a vector.
        gain = features @ (k * mean - total) - halves
        best = int(gain.masked_fill(~free, -torch.inf).argmax())
        chosen.append(best)
        free[best] = False
        total += features[best]
    return torch.tensor(chosen, dtype=torch.long)


def kept_images(recipe: ImageRecipe, x: Float[Tensor, "*shape"]) -> ImageRecipe | None:
    """How images that have been read by this recipe are varied when they are read again; None where they are no bytes.

    They have their size already, so resized crops are taken of what was looked at plainly.
    """
    whole = (x * 255).round()
    if x.dim() != 3 or not torch.allclose(whole / 255, x, rtol=0, atol=1e-6):
        return None
    side = x.shape[-1] if recipe.augment is Augment.RESIZED_CROP else None
    return replace(recipe, size=side, shorter_side=None)
