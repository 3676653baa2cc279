"""Distillation: the answers of an earlier state of the classifier are targets."""

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from negreplay.nets.classifier import Classifier


def frozen(classifier: Classifier) -> Classifier:
    """A copy of the classifier as it is now, which never learns: the teacher in the next experience."""
    return copy.deepcopy(classifier).eval().requires_grad_(False)


def distillation(
    logits: Float[Tensor, "n classes"],
    teacher: Float[Tensor, "n classes"],
    old: Bool[Tensor, " classes"],
    temperature: float,
    competing: Bool[Tensor, " classes"] | None = None,
    averaged: bool = False,
) -> Float[Tensor, " n"]:
    """The cross-entropy between the teacher's and the student's answers to each pattern.

    Both softmaxes are softened by the temperature T. There is no factor of T^2 unless it is `averaged`.

    Args:
        logits: the student's answers.
        teacher: the teacher's answers.
        old: the outputs that the teacher knows, over which its softmax runs.
        temperature: T.
        competing: the outputs over which the student's softmax runs, including the old ones; the teacher gives the
            others the probability 0. None stands for the old outputs.
        averaged: whether the result is multiplied by T^2 and divided by the number of the student's outputs.

    References:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
        Li & Hoiem, Learning without Forgetting, 2016, Equations 2 and 3.
        van de Ven & Tolias, Three Scenarios for Continual Learning, 2019, and the code behind its numbers (with other
            competing outputs, averaged).
    """
    outputs = old if competing is None else competing
    targets = F.softmax(teacher[:, old] / temperature, dim=1)
    answers = F.log_softmax(logits.masked_fill(~outputs, -torch.inf) / temperature, dim=1)[:, old]
    factor = temperature**2 / int(outputs.sum()) if averaged else 1.0
    return -factor * (targets * answers).sum(dim=1)


@torch.no_grad()
def teacher_logits(teacher: Classifier, latents: Float[Tensor, "n *latent"]) -> Float[Tensor, "n classes"]:
    """The teacher's logits of the latents that the student learns from."""
    return teacher.decide(latents)
