"""What an earlier state of the classifier said, as a target."""

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from negreplay.nets.classifier import Classifier


def frozen(classifier: Classifier) -> Classifier:
    """A copy that never learns: the classifier as it is now, the teacher of what comes."""
    return copy.deepcopy(classifier).eval().requires_grad_(False)


def distillation(
    logits: Float[Tensor, "n classes"],
    teacher: Float[Tensor, "n classes"],
    among: Bool[Tensor, " classes"],
    temperature: float,
) -> Float[Tensor, " n"]:
    """The cross-entropy of each pattern with what the teacher says of it, over the outputs `among`.

    Both softmaxes are softened by the temperature T. There is no factor of T^2.

    References:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
        Li & Hoiem, Learning without Forgetting, 2016, Equations 2 and 3.
    """
    targets = F.softmax(teacher[:, among] / temperature, dim=1)
    return -(targets * F.log_softmax(logits[:, among] / temperature, dim=1)).sum(dim=1)


@torch.no_grad()
def said(teacher: Classifier, latents: Float[Tensor, "n *latent"]) -> Float[Tensor, "n classes"]:
    """The teacher's logits of what the student learns from."""
    return teacher.decide(latents)
