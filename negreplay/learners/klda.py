"""Kernel linear discriminant analysis (KLDA) by random Fourier features.

References:
    Momeni et al., Continual Learning Using a Kernel-Based Method Over Foundation Models, 2025.
    Rahimi & Recht, Random Features for Large-Scale Kernel Machines, 2007.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from negreplay.learners.learner import Parts
from negreplay.learners.slda import DiscriminantAnalysis
from negreplay.nets.projections import RandomMap
from negreplay.recipe import KLDARecipe


class KLDA(DiscriminantAnalysis[KLDARecipe]):
    """Linear discriminant analysis of sqrt(2 / D) cos(w z + b), D random features whose products are a Gaussian kernel.

    Departure:
        Feature vectors are brought to length 1 first, so that one `gamma` suits any network, and the identity in the
        shrunk covariance is scaled by the mean of the covariance's diagonal.
    """

    def __init__(self, spec: KLDARecipe, parts: Parts) -> None:
        super().__init__(spec, parts, spec.units)
        self.map = RandomMap(self.inputs + 1, spec.units, parts.rng).to(self.device.name)

    def lift(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n g"]:
        directions, phase = self.map.matrix.split([self.inputs, 1])
        angles = F.normalize(super().lift(features), dim=1) @ (math.sqrt(2 * self.spec.gamma) * directions)
        # The phase is to be uniform: what a normal number becomes by its distribution function.
        return math.sqrt(2 / self.spec.units) * (angles + 2 * math.pi * torch.special.ndtr(phase)).cos()

    def shrunk(self) -> Float[Tensor, "f f"]:
        covariance = self.covariance
        covariance.diagonal().add_(self.spec.shrinkage * covariance.diagonal().mean().clamp(min=1e-12))
        return covariance
