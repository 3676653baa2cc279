"""Deep streaming linear discriminant analysis (SLDA).

References:
    Hayes & Kanan, Lifelong Machine Learning with Deep Streaming Linear Discriminant Analysis, 2020.
"""

from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.learner import Parts
from negreplay.recipe import KLDARecipe, SLDARecipe
from negreplay.statistics import ClassMeans, Triangle

Spec = TypeVar("Spec", SLDARecipe, KLDARecipe)


class DiscriminantAnalysis(ClosedForm[Spec]):
    """Class means and one covariance around them: all classes are normal, with this covariance.

    A class is scored by w z + b with w = P mean and b = -mean P mean / 2, P being the inverse of the shrunk covariance.
    Both z and the means are taken relative to the mean of all patterns. This adds the same number to the scores of all
    classes, and keeps them small.

    Args:
        spec: the system.
        parts: what it is made of.
        size: numbers of a lifted feature vector.
    """

    def __init__(self, spec: Spec, parts: Parts, size: int | None = None) -> None:
        super().__init__(spec, parts)
        size = size or self.inputs
        self.means = ClassMeans(self.classes, size).to(self.device.name)
        self.scatter = Triangle(size).to(self.device.name)

    def count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        self.scatter.add(self.means.add(features, labels).rows)

    def _merge(self, other: "DiscriminantAnalysis[Spec]", to: Int[Tensor, " others"]) -> None:
        deviations = self.means.merge(other.means, to)
        self.scatter.merge(other.scatter, other.means.share(to))
        self.scatter.add(deviations.rows)

    @property
    def covariance(self) -> Float[Tensor, "f f"]:
        """The mean of (z - mean_y)(z - mean_y)^T over all patterns z, each of its class y, in double precision."""
        return self.scatter.whole() / self.means.counts.sum().clamp(min=1)

    def shrunk(self) -> Float[Tensor, "f f"]:
        """The covariance as it is inverted: (1 - e) covariance + e I."""
        covariance = (1 - self.spec.shrinkage) * self.covariance
        covariance.diagonal().add_(self.spec.shrinkage)
        return covariance

    def solve(self) -> Scorer:
        centre = self.means.mean
        means = self.means.means - centre
        weights = torch.linalg.solve(self.shrunk(), means.T)
        biases = -(means.T * weights).sum(dim=0) / 2
        return lambda features: (features.double() - centre) @ weights + biases


class SLDA(DiscriminantAnalysis[SLDARecipe]):
    """Linear discriminant analysis of features as they are.

    Departure:
        The covariance is the exact one, around the means of all patterns that have come. The paper's is taken around
        the mean of a class as it was when a pattern came, so that it depends on the order. There is no
        base initialisation from a first batch: nothing has been counted at the start, as a stream demands.
    """
