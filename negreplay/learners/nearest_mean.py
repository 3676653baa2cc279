"""The nearest class mean: the plainest of yardsticks on features that do not change.

References:
    Mensink et al., Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost, 2013.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from negreplay.learners.learner import Learner, Parts
from negreplay.optimize import Step
from negreplay.recipe import NearestMeanRecipe
from negreplay.streams.stream import Experience


class NearestMean(Learner[NearestMeanRecipe]):
    """A class is the mean of its patterns' features; nothing is trained and no pattern is kept."""

    total: Tensor
    counts: Tensor

    def __init__(self, spec: NearestMeanRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        rows = self.classifier.head.rows
        self.register_buffer("total", torch.zeros_like(rows, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(len(rows), dtype=torch.long, device=rows.device))

    def learn(self, experience: Experience) -> Iterator[Step]:
        memory = self.begin(experience)
        for features, labels, step in self.sweep(experience):
            self.total.index_add_(0, labels, features)
            self.counts += torch.bincount(labels, minlength=len(self.counts))
            yield step
        yield from self.end(experience, memory)

    @torch.no_grad()
    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        """The score of a class is minus the squared distance to its mean."""
        means = self.total / self.counts.clamp(min=1).unsqueeze(1)
        # torch computes distances from squares, in which small differences of features far from zero are lost.
        centre = self.total.sum(dim=0) / self.counts.sum().clamp(min=1)
        scores = -torch.cdist(self.features(inputs, encoded).double() - centre, means - centre).square()
        return scores.masked_fill(~self.classifier.head.seen, -torch.inf).float()
