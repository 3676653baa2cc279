"""Ridge regression of features on the indicators of classes, from sums of products."""

from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.devices import free_bytes
from negreplay.errors import UserError
from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.learner import Parts
from negreplay.recipe import RanPACRecipe, RidgeRecipe
from negreplay.statistics import Triangle

Spec = TypeVar("Spec", RidgeRecipe, RanPACRecipe)

DIRECT = 2048
"""Matrices up to this size are solved in double precision at once."""
REFINEMENTS = 30
ACCURATE = 1e-8
"""The size of a residual, relative to the right side, at which a refined solution is good."""


class Regression(ClosedForm[Spec]):
    """A class is scored by the value that a ridge regression on lifted features gives its indicator.

    `gram` is the sum of h h^T over all lifted patterns h, and a row of `sums` the sum of the h of a class.

    Args:
        spec: the system.
        parts: what it is made of.
        size: numbers of a lifted feature vector.

    Raises:
        UserError: there is not enough memory to solve for so many numbers.
    """

    sums: Tensor

    def __init__(self, spec: Spec, parts: Parts, size: int | None = None) -> None:
        super().__init__(spec, parts)
        size = size or self.inputs
        needed, free = bytes_to_solve(size), free_bytes(self.device.name)
        if free is not None and needed > free:
            raise UserError(
                f"learner.units is {size}: this needs {needed // 10**6} MB of memory, of which {free // 10**6} MB are "
                "free; give fewer units."
            )
        self.gram = Triangle(size).to(self.device.name)
        self.register_buffer("sums", torch.zeros(self.classes, size, device=self.device.name))

    def count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        self.gram.add(features.double() if self.gram.size <= DIRECT else features)
        self.sums.index_add_(0, labels, features)

    def _merge(self, other: "Regression[Spec]", to: Int[Tensor, " others"]) -> None:
        self.gram.merge(other.gram)
        self.sums.index_add_(0, to[to >= 0], other.sums[to >= 0])

    def penalty(self) -> float:
        """What is added to the diagonal of the Gram matrix."""
        return (self.spec.ridge or 0.0) * float(self.gram.diagonal().mean().clamp(min=1e-12))

    def solve(self) -> Scorer:
        weights = solve(self.gram, self.sums.double().T, self.penalty()).float()
        return lambda features: features @ weights


class Ridge(Regression[RidgeRecipe]):
    """Ridge regression on features as they are."""


def bytes_to_solve(size: int) -> int:
    """What a system of linear equations of this size takes: the triangle, the whole, and its factor."""
    return 4 * size * size // 2 + 2 * (8 if size <= DIRECT else 4) * size * size


def solve(gram: Triangle, sums: Float[Tensor, "size k"], penalty: float) -> Float[Tensor, "size k"]:
    """Solves (gram + penalty I) x = sums, as accurately as in double precision.

    Large matrices are factorised in single precision, and the solution is refined with residuals in double precision
    (Wilkinson); where this does not converge they are factorised in double precision. Of a matrix that is singular even
    then, the directions in which it is next to nothing are left out.
    """
    if gram.size > DIRECT:
        matrix = gram.whole(torch.float32)
        matrix.diagonal().add_(penalty)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        del matrix
        if not failed:
            x, residual, size, before = torch.zeros_like(sums), sums, torch.inf, torch.inf
            for _ in range(REFINEMENTS):
                x = x + torch.cholesky_solve(residual.float(), factor).double()
                residual = sums - gram.times(x) - penalty * x
                size = float(residual.norm())
                if size >= before / 2:  # rounding allows no more
                    break
                before = size
            if size <= ACCURATE * float(sums.norm()):
                return x
    matrix = gram.whole()
    matrix.diagonal().add_(penalty)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if not failed:
        return torch.cholesky_solve(sums, factor)
    values, vectors = torch.linalg.eigh(matrix)
    values = values.where(values > 1e-9 * values[-1], torch.inf)
    return vectors @ (vectors.T @ sums / values.unsqueeze(1))
