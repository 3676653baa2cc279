from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from negreplay.errors import UserError
from negreplay.nets.mobilenet import MobileNetV1, load_weights
from negreplay.nets.renorm import renormalise
from negreplay.recipe import RenormRecipe

FILE = "mobilenet_v1_1.0_imagenet.safetensors"
CONVOLUTIONS = [name for name, _ in MobileNetV1(width=0.1).named_children() if name.startswith("conv")]


def like_the_file() -> MobileNetV1:
    return MobileNetV1(1.0, "relu6", "right-bottom", 1e-3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def saved(net: MobileNetV1, path: Path) -> Path:
    """The network's weights in a file with the keys that `load_weights` reads."""
    state = {
        f"features.{i}.{key}": tensor.half() if key == "conv.weight" else tensor
        for i, name in enumerate(CONVOLUTIONS)
        for key, tensor in net.get_submodule(name).state_dict().items()
    }
    save_file(state | {"fc.bias": torch.zeros(1000)}, path)
    return path


def test_layers_are_named_as_in_the_paper():
    assert len(CONVOLUTIONS) == 27
    assert CONVOLUTIONS[0] == "conv1" and CONVOLUTIONS[19] == "conv5_4/dw" and CONVOLUTIONS[26] == "conv6/sep"
    net = MobileNetV1(width=0.1)
    assert [name for name, _ in net.named_children()] == ["normalise", *CONVOLUTIONS, "pool"]
    assert [name for name, _ in net.get_submodule("conv1").named_children()] == ["conv", "bn", "act"]


def test_number_of_parameters():
    with torch.device("meta"):
        net = MobileNetV1()
    assert sum(p.numel() for p in net.parameters()) == 3_206_976
    assert net(torch.empty(1, 3, 64, 64, device="meta")).shape == (1, 1024)
    layers = list(net)
    assert sum(p.numel() for layer in layers[:21] for p in layer.parameters()) == 1_081_152


@pytest.mark.parametrize("padding", ["symmetric", "right-bottom"])
def test_shape_at_each_layer(padding):
    with torch.device("meta"):
        net = MobileNetV1(padding=padding)
        x = torch.empty(1, 3, 128, 128)
    shapes = {}
    for name, module in net.named_children():
        x = module(x)
        shapes[name] = tuple(x.shape[1:])
    sides = {"conv1": (32, 64), "conv2_1": (64, 64), "conv2_2": (128, 32), "conv3_1": (128, 32), "conv3_2": (256, 16)}
    sides |= {"conv4_1": (256, 16), "conv4_2": (512, 8)} | {f"conv5_{i}": (512, 8) for i in range(1, 6)}
    sides |= {"conv5_6": (1024, 4), "conv6": (1024, 4)}
    for name, (channels, side) in sides.items():
        assert shapes[name if name == "conv1" else f"{name}/sep"] == (channels, side, side)
    assert shapes["conv5_4/dw"] == (512, 8, 8)
    assert shapes["pool"] == (1024,)


def test_stride_2_convolutions_pad_as_told():
    image = torch.rand(1, 3, 16, 16)
    for padding, window in (("right-bottom", image[0, :, :3, :3]), ("symmetric", image[0, :, 1:4, 1:4])):
        conv1 = MobileNetV1(width=0.1, padding=padding).get_submodule("conv1")
        maps = nn.Sequential(*list(conv1.children())[:-2])(image)  # without batch norm and activation
        assert maps.shape[2:] == (8, 8)
        place = 0 if padding == "right-bottom" else 1
        expected = torch.einsum("ocij,cij->o", conv1.get_submodule("conv").weight, window)
        torch.testing.assert_close(maps[0, :, place, place], expected)


def test_images_are_normalised_first():
    net = MobileNetV1(width=0.1, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.1))
    black = net.get_submodule("normalise")(torch.zeros(1, 3, 2, 2))
    torch.testing.assert_close(black[0, :, 0, 0], torch.tensor([-1.0, -1.6, -3.0]))


def test_activation_is_an_option():
    for activation, kind in (("relu", nn.ReLU), ("relu6", nn.ReLU6)):
        net = MobileNetV1(width=0.1, activation=activation)
        assert all(isinstance(net.get_submodule(f"{name}.act"), kind) for name in CONVOLUTIONS)


def test_weights_survive_a_file(tmp_path):
    torch.manual_seed(0)
    source, copy = MobileNetV1(width=0.25).eval(), MobileNetV1(width=0.25).eval()
    for buffer in source.get_submodule("conv1.bn").buffers():
        buffer.add_(1)
    load_weights(copy, saved(source, tmp_path / "quarter.safetensors"))
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(copy(x), source(x), atol=1e-2, rtol=1e-2)
    assert copy.get_submodule("conv1.conv").weight.dtype == torch.float32


def test_a_bad_file_is_named(tmp_path):
    net = MobileNetV1(width=0.25)
    good = saved(net, tmp_path / "quarter.safetensors")
    with pytest.raises(UserError, match=r"no file of weights .*missing\.safetensors"):
        load_weights(net, tmp_path / "missing.safetensors")
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(good.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"truncated\.safetensors is no safetensors file, or only a part"):
        load_weights(net, truncated)
    with pytest.raises(UserError, match=r"quarter\.safetensors is of another width.*change classifier\.width"):
        load_weights(MobileNetV1(width=0.5), good)
    other = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(1)}, other)
    with pytest.raises(UserError, match=r"other\.safetensors has no 'features\.0\.conv\.weight'"):
        load_weights(net, other)


def test_pretrained_net_renormalised_is_the_same_in_evaluation(shared):
    torch.manual_seed(0)
    net = like_the_file().eval()
    load_weights(net, shared / "weights" / FILE)
    images = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        expected = net(images)
        assert expected.std() > 0.1
        renormalise(net, RenormRecipe())
        torch.testing.assert_close(net(images), expected, atol=1e-4, rtol=1e-4)
