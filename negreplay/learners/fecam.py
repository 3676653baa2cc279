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

ROWS = 128
"""Rows of inverses that are multiplied with patterns at once."""


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

    def common_part(self) -> Tensor:
        """What is added to the covariance of every class: a share of their mean, in double precision."""
        if self.common is None:
            return self.means.centre.new_zeros(())
        return self.spec.shared * self.common.whole() / self.means.counts.sum()

    def correlations(self, c: int, common: Tensor) -> Float[Tensor, "f f"]:
        """The shrunk covariance of a class, divided by its standard deviations, in double precision.

        Args:
            c: a class that has come.
            common: what `common_part` gives, which is computed once for all classes.
        """
        covariance = self._scatter(c).mul_(1 - self.spec.shared).div_(self.means.counts[c]).add_(common)
        variances, size = covariance.diagonal(), len(covariance)
        variance = variances.mean().clamp(min=1e-12)
        beside = (covariance.sum() - variances.sum()) / max(1, size * (size - 1))
        covariance += self.spec.covariance * beside
        covariance.diagonal().add_(self.spec.variance * variance - self.spec.covariance * beside)
        deviations = covariance.diagonal().sqrt()
        return covariance.div_(deviations).div_(deviations.unsqueeze(1))

    def _scatter(self, c: int) -> Float[Tensor, "f f"]:
        """The scatter of a class in double precision, in memory of its own."""
        if isinstance(self.own, Sketches):
            factors = self.own.factors(c)
            scatter = factors @ factors.T
            scatter.diagonal().add_((self.own.squares[c] - scatter.diagonal()).clamp(min=0))
            return scatter
        triangle = self.own.get_submodule(str(c))
        assert isinstance(triangle, Triangle)
        return triangle.whole()

    def solve(self) -> Scorer:
        """A distance is the length of W (x - mean), where W is the inverse of a Cholesky factor: a lower triangle.

        Some rows of W lie together for all classes, and are multiplied with patterns at once. W x and W mean are
        subtracted in single precision, so the mean of all patterns is taken from both x and the mean before.
        """
        seen, centre, common = self.means.counts.nonzero().flatten(), self.means.mean, self.common_part()
        means, identity = self.means.means - centre, torch.eye(len(centre)).to(centre)
        ends = [(start, min(start + ROWS, len(centre))) for start in range(0, len(centre), ROWS)]
        inverses = [centre.new_empty(len(seen), end - start, end, dtype=torch.float32) for start, end in ends]
        whitened = centre.new_empty(len(seen), len(centre), dtype=torch.float32)
        for i, c in enumerate(seen.tolist()):
            factor = torch.linalg.cholesky(self.correlations(c, common))
            whitened[i] = torch.linalg.solve_triangular(factor, means[c].unsqueeze(1), upper=False).squeeze(1)
            for rows, (start, end) in zip(inverses, ends, strict=True):
                unit = identity[start:end, :end]
                rows[i] = torch.linalg.solve_triangular(factor[:end, :end], unit, upper=False, left=False)

        def scores(features: Float[Tensor, "n f"]) -> Float[Tensor, "n classes"]:
            x = (features.double() - centre).float()
            distances = x.new_zeros(len(x), len(seen))
            for rows, (start, end) in zip(inverses, ends, strict=True):
                products = (x[:, :end] @ rows.flatten(0, 1).T).unflatten(1, rows.shape[:2])
                distances += (products - whitened[:, start:end]).square().sum(dim=2)
            return x.new_zeros(len(x), len(means)).index_copy(1, seen, -distances / 2)

        return scores
