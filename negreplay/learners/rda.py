"""Regularised discriminant analysis (RDA), from sums of low rank.

References:
    Friedman, Regularized Discriminant Analysis, 1989.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.learner import Parts
from negreplay.recipe import RDARecipe
from negreplay.statistics import ClassMeans, Sketches, Triangle


class RDA(ClosedForm[RDARecipe]):
    """All classes are normal, each with a covariance that is partly its own and partly the mean one of all classes.

    The covariance of a class is s S + (1 - s) (L L^T + D) + v I. S is the mean covariance of all classes, L L^T the
    class's own one in `rank` directions, D the rest of the variances, averaged over classes, and s is `shared`. Of n
    patterns with f numbers v is `variance` + f / n times the mean variance, so that few patterns are trusted less. A
    class is scored by its log density, without what all classes have in common.

    Departure:
        A class's own covariance has a low rank, so that it takes little memory; Friedman's is whole. Priors are equal,
        for what has come often so far need not come often from now on.
    """

    def __init__(self, spec: RDARecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.means = ClassMeans(self.classes, self.inputs)
        self.common = Triangle(self.inputs)
        self.own = Sketches(self.classes, self.inputs, spec.rank, parts.rng)
        self.to(self.device.name)

    def count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        deviations = self.means.add(features, labels)
        self.common.add(deviations.rows)
        self.own.add(deviations)

    def _merge(self, other: "RDA", to: Int[Tensor, " others"]) -> None:
        deviations = self.means.merge(other.means, to)
        self.common.merge(other.common, other.means.share(to))
        self.common.add(deviations.rows)
        self.own.merge(other.own, to)
        self.own.add(deviations)

    def solve(self) -> Scorer:
        counts, share = self.means.counts.double().clamp(min=1), self.spec.shared
        seen = self.means.counts.nonzero().flatten()
        factors = torch.stack([self.own.factors(c) / counts[c].sqrt() for c in seen.tolist()])
        rest = (self.own.squares[seen] / counts[seen].unsqueeze(1) - factors.square().sum(dim=2)).clamp(min=0)
        covariance = share * self.common.whole() / self.means.counts.sum()
        covariance.diagonal().add_((1 - share) * rest.mean(dim=0))
        variance = covariance.diagonal().mean() + (1 - share) * factors.square().sum(dim=2).mean()
        covariance.diagonal().add_(self._noise() * variance.clamp(min=1e-12))
        return Gaussians(self.means.mean, covariance, self.means.means, seen, (1 - share) ** 0.5 * factors)

    def solve_background(self) -> Scorer:
        """The log density of one normal distribution of all patterns, as the only column of a score."""
        counts, means, centre = self.means.counts.double(), self.means.means, self.means.mean
        between = (means - centre) * counts.sqrt().unsqueeze(1)
        covariance = (self.common.whole() + between.T @ between) / counts.sum()
        covariance.diagonal().add_(self._noise() * covariance.diagonal().mean().clamp(min=1e-12))
        nothing = centre.new_zeros(1, len(centre), 0)
        return Gaussians(centre, covariance, centre.unsqueeze(0), torch.zeros_like(self.means.counts[:1]), nothing)

    def _noise(self) -> float:
        return self.spec.variance + self.inputs / int(self.means.counts.sum())


class Gaussians(nn.Module):
    """Log densities of normal distributions, without what they have in common.

    Features are whitened by the covariance A that classes share. Where a class has A + L L^T, its squared distance
    falls by what lies along L (Woodbury's identity), so that a pattern costs about as much as with one covariance.

    Args:
        centre: to which features are taken relative, so that single precision suffices.
        covariance: A, in double precision.
        means: of all classes.
        seen: the classes that are scored, in the order of `factors`; others get 0.
        factors: L of each class.
    """

    seen: Tensor
    centre: Tensor
    whitening: Tensor
    means: Tensor
    own: Tensor
    offsets: Tensor
    constants: Tensor

    def __init__(
        self,
        centre: Float[Tensor, " f"],
        covariance: Float[Tensor, "f f"],
        means: Float[Tensor, "classes f"],
        seen: Int[Tensor, " seen"],
        factors: Float[Tensor, "seen f rank"],
    ) -> None:
        super().__init__()
        count, size, rank = factors.shape
        root = torch.linalg.cholesky(covariance)
        whitened = torch.linalg.solve_triangular(root, (means[seen] - centre).T, upper=False)
        flat = torch.linalg.solve_triangular(root, factors.movedim(0, 1).reshape(size, -1), upper=False)
        own = flat.reshape(size, count, rank).movedim(1, 0)
        core = torch.linalg.cholesky(torch.eye(rank, dtype=own.dtype, device=own.device) + own.mT @ own)
        own = torch.linalg.solve_triangular(core, own.mT, upper=False).mT  # now L's part of a distance is |own^T u|^2
        identity = torch.eye(size, dtype=root.dtype, device=root.device)
        self.classes = len(means)
        self.register_buffer("seen", seen)
        self.register_buffer("centre", centre)
        self.register_buffer("whitening", torch.linalg.solve_triangular(root, identity, upper=False).T.float())
        self.register_buffer("means", whitened.T.float())
        self.register_buffer("own", own.movedim(0, 1).reshape(size, -1).float())
        self.register_buffer("offsets", (own.mT @ whitened.T.unsqueeze(2)).squeeze(2).float())
        self.register_buffer("constants", core.diagonal(dim1=1, dim2=2).log().sum(dim=1).float())

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n classes"]:
        x = (features.double() - self.centre).float() @ self.whitening
        distances = torch.cdist(x, self.means, compute_mode="donot_use_mm_for_euclid_dist").square()
        along = (x @ self.own).unflatten(1, self.offsets.shape) - self.offsets
        scores = (along.square().sum(dim=2) - distances) / 2 - self.constants
        return scores.new_zeros(len(x), self.classes).index_copy(1, self.seen, scores)
