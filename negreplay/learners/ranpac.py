"""RanPAC: ridge regression on random projections.

References:
    McDonnell et al., RanPAC: Random Projections and Pre-trained Models for Continual Learning, 2023.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from negreplay.data.data import View
from negreplay.learners.learner import Parts
from negreplay.learners.ridge import Regression
from negreplay.nets.projections import RandomMap
from negreplay.recipe import RanPACRecipe
from negreplay.streams.stream import Experience

PENALTIES = tuple(10.0**k for k in range(-8, 9))
"""The penalties of Section 4 of the paper's appendix, of which one is chosen."""
MOST = 4000
"""Patterns of an experience, at most, on which a penalty is chosen."""


class RanPAC(Regression[RanPACRecipe]):
    """Ridge regression on max(0, z W) with random W, of which only the seed is kept (Algorithm 1).

    Departure:
        By default the penalty is a fixed share of the Gram matrix's mean diagonal, so that the order in which patterns
        come changes nothing. `chosen` is the paper's choice, where it is asked for.
    """

    chosen: Tensor

    def __init__(self, spec: RanPACRecipe, parts: Parts) -> None:
        super().__init__(spec, parts, spec.units)
        self.map = RandomMap(self.inputs, spec.units, parts.rng, spec.orthogonal).to(self.device.name)
        self.register_buffer("chosen", torch.zeros((), dtype=torch.float64))

    def _merge(self, other: Any, to: Int[Tensor, " others"]) -> None:
        super()._merge(other, to)
        self.chosen.copy_(other.chosen)

    def penalty(self) -> float:
        return super().penalty() if self.spec.ridge else float(self.chosen)

    @torch.no_grad()
    def look(self, experience: Experience) -> None:
        """Chooses the penalty by the squared error on a fifth of the patterns, after a fit to the others of them.

        With fewer patterns n than units the fit has the same values from the n x n matrix of products.
        """
        if self.spec.ridge is not None:
            return
        rows = torch.randperm(len(experience.data), generator=self.rng)[:MOST]
        view = View(experience.data.data, experience.data.rows[rows])
        lifted = self.lift(self.features_of(view))
        targets = F.one_hot(view.labels.to(lifted.device), self.classes).double()
        count = max(1, len(rows) * 4 // 5)
        fitted, rest = lifted[:count].double(), lifted[count:].double()
        values, vectors = torch.linalg.eigh(fitted @ fitted.T)
        products, projected = rest @ fitted.T @ vectors, vectors.T @ targets[:count]
        values = values.clamp(min=0).unsqueeze(1)
        errors = [(products @ (projected / (values + p)) - targets[count:]).square().sum() for p in PENALTIES]
        self.chosen.fill_(PENALTIES[int(torch.stack(errors).argmin())])

    def lift(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n g"]:
        return (super().lift(features) @ self.map.matrix).relu()
