"""FeCAM: a normal distribution for each class.

References:
    Goswami et al., FeCAM: Exploiting the Heterogeneity of Class Distributions in Exemplar-Free Continual Learning,
    2023.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.learner import Parts
from negreplay.recipe import FeCAMRecipe
from negreplay.statistics import ClassMeans, Deviations, Triangle


class FeCAM(ClosedForm[FeCAMRecipe]):
    """A class is scored by minus half the squared Mahalanobis distance to its mean, under its own covariance.

    The covariance is shrunk (Equation 7) and divided by the standard deviations, which makes a matrix of correlations
    of it (Equation 8), so that distances to different classes can be compared.
    """

    def __init__(self, spec: FeCAMRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.means = ClassMeans(self.classes, self.inputs)
        self.scatters = nn.ModuleList(Triangle(self.inputs) for _ in range(self.classes))
        self.to(self.device.name)

    def count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        self._add(self.means.add(features, labels))

    def _merge(self, other: "FeCAM", to: Int[Tensor, " others"]) -> None:
        for old, new in enumerate(to.tolist()):
            if new >= 0:
                self._scatter(new).merge(other._scatter(old))
        self._add(self.means.merge(other.means, to))

    def _add(self, deviations: Deviations) -> None:
        for c in deviations.labels.unique().tolist():
            self._scatter(c).add(deviations.rows[deviations.labels == c])

    def _scatter(self, c: int) -> Triangle:
        scatter = self.scatters[c]
        assert isinstance(scatter, Triangle)
        return scatter

    def covariance(self, c: int) -> Float[Tensor, "f f"]:
        """The covariance of a class before it is shrunk, in double precision."""
        return self._scatter(c).whole() / self.means.counts[c]

    def correlations(self, c: int) -> Float[Tensor, "f f"]:
        """The shrunk covariance of a class, divided by its standard deviations."""
        covariance = self.covariance(c)
        variances, size = covariance.diagonal(), len(covariance)
        variance = variances.mean().clamp(min=1e-12)
        beside = (covariance.sum() - variances.sum()) / max(1, size * (size - 1))
        covariance += self.spec.covariance * beside
        covariance.diagonal().add_(self.spec.variance * variance - self.spec.covariance * beside)
        deviations = covariance.diagonal().sqrt()
        return covariance / deviations / deviations.unsqueeze(1)

    def solve(self) -> Scorer:
        means = self.means.means
        seen = self.means.counts.nonzero().flatten().tolist()
        factors = {c: torch.linalg.cholesky(self.correlations(c)).float() for c in seen}

        def scores(features: Float[Tensor, "n f"]) -> Float[Tensor, "n classes"]:
            found = torch.zeros(len(features), len(means), device=features.device)
            for c, factor in factors.items():
                deviations = (features.double() - means[c]).float().T
                found[:, c] = -torch.linalg.solve_triangular(factor, deviations, upper=False).square().sum(dim=0) / 2
            return found

        return scores
