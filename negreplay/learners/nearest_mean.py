"""The nearest class mean: the plainest of yardsticks on features that do not change.

References:
    Mensink et al., Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost, 2013.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.learner import Parts
from negreplay.recipe import NearestMeanRecipe
from negreplay.statistics import ClassMeans


class NearestMean(ClosedForm[NearestMeanRecipe]):
    """A class is the mean of its patterns' features, and scored by minus the squared distance to it."""

    def __init__(self, spec: NearestMeanRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.means = ClassMeans(self.classes, self.inputs).to(self.device.name)

    def _count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        self.means.add(features, labels)

    def _merge(self, other: "NearestMean", to: Int[Tensor, " others"]) -> None:
        self.means.merge(other.means, to)

    def solve(self) -> Scorer:
        centre = self.means.mean
        return Distances(centre, self.means.means - centre)


class Distances(nn.Module):
    """Minus the squared distances to means, which are relative to a centre as features are.

    torch computes distances from squares, in which small differences of features far from zero are lost.
    """

    centre: Tensor
    means: Tensor

    def __init__(self, centre: Float[Tensor, " f"], means: Float[Tensor, "classes f"]) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("means", means)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n classes"]:
        return -torch.cdist(features.double() - self.centre, self.means).square()
