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
    old: Bool[Tensor, " classes"],
    temperature: float,
    competing: Bool[Tensor, " classes"] | None = None,
) -> Float[Tensor, " n"]:
    """The cross-entropy of each pattern with what the teacher says of it.

    Both softmaxes are softened by the temperature T. There is no factor of T^2.

    Args:
        logits: what the student says.
        teacher: what the teacher says.
        old: the outputs that the teacher knows, over which its softmax runs.
        temperature: T.
        competing: the outputs over which the student's runs, the old ones among them; of others the teacher says 0. If
            it is not given, the old ones.

    References:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
        Li & Hoiem, Learning without Forgetting, 2016, Equations 2 and 3.
        van de Ven & Tolias, Three Scenarios for Continual Learning, 2019 (with other competing outputs).
    """
    targets = F.softmax(teacher[:, old] / temperature, dim=1)
    if competing is not None:
        logits = logits.masked_fill(~competing, -torch.inf)
        return -(targets * F.log_softmax(logits / temperature, dim=1)[:, old]).sum(dim=1)
    return -(targets * F.log_softmax(logits[:, old] / temperature, dim=1)).sum(dim=1)


@torch.no_grad()
def said(teacher: Classifier, latents: Float[Tensor, "n *latent"]) -> Float[Tensor, "n classes"]:
    """The teacher's logits of what the student learns from."""
    return teacher.decide(latents)
