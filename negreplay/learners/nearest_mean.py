"""The nearest class mean: the plainest of yardsticks on features that do not change.

References:
    Mensink et al., Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost, 2013.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.learner import Parts
from negreplay.recipe import NearestMeanRecipe
from negreplay.statistics import ClassMeans


class NearestMean(ClosedForm[NearestMeanRecipe]):
    """A class is the mean of its patterns' features, and scored by minus the squared distance to it."""

    def __init__(self, spec: NearestMeanRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.means = ClassMeans(self.classes, self.inputs).to(self.device.name)

    def count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        self.means.add(features, labels)

    def _merge(self, other: "NearestMean", to: Int[Tensor, " others"]) -> None:
        self.means.merge(other.means, to)

    def solve(self) -> Scorer:
        # torch computes distances from squares, in which small differences of features far from zero are lost.
        centre = self.means.mean
        means = self.means.means - centre
        return lambda features: -torch.cdist(features.double() - centre, means).square()
