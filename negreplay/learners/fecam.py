"""FeCAM: a normal distribution for each class.

References:
    Goswami et al., FeCAM: Exploiting the Heterogeneity of Class Distributions in Exemplar-Free Continual Learning,
    2023.
    Friedman, Regularized Discriminant Analysis, 1989.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.learner import Parts
from negreplay.recipe import FeCAMRecipe
from negreplay.statistics import ClassMeans, Deviations, Sketches, Triangle


class FeCAM(ClosedForm[FeCAMRecipe]):
    """A class is scored by minus half the squared Mahalanobis distance to its mean, under its own covariance.

    The covariance is shrunk (Equation 7) and divided by the standard deviations, which makes a matrix of correlations
    of it (Equation 8), so that distances to different classes can be compared.

    Departure:
        With `shared` that share of a covariance is the mean covariance of all classes (Friedman). With `rank` only so
        many directions of a class's covariance are kept, and its diagonal.
    """

    def __init__(self, spec: FeCAMRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        size, rank = self.inputs, spec.rank
        self.means = ClassMeans(self.classes, size)
        self.common = Triangle(size) if spec.shared else None
        whole = nn.ModuleList(Triangle(size) for _ in range(self.classes if rank is None else 0))
        self.own = whole if rank is None else Sketches(self.classes, size, rank, parts.rng)
        self.to(self.device.name)

    def count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        deviations = self.means.add(features, labels)
        if self.common is not None:
            self.common.add(deviations.rows)
        if isinstance(self.own, Sketches):
            self.own.add(deviations)
        else:
            self._add_whole(deviations)

    def _add_whole(self, deviations: Deviations) -> None:
        for c, triangle in enumerate(self.own.children()):
            of_class = deviations.labels == c
            if of_class.any():
                assert isinstance(triangle, Triangle)
                triangle.add(deviations.rows[of_class])

    def covariance(self, c: int) -> Float[Tensor, "f f"]:
        """The covariance of a class before it is shrunk, in double precision."""
        if isinstance(self.own, Sketches):
            factors = self.own.factors(c)
            scatter = factors @ factors.T
            scatter.diagonal().add_((self.own.squares[c] - scatter.diagonal()).clamp(min=0))
        else:
            scatter = self.own.get_submodule(str(c))
            assert isinstance(scatter, Triangle)
            scatter = scatter.whole()
        covariance = (1 - self.spec.shared) * scatter / self.means.counts[c]
        if self.common is not None:
            covariance += self.spec.shared * self.common.whole() / self.means.counts.sum()
        return covariance

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
