"""Residual networks, with their layers named as torchvision names them.

References:
    He et al., Deep Residual Learning for Image Recognition, 2016.
"""

from collections import OrderedDict
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from negreplay.nets.layers import IMAGENET_MEAN, IMAGENET_STD, GlobalMean, Normalise


class Shape(NamedTuple):
    """A residual network: the channels of its stages, the blocks in each, and whether its stem is for 32x32 images."""

    channels: tuple[int, ...]
    blocks: int
    small: bool


SHAPES = {
    "resnet18": Shape((64, 128, 256, 512), 2, small=False),
    "resnet18-32": Shape((64, 128, 256, 512), 2, small=True),
    "resnet20-32": Shape((16, 32, 64), 3, small=True),
}
"""The networks by their names in recipes: 11.2, 11.2 and 0.27 million parameters."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut around them.

    Where they change the shape, the shortcut is a 1x1 convolution with batch norm (option B of He et al.).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.out: nn.Module = nn.ReLU()
        self.downsample = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.downsample.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False)).append(nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        inner = self.relu(self.bn1(self.conv1(x)))
        return self.out(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNet(nn.Sequential):
    """A residual network without its classifier: RGB images in [0, 1] to a feature for each last channel.

    Its layers are `normalise`, `conv1`, `bn1`, `relu`, `maxpool` (not with the small stem), `layer1`, `layer2`, ... and
    `pool`. `layer3` of `resnet18` is the paper's conv4_x: 256 x 14 x 14 for images of 224 x 224. Its state has
    torchvision's names, without `fc` and with `normalise`.

    Args:
        shape: channels, blocks and stem: one of `SHAPES`.
        mean: the mean of each colour channel, on images in [0, 1].
        std: the standard deviation of each colour channel.
        rectified: whether the last block ends in a ReLU, so that features are not negative.

    Weights are drawn as He et al. draw them, with the fan-out of each convolution.
    """

    def __init__(
        self,
        shape: Shape,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        rectified: bool = True,
    ) -> None:
        width = shape.channels[0]
        layers: dict[str, nn.Module] = {
            "normalise": Normalise(mean, std),
            "conv1": _conv3x3(3, width) if shape.small else nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            "bn1": nn.BatchNorm2d(width),
            "relu": nn.ReLU(),
        }
        if not shape.small:
            layers["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
        for i, outputs in enumerate(shape.channels, start=1):
            blocks = [BasicBlock(width, outputs, stride=1 if i == 1 else 2)]
            blocks += [BasicBlock(outputs, outputs, 1) for _ in range(1, shape.blocks)]
            if i == len(shape.channels) and not rectified:
                blocks[-1].out = nn.Identity()
            layers[f"layer{i}"] = nn.Sequential(*blocks)
            width = outputs
        super().__init__(OrderedDict(layers | {"pool": GlobalMean()}))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
