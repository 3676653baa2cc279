"""Small networks for small images."""

from collections import OrderedDict

from torch import nn

from negreplay.nets.layers import layer


class SmallNet(nn.Sequential):
    """Three convolutions: images in [0, 1] to 256 numbers, with the layers `conv1`, `conv2`, `conv3`, `pool`.

    For images of 8x8 pixels, such as digits, the output of `conv2`, the natural replay layer, is 32x4x4.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.add_module("conv1", layer(nn.Conv2d(channels, 16, 3, padding=1, bias=False)))
        self.add_module("conv2", layer(nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False)))
        self.add_module("conv3", layer(nn.Conv2d(32, 64, 3, padding=1, bias=False)))
        # There is a mean for each quarter of the map, for the place of a stroke tells digits apart.
        self.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()))


class Perceptron(nn.Sequential):
    """Two hidden layers, `fc1` and `fc2`, of `width` units: images of `inputs` numbers to `width` features."""

    def __init__(self, inputs: int, width: int = 400) -> None:
        def hidden(size: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(size, width), nn.ReLU())

        super().__init__(OrderedDict(flatten=nn.Flatten(), fc1=hidden(inputs), fc2=hidden(width)))
