"""What a learner recognises after an experience."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from negreplay.learners.learner import Learner
from negreplay.patterns import Order
from negreplay.ranks import present
from negreplay.results.metrics import accuracies, by_experience
from negreplay.streams.stream import Stream

AT_ONCE = 250
"""Test patterns in one forward pass."""


@dataclass(frozen=True)
class Accuracies:
    """Shares of test patterns that are recognised, from 0 to 1 (see `negreplay.results.metrics.Row`)."""

    classes_seen: int
    test_images: int
    whole: float
    growing: float
    per_class: dict[str, float | None]
    task_agnostic: float | None
    task_aware: float | None


def evaluate(learner: Learner, stream: Stream, index: int) -> Accuracies:
    """Accuracy after the experience with this index, on the whole and on the growing test set.

    Only the growing one is read: a class never seen is never predicted, so the rest of the whole test set is wrong
    without a look.

    Raises:
        UserError: the classes seen so far have no test pattern.
    """
    classes, arrived = len(stream.names), stream.arrivals()
    correct, task_correct = np.zeros((2, classes), dtype=np.int64)
    test = stream.growing_test(index)
    for x, y in test.read(Order(test.rows, None), AT_ONCE, shared=True):
        scores = learner.predict(x, stream.test.encoded).cpu()
        correct += _right(scores, y, classes)
        if arrived is not None:
            task_correct += _right(scores.masked_fill(arrived[y].unsqueeze(1) != arrived, -torch.inf), y, classes)
    correct, task_correct = (present().sum(torch.from_numpy(each)).numpy() for each in (correct, task_correct))
    totals = torch.bincount(stream.test.labels, minlength=classes).numpy()
    seen = np.isin(np.arange(classes), stream.seen(index).numpy())
    whole, growing, per_class = accuracies(correct, totals, seen)
    agnostic = aware = None
    if arrived is not None:
        agnostic, aware = (by_experience(each, totals, arrived.numpy(), index) for each in (correct, task_correct))
    names = dict(zip(stream.names, per_class, strict=True))
    return Accuracies(int(seen.sum()), int(totals[seen].sum()), whole, growing, names, agnostic, aware)


def _right(scores: Float[Tensor, "n _"], labels: Int[Tensor, " n"], classes: int) -> NDArray[np.integer]:
    """For each class, how many of its patterns have their highest score there."""
    return torch.bincount(labels[scores.argmax(dim=1) == labels], minlength=classes).numpy()
