"""Patterns of another source made worse by a dial: what generators do to them, one fault at a time."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Memory, Patterns
from negreplay.recipe import DegradedRecipe
from negreplay.replay.source import ReplaySource
from negreplay.streams.stream import Experience


class Degraded(ReplaySource):
    """The patterns of a source, with wrong labels, less variety or noise.

    Args:
        source: what is made worse.
        recipe: by how much.
        rng: draws.
    """

    def __init__(self, source: ReplaySource, recipe: DegradedRecipe, rng: torch.Generator) -> None:
        super().__init__()
        self.source, self.recipe, self.rng = source, recipe, rng

    def recall(self) -> Memory:
        memory = self.source.recall()
        rows = torch.arange(len(memory.labels))
        if len(rows) == 0:
            return memory
        return Patterns(self._blurred(memory.read(rows)), self._relabelled(memory.labels))

    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        yield from self.source.absorb(classifier, experience, memory)

    def _relabelled(self, labels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Labels of which the share `labels`, rounded, are drawn anew among all classes of the memory."""
        classes, changed = labels.unique(), labels.clone()
        chosen = torch.randperm(len(labels), generator=self.rng)[: round(self.recipe.labels * len(labels))]
        changed[chosen] = classes[torch.randint(len(classes), (len(chosen),), generator=self.rng)]
        return changed

    def _blurred(self, x: Float[Tensor, "n *latent"]) -> Float[Tensor, "n *latent"]:
        """Patterns that lie nearer to their common mean, and are then mixed with uniform noise of their range."""
        x = torch.lerp(x, x.mean(dim=0).expand_as(x), self.recipe.variety)
        if self.recipe.noise == 0:
            return x
        low, high = x.min(), x.flatten().kthvalue(max(1, round(0.9 * x.numel()))).values
        noise = low + (high - low) * torch.rand(x.shape, generator=self.rng)
        return torch.lerp(x, noise, self.recipe.noise)
