"""Layers that several networks share."""

from collections import OrderedDict
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.nets import synchronised
from negreplay.ranks import present

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Subtracts a mean from each channel of an image and divides by a standard deviation.

    A grey image gets as many channels as there are means, so that networks for coloured images take it too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1))

    def forward(self, images: Float[Tensor, "n given h w"]) -> Float[Tensor, "n c h w"]:
        return (images - self.mean) / self.std


def layer(conv: nn.Conv2d, activation: str = "relu", eps: float = 1e-5, pad: nn.Module | None = None) -> nn.Sequential:
    """A convolution (`conv`), batch norm (`bn`) and activation (`act`: relu or relu6), after padding if it is given."""
    # Not in place: in a network that is cut before `act`, this would overwrite the latents of a memory.
    act = nn.ReLU6() if activation == "relu6" else nn.ReLU()
    parts: dict[str, nn.Module] = {} if pad is None else {"pad": pad}
    parts |= {"conv": conv, "bn": nn.BatchNorm2d(conv.out_channels, eps=eps), "act": act}
    return nn.Sequential(OrderedDict(parts))


class GlobalMean(nn.Module):
    """The mean of each channel over its map.

    Its gradient is in the maps' own memory format, channels last. That of `AdaptiveAvgPool2d` is not, which makes the
    backward of the last layers two to three times slower (torch 2.13).
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
        return x.permute(0, 2, 3, 1).flatten(1, 2).mean(dim=1)


def allow_single_values(network: nn.Module) -> None:
    """Lets every batch norm of a network train on a minibatch with a single value per channel, in place.

    A single value has no variance, so torch refuses it in training. Here it is normalised with the running statistics,
    as in evaluation, and does not move them. All else in the layer stays in training.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.forward = partial(_batch_norm, layer)


def _batch_norm(layer: nn.Module, input: Float[Tensor, "n c *place"]) -> Float[Tensor, "n c *place"]:  # noqa: A002
    """The layer's own `forward`, in evaluation mode where there is a single value per channel."""
    training = layer.training
    if training and present().count > 1:
        assert isinstance(layer, nn.modules.batchnorm._BatchNorm), "only batch norms come here"
        return synchronised.batch_norm(layer, input)
    layer.training = training and input.numel() > input.shape[1]
    try:
        return type(layer).forward(layer, input)
    finally:
        layer.training = training
