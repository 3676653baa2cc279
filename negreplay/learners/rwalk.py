"""Riemannian Walk (RWalk): weights that the predictions or the fall of the loss depended on are protected."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from negreplay.data.data import View
from negreplay.learners.penalties import Buffers, Penalty, like, quadratic
from negreplay.nets.classifier import Classifier
from negreplay.recipe import RWalkRecipe

DAMPING = 1e-3
"""Epsilon of Equation 7, as in the authors' code; the paper gives none."""


class RWalk(Penalty):
    """strength * sum (F + s) (theta - theta*)^2, where F and s are each scaled to [0, 1] over all weights.

    F, the Fisher information, is a moving average of the squared gradients of minibatches (Equation 6). s is a sum over
    stretches of the path: it says how much the loss fell for how far the predictions moved. A stretch adds -gradient *
    step, divided by F / 2 * distance^2 + epsilon; negative values are left out (Equation 7). At the end of an
    experience s is averaged with that of the earlier ones. Gradients are those of the loss without the penalty.

    All this follows the paper. The authors' later code has no half in the denominator, and adds 3/2 of the old score
    and 1/2 of the new one.

    Args:
        weights: the weights that are protected.
        recipe: strength (lambda), decay (alpha, the weight of the newest minibatch), and the steps of a stretch.

    References:
        Chaudhry et al., Riemannian Walk for Incremental Learning: Understanding Forgetting and Intransigence, 2018.
    """

    experiences: Tensor
    steps: Tensor

    def __init__(self, weights: Iterable[nn.Parameter], recipe: RWalkRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.protected = list(weights)
        self.fisher, self.score, self.importance = (Buffers(like(self.protected)) for _ in range(3))
        self.anchor = Buffers(w.clone() for w in self.protected)
        self.register_buffer("experiences", torch.tensor(0))
        self.gain, self.gathered, self.before, self.stretch = (
            Buffers(like(self.protected), persistent=False) for _ in range(4)
        )
        self.register_buffer("steps", torch.tensor(0), persistent=False)

    def start(self) -> None:
        self.gain.clear()
        self.gathered.clear()
        self.before.fill(self.protected)
        self.stretch.fill(self.protected)
        self.steps.zero_()

    def loss(self) -> Tensor | float:
        if not self.experiences:
            return 0.0
        return 2 * self.recipe.strength * quadratic(self.protected, self.importance, self.anchor)

    @torch.no_grad()
    def integrate(self) -> None:
        self.steps += 1
        alpha = self.recipe.decay
        every = zip(self.protected, self.before, self.gain, self.fisher, self.importance, self.anchor, strict=True)
        for weight, before, gain, fisher, importance, anchor in every:
            if weight.grad is not None:
                gradient = weight.grad - 2 * self.recipe.strength * importance * (before - anchor)
                gain -= gradient * (weight - before)
                fisher.mul_(1 - alpha).add_(gradient.square(), alpha=alpha)
            before.copy_(weight)
        if self.steps % self.recipe.every == 0:
            self._gather()

    def _gather(self) -> None:
        """Ends a stretch of the path, and adds what it scores."""
        parts = zip(self.protected, self.stretch, self.gain, self.gathered, self.fisher, strict=True)
        for weight, start, gain, gathered, fisher in parts:
            gathered += (gain / (fisher / 2 * (weight - start).square() + DAMPING)).clamp(min=0)
            start.copy_(weight)
            gain.zero_()

    @torch.no_grad()
    def finish(self, classifier: Classifier, data: View) -> None:
        self._gather()
        for score, gathered, anchor, weight in zip(self.score, self.gathered, self.anchor, self.protected, strict=True):
            score.copy_((score + gathered) / 2 if self.experiences else gathered)
            anchor.copy_(weight)
        for importance, fisher, score in zip(self.importance, _scaled(self.fisher), _scaled(self.score), strict=True):
            importance.copy_(fisher + score)
        self.experiences += 1


def _scaled(values: Buffers) -> list[Tensor]:
    """The values scaled to [0, 1], by the lowest and the highest of all tensors."""
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    return [(v - low) / (high - low + 1e-32) for v in values]
