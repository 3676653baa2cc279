"""Exemplars: original patterns are kept, equally many of each class."""

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
    """A memory of original patterns with equally many patterns of each class.

    The patterns of a class are in the order in which they were chosen; when its share shrinks, the first ones stay.
    When a class comes again, its new exemplars are chosen from the old ones and the new patterns together.

    Args:
        example: one pattern. Where `images` is given it is an image whose pixels are multiples of 1/255, for images are
            stored as bytes.
        classes: number of classes.
        size: how many patterns fit.
        per_class: how many patterns of each class are kept; None divides `size` among the classes seen.
        choice: whether patterns are chosen at random or by herding, or all are kept (then `per_class` is None).
        images: how stored images are varied when they are read.
        rng: draws patterns.

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
        """The exemplars as a data set, whose images are varied by draws if they are `augmented`."""
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
            exemplars = self.x[: int(self.filled)][self.y[: int(self.filled)] == c]
            if counts[c]:
                batches = data.of(c).batches(AT_ONCE)
                new = [self.packed(classifier.encode(x, data.encoded).cpu()) for x, _ in batches]
                exemplars = self._choose(classifier, exemplars, torch.cat(new), share, c)
            xs.append(exemplars[:share])
            ys.append(torch.full((len(xs[-1]),), c))
        x, y = torch.cat(xs)[: self.size], torch.cat(ys)[: self.size]
        self.x[: len(y)], self.y[: len(y)] = x, y
        self.filled.fill_(len(y))
        self.past.copy_(past)
        yield from ()

    def packed(self, x: Float[Tensor, "n *shape"]) -> Tensor:
        """Patterns as they are stored: images as bytes, latents unchanged."""
        return x if self.images is None else (x * 255).round().to(torch.uint8)

    def put_first(self, c: int, patterns: Tensor) -> None:
        """Puts patterns before the exemplars of class `c`, which drops its last ones to keep their number."""
        places = (self.y[: int(self.filled)] == c).nonzero().flatten()
        patterns = patterns[: len(places)]
        self.x[places] = torch.cat([patterns, self.x[places[: len(places) - len(patterns)]]])

    def share(self, past: Int[Tensor, " classes"]) -> int:
        """How many patterns of a class are kept, once `past` patterns of each class have come."""
        if self.choice is Choice.ALL:
            return self.size
        return self.per_class or self.size // int((past > 0).sum())

    def _unpacked(self, x: Tensor) -> Float[Tensor, "n *shape"]:
        return x if self.images is None else x / 255

    def _choose(self, classifier: Classifier, old: Tensor, new: Tensor, share: int, c: int) -> Tensor:
        """Chooses the exemplars of class `c` from its old exemplars and its new patterns."""
        match self.choice:
            case Choice.HERDING:
                candidates = torch.cat([old, new])
                chunks = self._unpacked(candidates).split(AT_ONCE)
                features = torch.cat([classifier.features(classifier.encode(x, True)).float().cpu() for x in chunks])
                return candidates[herding(features, share)]
            case Choice.ALL:
                return torch.cat([old, new])
            case _:
                # Every pattern of the class that ever came has the same chance to be an exemplar.
                total = int(self.past[c]) + len(new)
                drawn = torch.rand(total, generator=self.rng).argsort()[:share]
                count = min(int((drawn < self.past[c]).sum()), len(old))
                new_rows = torch.randperm(len(new), generator=self.rng)[: share - count]
                old_rows = torch.randperm(len(old), generator=self.rng)[:count]
                both = torch.cat([old[old_rows], new[new_rows]])
                return both[torch.randperm(len(both), generator=self.rng)]


def herding(features: Float[Tensor, "n f"], count: int) -> Int[Tensor, " k"]:
    """The rows of `count` patterns, each chosen so that their mean is nearest to the mean of all (iCaRL's Algorithm 4).

    Features are scaled to length 1 first.
    """
    features = F.normalize(features, dim=1)
    mean, total = features.mean(dim=0), torch.zeros_like(features[0])
    halves = features.square().sum(dim=1) / 2
    free = torch.ones(len(features), dtype=torch.bool)
    chosen = []
    for k in range(1, min(count, len(features)) + 1):
        # |mean - (total + f) / k|^2 is smallest where `gain` is largest, which takes only one matrix-vector product.
        gain = features @ (k * mean - total) - halves
        best = int(gain.masked_fill(~free, -torch.inf).argmax())
        chosen.append(best)
        free[best] = False
        total += features[best]
    return torch.tensor(chosen, dtype=torch.long)


def kept_images(recipe: ImageRecipe, x: Float[Tensor, "*shape"]) -> ImageRecipe | None:
    """How stored images, such as `x`, are varied when they are read; None where pixels are not multiples of 1/255.

    They were read by `recipe` and have their size already, so resized crops are taken from what that left of them.
    """
    whole = (x * 255).round()
    if x.dim() != 3 or not torch.allclose(whole / 255, x, rtol=0, atol=1e-6):
        return None
    side = x.shape[-1] if recipe.augment is Augment.RESIZED_CROP else None
    return replace(recipe, size=side, shorter_side=None)
