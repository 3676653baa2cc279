"""Experiences that are one minibatch, so that a loss can be worked out beside the learner."""

import copy
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import torch
from arms import build_any
from torch import Tensor, nn

from negreplay.learners.learner import Learner
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.recipe import Mode, OptimizerRecipe, Outputs, PhaseRecipe, Recipe
from negreplay.replay.exemplars import Exemplars
from negreplay.streams.stream import Experience

TWICE = PhaseRecipe(2, 0.3, 0.3)
"""Two steps, far enough apart for the second one's loss to differ from the first one's."""


def whole(recipe: Recipe, minibatch: int = 1000, following: PhaseRecipe = TWICE) -> Learner:
    """A learner of the system whose every epoch is one step, without weight decay."""
    steps = OptimizerRecipe(minibatch=minibatch, weight_decay=0.0)
    return build_any(replace(recipe, first=TWICE, following=following, optimizer=steps))


class Then(NamedTuple):
    """A step as it was taken: the classifier before the experience, the one before the step, and the loss."""

    teacher: Classifier
    student: Classifier
    loss: float


def second_step(learner: Learner, experience: Experience, skipped: int = 1) -> Then:
    """Learns an experience up to its second step, where the classifier is not its own teacher any more."""
    teacher = copy.deepcopy(learner.classifier).eval()
    steps = learner.learn(experience)
    list(islice(steps, skipped))
    student = copy.deepcopy(learner.classifier)
    return Then(teacher, student, next(steps).loss)


def patterns(learner: Learner, experience: Experience) -> tuple[Tensor, Tensor]:
    """What an experience is learned from: its own patterns, and then the exemplars."""
    data = experience.data
    x, y = data.data.read(data.rows), data.labels
    if not isinstance(learner.source, Exemplars):
        return x, y
    kept = learner.source.data(augmented=False)
    return torch.cat([x, kept.read(torch.arange(len(kept.labels)))]), torch.cat([y, kept.labels])


def softened(logits: Tensor, among: list[int], temperature: float = 1.0) -> Tensor:
    """The softmax over some outputs, written out; 0 for the others."""
    powers = torch.zeros_like(logits)
    powers[:, among] = (logits[:, among] / temperature).exp()
    return powers / powers.sum(dim=1, keepdim=True)


def cross_entropy(logits: Tensor, labels: Tensor, among: list[int]) -> float:
    """The mean of -log p of the labels, p over the outputs `among`."""
    return -softened(logits, among)[torch.arange(len(labels)), labels].log().mean().item()


def distilled(
    student: Tensor, teacher: Tensor, among: list[int], temperature: float = 2.0, competing: list[int] | None = None
) -> float:
    """The mean of -sum p log q over the outputs `among`; q is a softmax over the `competing` ones."""
    p, q = softened(teacher, among, temperature), softened(student, competing or among, temperature)
    return -(p[:, among] * q[:, among].log()).sum(dim=1).mean().item()


def linear(features: int, classes: int, *seen: int, outputs: Outputs = Outputs.SEEN) -> Classifier:
    """A softmax regression of images, which has seen some classes."""
    torch.manual_seed(0)
    head = PlainHead(features, classes, Mode.POSITIVE, outputs)
    head.seen[list(seen)] = True
    return Classifier(nn.Identity(), nn.Flatten(), head, blocked=False)
