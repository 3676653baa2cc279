"""What holds weights back from forgetting; EWC and RWalk have files of their own."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from negreplay.data.data import View
from negreplay.nets.classifier import Classifier
from negreplay.recipe import SynapticIntelligenceRecipe


class Penalty(nn.Module, ABC):
    """A term of the loss that is told when an experience starts, after every step, and when it ends."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def loss(self) -> Tensor | float: ...

    @abstractmethod
    def integrate(self) -> None: ...

    @abstractmethod
    def finish(self, classifier: Classifier, data: View) -> None:
        """The classifier has learned these patterns."""


class _Quadratic(torch.autograd.Function):
    """sum F (theta - theta*)^2 / 2 of one tensor, which a step reads as seldom as can be: weights are many."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, importance: Tensor, anchor: Tensor) -> Tensor:
        way = weight - anchor
        pull = importance * way
        ctx.save_for_backward(pull)
        return torch.dot(pull.flatten(), way.flatten()) / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (pull,) = ctx.saved_tensors
        return gradients[0] * pull, None, None


def quadratic(weights: Iterable[Tensor], importances: Iterable[Tensor], anchors: Iterable[Tensor]) -> Tensor | float:
    """Sum F (theta - theta*)^2 / 2 over all weights: how weights that matter are held."""
    return sum(_Quadratic.apply(*each) for each in zip(weights, importances, anchors, strict=True))


class NoPenalty(Penalty):
    """Nothing is held back (AR1free)."""

    def start(self) -> None:
        pass

    def loss(self) -> float:
        return 0.0

    def integrate(self) -> None:
        pass

    def finish(self, classifier: Classifier, data: View) -> None:
        pass


class SynapticIntelligence(Penalty):
    """Weights that lowered the loss much are held where they were (AR1, Tables 4 and 8).

    During an experience every weight's path integral of gradient times movement is kept; at its end the importance F
    grows by multiplier * path / (distance^2 + damping), is clipped from above, and (strength / 2) sum F (theta -
    theta*)^2 is added to the loss of the next ones, theta* being the weights at the end of the last one.

    Args:
        weights: what is held: for AR1, the feature extractor's without those of batch renormalisation.
        recipe: strength (lambda; Zenke's c is half of it), clip, multiplier and damping (Zenke's xi).

    References:
        Zenke et al., Continual Learning Through Synaptic Intelligence, 2017, Equations 4 and 5.
        Maltoni & Lomonaco, Continuous Learning in Single-Incremental-Task Scenarios, 2019 (AR1).
    """

    def __init__(self, weights: Iterable[nn.Parameter], recipe: SynapticIntelligenceRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.protected = list(weights)
        flat = [torch.zeros_like(w) for w in self.protected]
        self.total = nn.ParameterList([nn.Parameter(t.clone(), requires_grad=False) for t in flat])
        self.anchor = nn.ParameterList([nn.Parameter(w.detach().clone(), requires_grad=False) for w in self.protected])
        self.path: list[Tensor] = []
        self.before: list[Tensor] = []
        self.held: list[Tensor] = []

    def start(self) -> None:
        self.held = self.importance() if any(total.any() for total in self.total) else []
        self.path = [torch.zeros_like(w) for w in self.protected]
        self.before = [w.detach().clone() for w in self.protected]
        for anchor, weight in zip(self.anchor, self.protected, strict=True):
            anchor.copy_(weight.detach())

    def importance(self) -> list[Tensor]:
        """F of each protected weight: the negated sum of the path integrals so far, clipped from above."""
        clip = math.inf if self.recipe.clip is None else self.recipe.clip
        return [(-total).clamp(max=clip) for total in self.total]

    def loss(self) -> Tensor | float:
        if not self.held:
            return 0.0
        return self.recipe.strength * quadratic(self.protected, self.held, self.anchor)

    @torch.no_grad()
    def integrate(self) -> None:
        for path, before, weight in zip(self.path, self.before, self.protected, strict=True):
            if weight.grad is not None:
                path.addcmul_(weight.grad, weight - before)
            before.copy_(weight)

    @torch.no_grad()
    def finish(self, classifier: Classifier, data: View) -> None:
        for total, path, anchor, weight in zip(self.total, self.path, self.anchor, self.protected, strict=True):
            total += self.recipe.multiplier * path / ((weight - anchor).square() + self.recipe.damping)
        self.path, self.before, self.held = [], [], []
