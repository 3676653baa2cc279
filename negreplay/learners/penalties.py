"""Penalties that keep important weights near their earlier values; EWC and RWalk have files of their own."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from negreplay.data.data import View
from negreplay.nets.classifier import Classifier
from negreplay.recipe import SynapticIntelligenceRecipe


class Penalty(nn.Module, ABC):
    """A term of the loss.

    A learner calls `start` before an experience, `integrate` after each step, and `finish` after the experience.
    """

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def loss(self) -> Tensor | float: ...

    @abstractmethod
    def integrate(self) -> None: ...

    @abstractmethod
    def finish(self, classifier: Classifier, data: View) -> None:
        """Takes in that the classifier has learned these patterns."""


class _Quadratic(torch.autograd.Function):
    """sum F (theta - theta*)^2 / 2 of one tensor, in as few passes over the weights as possible."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, importance: Tensor, anchor: Tensor) -> Tensor:
        distance = weight - anchor
        pull = importance * distance
        ctx.save_for_backward(pull)
        return torch.dot(pull.flatten(), distance.flatten()) / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (pull,) = ctx.saved_tensors
        return gradients[0] * pull, None, None


def quadratic(weights: Iterable[Tensor], importances: Iterable[Tensor], anchors: Iterable[Tensor]) -> Tensor | float:
    """The sum of F (theta - theta*)^2 / 2 over all weights: it pulls important weights back to their anchors."""
    return sum(_Quadratic.apply(*each) for each in zip(weights, importances, anchors, strict=True))


class Buffers(nn.Module):
    """A list of tensors that are state and never learn.

    They are in the `state_dict` if they are `persistent`, that is, kept from one experience to the next. Others are
    needed between two steps only.
    """

    def __init__(self, tensors: Iterable[Tensor], persistent: bool = True) -> None:
        super().__init__()
        for i, tensor in enumerate(tensors):
            self.register_buffer(str(i), tensor.detach(), persistent=persistent)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.buffers())

    @torch.no_grad()
    def fill(self, values: Iterable[Tensor]) -> None:
        """Gives each tensor new values."""
        for tensor, value in zip(self, values, strict=True):
            tensor.copy_(value)

    def clear(self) -> None:
        """Makes all values zero."""
        for tensor in self:
            tensor.zero_()


def like(weights: Iterable[Tensor]) -> list[Tensor]:
    """Zeros in the shapes of the weights."""
    return [torch.zeros_like(w) for w in weights]


class NoPenalty(Penalty):
    """No weight is protected (AR1free)."""

    def start(self) -> None:
        pass

    def loss(self) -> float:
        return 0.0

    def integrate(self) -> None:
        pass

    def finish(self, classifier: Classifier, data: View) -> None:
        pass


class SynapticIntelligence(Penalty):
    """Weights that lowered the loss much are kept near their earlier values (AR1, Tables 4 and 8).

    During an experience the path integral of gradient times movement is added up for each weight. At its end the
    importance F grows by multiplier * path / (distance^2 + damping) and is clipped from above. The loss of the next
    experience gets the term (strength / 2) sum F (theta - theta*)^2, where theta* are the weights at its start.

    Args:
        weights: the weights that are protected: for AR1, those of the feature extractor without batch renormalisation.
        recipe: strength (lambda; Zenke's c is half of it), clip, multiplier and damping (Zenke's xi).

    References:
        Zenke et al., Continual Learning Through Synaptic Intelligence, 2017, Equations 4 and 5.
        Maltoni & Lomonaco, Continuous Learning in Single-Incremental-Task Scenarios, 2019 (AR1).
    """

    holds: Tensor

    def __init__(self, weights: Iterable[nn.Parameter], recipe: SynapticIntelligenceRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.protected = list(weights)
        self.total, self.anchor = Buffers(like(self.protected)), Buffers(w.clone() for w in self.protected)
        self.path, self.before, self.present = (Buffers(like(self.protected), persistent=False) for _ in range(3))
        self.register_buffer("holds", torch.tensor(False), persistent=False)

    def start(self) -> None:
        self.holds.fill_(any(total.any() for total in self.total))
        self.present.fill(self.importance())
        self.path.clear()
        self.before.fill(self.protected)
        self.anchor.fill(self.protected)

    def importance(self) -> list[Tensor]:
        """F of each protected weight: the negated sum of the path integrals so far, clipped from above."""
        clip = math.inf if self.recipe.clip is None else self.recipe.clip
        return [(-total).clamp(max=clip) for total in self.total]

    def loss(self) -> Tensor | float:
        if not self.holds:
            return 0.0
        return self.recipe.strength * quadratic(self.protected, self.present, self.anchor)

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
