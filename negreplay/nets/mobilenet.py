"""MobileNetV1, with its layers named as the paper names them.

References:
    Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.nets.layers import IMAGENET_MEAN, IMAGENET_STD, GlobalMean, Normalise, layer
from negreplay.nets.weights import copy_tensor, read_weights

# Name, channels out and stride of each depthwise-separable pair, at width 1.
PAIRS = (
    ("conv2_1", 64, 1),
    ("conv2_2", 128, 2),
    ("conv3_1", 128, 1),
    ("conv3_2", 256, 2),
    ("conv4_1", 256, 1),
    ("conv4_2", 512, 2),
    *((f"conv5_{i}", 512, 1) for i in range(1, 6)),
    ("conv5_6", 1024, 2),
    ("conv6", 1024, 1),
)


class StridedDepthwise(nn.Conv2d):
    """A stride-2 depthwise convolution, which stays in float32 on processors.

    There its backward takes thirty times as long in bfloat16 as in float32 (torch 2.13), which costs more time than
    bfloat16 saves elsewhere.
    """

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:  # noqa: A002
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


class MobileNetV1(nn.Sequential):
    """MobileNetV1 without its ImageNet classifier: RGB images in [0, 1] to features, 1024 at width 1.

    Its layers are `normalise`, `conv1`, `conv2_1/dw`, `conv2_1/sep`, ..., `conv6/dw`, `conv6/sep` and `pool`.

    Args:
        width: the factor by which all numbers of channels are multiplied.
        activation: `relu`, or `relu6`.
        padding: where stride-2 convolutions pad: `symmetric`, or `right-bottom`.
        eps: what batch norm adds to the variance.
        mean: the mean of each colour channel, on images in [0, 1].
        std: the standard deviation of each colour channel.
    """

    def __init__(
        self,
        width: float = 1.0,
        activation: str = "relu",
        padding: str = "symmetric",
        eps: float = 1e-5,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()

        def add(name: str, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> int:
            pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 and padding == "right-bottom" else None
            margin = 0 if pad else kernel // 2
            kind = StridedDepthwise if stride == 2 and groups > 1 else nn.Conv2d
            conv = kind(inputs, outputs, kernel, stride, margin, groups=groups, bias=False)
            self.add_module(name, layer(conv, activation, eps, pad))
            return outputs

        self.add_module("normalise", Normalise(mean, std))
        channels = add("conv1", 3, int(32 * width), 3, 2)
        for name, outputs, stride in PAIRS:
            channels = add(f"{name}/dw", channels, channels, 3, stride, groups=channels)
            channels = add(f"{name}/sep", channels, int(outputs * width), 1, 1)
        self.add_module("pool", GlobalMean())


def load_weights(net: MobileNetV1, path: Path) -> None:
    """Fills a network that has batch norm (not yet renormalised) from a safetensors file.

    The file's keys are `features.{i}.conv.weight` and `features.{i}.bn.{weight,bias,running_mean,running_var}`, i from
    0 (`conv1`) to 26 (`conv6/sep`), in any floating-point type. Others, such as an ImageNet classifier, are ignored.

    Raises:
        UserError: the file is refused by `read_weights`, lacks a key, holds no floating-point numbers under one, or
            belongs to another width.
    """
    tensors = read_weights(path)
    names = [name for name, _ in net.named_children() if name.startswith("conv")]
    state = net.state_dict()
    for key in state:
        name, _, tensor = key.partition(".")
        if name not in names or tensor == "bn.num_batches_tracked":
            continue
        file_key = f"features.{names.index(name)}.{tensor}"
        if file_key not in tensors:
            raise UserError(f"{path} has no {file_key!r}: weights.file must be a MobileNetV1 saved with these keys.")
        if tensors[file_key].shape != state[key].shape:
            shapes = f"{tuple(tensors[file_key].shape)}, not {tuple(state[key].shape)}"
            raise UserError(f"{path} is of another width, its {file_key!r} is {shapes}: change classifier.width.")
        copy_tensor(path, file_key, tensors[file_key], state[key])
