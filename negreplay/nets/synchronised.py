"""Batch norm of a minibatch of which each rank has a part: its statistics are those of the whole."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.ranks import present


class Moments(NamedTuple):
    """How many values each channel has in all ranks, their means, and their variances (biased)."""

    values: int
    mean: Float[Tensor, " c"]
    var: Float[Tensor, " c"]


@torch.no_grad()
def moments(x: Float[Tensor, "n c *place"]) -> Moments:
    """The statistics of the whole minibatch."""
    x, others = x.float(), _others(x)
    values = present().total(x.numel() // x.shape[1])
    mean = present().sum(x.sum(dim=others)) / values
    return Moments(values, mean, present().sum((x - _along(mean, x)).square().sum(dim=others)) / values)


def normalise(
    x: Float[Tensor, "n c *place"], weight: Tensor, bias: Tensor, moments: Moments, eps: float
) -> Float[Tensor, "n c *place"]:
    """(x - mean) / sqrt(var + eps) weight + bias, with gradients for the parts of all ranks, on which both depend."""
    return _Normalise.apply(x, weight, bias, moments, eps)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, moments: Moments, eps: float) -> Tensor:
        values, mean, var = moments
        inverse = (var + eps).rsqrt()
        unit = (x.float() - _along(mean, x)) * _along(inverse, x)
        ctx.save_for_backward(unit, weight, inverse)
        ctx.values = values
        return (unit * _along(weight, x) + _along(bias, x)).to(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        unit, weight, inverse = ctx.saved_tensors
        gradient, others = gradients[0].float(), _others(unit)
        of_weight, of_bias = (gradient * unit).sum(dim=others), gradient.sum(dim=others)
        along, same = present().sum(torch.stack([of_weight, of_bias])) / ctx.values
        of_x = (gradient - _along(same, unit) - unit * _along(along, unit)) * _along(weight * inverse, unit)
        return of_x.to(gradients[0]), of_weight, of_bias, None, None


def batch_norm(layer: nn.modules.batchnorm._BatchNorm, x: Float[Tensor, "n c *place"]) -> Float[Tensor, "n c *place"]:
    """What the layer computes in training; a single value per channel is normalised with the running statistics."""
    found = moments(x)
    mean, var, batches = layer.running_mean, layer.running_var, layer.num_batches_tracked
    if mean is not None and var is not None and batches is not None:
        if found.values == 1:
            return nn.functional.batch_norm(x, mean, var, layer.weight, layer.bias, False, 0.0, layer.eps)
        batches += 1
        momentum = 1 / float(batches) if layer.momentum is None else layer.momentum
        mean.lerp_(found.mean, momentum)
        var.lerp_(found.var * found.values / (found.values - 1), momentum)
    weight = torch.ones_like(found.mean) if layer.weight is None else layer.weight
    bias = torch.zeros_like(found.mean) if layer.bias is None else layer.bias
    return normalise(x, weight, bias, found, layer.eps)


def _others(x: Tensor) -> list[int]:
    """The dimensions over which a channel extends."""
    return [dim for dim in range(x.dim()) if dim != 1]


def _along(channels: Float[Tensor, " c"], x: Tensor) -> Tensor:
    return channels.view(-1, *(1 for _ in x.shape[2:]))
