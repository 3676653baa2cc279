"""Deep streaming linear discriminant analysis (SLDA).

References:
    Hayes & Kanan, Lifelong Machine Learning with Deep Streaming Linear Discriminant Analysis, 2020.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.learners.learner import Learner, Parts
from negreplay.optimize import Step
from negreplay.recipe import SLDARecipe
from negreplay.streams.stream import Experience


class SLDA(Learner[SLDARecipe]):
    """Class means and one covariance of features are updated pattern by pattern, and each pattern is seen once.

    `means`, `counts` and `covariance` are all that is kept. The covariance is in single precision; the means are in
    double, for they may lie far from zero. For a pattern z of class y, with t patterns before it: covariance = (t
    covariance + t / (t + 1) (z - mean_y)(z - mean_y)^T) / (t + 1), then mean_y and its count.

    A class is scored by w z + b with w = P mean and b = -mean P mean / 2, P being the inverse of (1 - e) covariance +
    e I. Both z and the means are taken relative to the mean of all patterns. This adds the same number to the scores of
    all classes, and keeps them small.

    Departure:
        There is no base initialisation from a first batch: the covariance starts at zero, as a stream demands. The
        first pattern of a class, which has no mean before it, adds nothing to the covariance.
    """

    means: Tensor
    counts: Tensor
    covariance: Tensor

    def __init__(self, spec: SLDARecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        rows = self.classifier.head.rows
        self.register_buffer("means", torch.zeros_like(rows, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(len(rows), dtype=torch.long, device=rows.device))
        self.register_buffer("covariance", rows.new_zeros(rows.shape[1], rows.shape[1]))

    def learn(self, experience: Experience) -> Iterator[Step]:
        memory = self.begin(experience)
        for features, labels, step in self.sweep(experience, self.rng):
            self._update(features, labels)
            yield step
        yield from self.end(experience, memory)

    def _update(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        """Updates as if pattern by pattern, for t * covariance is a sum, and the mean before each pattern is known."""
        t = self.counts.sum() + torch.arange(len(labels), device=labels.device)
        distances = torch.zeros_like(features)
        for y in labels.unique():
            of_class = labels == y
            z, before = features[of_class], self.counts[y] + torch.arange(int(of_class.sum()), device=labels.device)
            sums = self.counts[y] * self.means[y] + z.cumsum(dim=0)
            distances[of_class] = torch.where(
                before.unsqueeze(1) > 0, z - (sums - z) / before.clamp(min=1).unsqueeze(1), 0
            )
            self.counts[y] += len(z)
            self.means[y] = sums[-1] / self.counts[y]
        total = t[0] * self.covariance.double() + distances.T @ (distances * (t / (t + 1)).unsqueeze(1))
        self.covariance.copy_(total / (t[-1] + 1))

    @torch.no_grad()
    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        e, covariance = self.spec.shrinkage, self.covariance.double()
        centre = self.counts.double() @ self.means / self.counts.sum().clamp(min=1)
        means, z = self.means - centre, self.features(inputs, encoded).double() - centre
        identity = torch.eye(len(covariance)).to(covariance)
        weights = torch.linalg.solve((1 - e) * covariance + e * identity, means.T).T
        scores = z @ weights.T - (means * weights).sum(dim=1) / 2
        return scores.masked_fill(~self.classifier.head.seen, -torch.inf).float()
