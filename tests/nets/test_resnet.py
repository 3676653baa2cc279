import copy
import math

import pytest
import torch
from torch import nn

from negreplay.nets.classifier import cut, fingerprint
from negreplay.nets.renorm import BatchRenorm2d, renormalise
from negreplay.nets.resnet import SHAPES, ResNet
from negreplay.recipe import RenormRecipe

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def settled(name: str) -> ResNet:
    """A network in evaluation mode whose statistics are not the initial ones."""
    torch.manual_seed(0)
    net = ResNet(SHAPES[name])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        (
            "resnet18",
            224,
            {
                "normalise": (3, 224, 224),
                "conv1": (64, 112, 112),
                "bn1": (64, 112, 112),
                "relu": (64, 112, 112),
                "maxpool": (64, 56, 56),
                "layer1": (64, 56, 56),
                "layer2": (128, 28, 28),
                "layer3": (256, 14, 14),
                "layer4": (512, 7, 7),
                "pool": (512,),
            },
        ),
        (
            "resnet18-32",
            32,
            {
                "normalise": (3, 32, 32),
                "conv1": (64, 32, 32),
                "bn1": (64, 32, 32),
                "relu": (64, 32, 32),
                "layer1": (64, 32, 32),
                "layer2": (128, 16, 16),
                "layer3": (256, 8, 8),
                "layer4": (512, 4, 4),
                "pool": (512,),
            },
        ),
        (
            "resnet20-32",
            32,
            {
                "normalise": (3, 32, 32),
                "conv1": (16, 32, 32),
                "bn1": (16, 32, 32),
                "relu": (16, 32, 32),
                "layer1": (16, 32, 32),
                "layer2": (32, 16, 16),
                "layer3": (64, 8, 8),
                "pool": (64,),
            },
        ),
    ],
)
def test_shape_at_each_layer(name, side, expected):
    with torch.device("meta"):
        net, x, shapes = ResNet(SHAPES[name]), torch.empty(1, 3, side, side), {}
    for child, module in net.named_children():
        x = module(x)
        shapes[child] = tuple(x.shape[1:])
    assert shapes == expected


# He et al.'s ResNet-20 of 0.27 million has 272,474 with option B's shortcuts and its classifier's 650.
@pytest.mark.parametrize(
    ("name", "count"), [("resnet18", 11_176_512), ("resnet18-32", 11_168_832), ("resnet20-32", 272_474 - 650)]
)
def test_number_of_parameters(name, count):
    with torch.device("meta"):
        net = ResNet(SHAPES[name])
    assert sum(p.numel() for p in net.parameters()) == count


def test_the_state_has_the_names_of_torchvision():
    names = {"conv1.weight"} | {f"bn1.{tensor}" for tensor in NORM}
    for stage in (1, 2, 3, 4):
        for block in (f"layer{stage}.0", f"layer{stage}.1"):
            names |= {f"{block}.conv{i}.weight" for i in (1, 2)}
            names |= {f"{block}.bn{i}.{tensor}" for i in (1, 2) for tensor in NORM}
        if stage > 1:
            names |= {f"layer{stage}.0.downsample.0.weight"}
            names |= {f"layer{stage}.0.downsample.1.{tensor}" for tensor in NORM}
    with torch.device("meta"):
        state = ResNet(SHAPES["resnet18"]).state_dict()
    assert state.keys() == names | {"normalise.mean", "normalise.std"}
    assert tuple(state["layer3.0.downsample.0.weight"].shape) == (256, 128, 1, 1)


def test_a_block_by_hand():
    block = settled("resnet20-32").get_submodule("layer2.0").double()
    weights = {name: parameter for name, parameter in block.named_parameters() if parameter.dim() == 4}
    x, f = torch.rand(2, 16, 8, 8, dtype=torch.float64), nn.functional
    inner = f.relu(block.get_submodule("bn1")(f.conv2d(x, weights["conv1.weight"], stride=2, padding=1)))
    shortcut = block.get_submodule("downsample.1")(f.conv2d(x, weights["downsample.0.weight"], stride=2))
    expected = f.relu(block.get_submodule("bn2")(f.conv2d(inner, weights["conv2.weight"], padding=1)) + shortcut)
    torch.testing.assert_close(block(x), expected)


def test_weights_are_drawn_with_the_fan_out():
    torch.manual_seed(0)
    net = ResNet(SHAPES["resnet18-32"])
    for name, fan_out in (("layer4.1.conv2", 512 * 9), ("layer4.0.conv1", 512 * 9), ("layer4.0.downsample.0", 512)):
        deviation = net.get_parameter(f"{name}.weight").std().item()
        assert deviation == pytest.approx(math.sqrt(2 / fan_out), rel=0.01)


@pytest.mark.parametrize("name", SHAPES)
def test_cut_at_each_stage_it_computes_the_same(name):
    net, images = settled(name), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = net(images)
        for at in [n for n, _ in net.named_modules() if n.startswith("layer") and n.count(".") <= 1]:
            front, back = cut(net, at)
            torch.testing.assert_close(back(front(images)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", SHAPES)
def test_renormalised_it_computes_the_same_in_evaluation(name):
    net, images = settled(name), torch.rand(2, 3, 32, 32)
    renormed = renormalise(copy.deepcopy(net), RenormRecipe())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in renormed.modules())
    assert sum(isinstance(module, BatchRenorm2d) for module in renormed.modules()) >= 20
    torch.testing.assert_close(renormed(images), net(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_only_the_last_block_goes_without_its_relu(name):
    rectified, images = settled(name), torch.rand(2, 3, 32, 32)
    net = ResNet(SHAPES[name], rectified=False).eval()
    net.load_state_dict(rectified.state_dict())
    *_, last = [n for n, _ in net.named_children() if n.startswith("layer")]
    (front, back), (same, _) = (cut(one, last) for one in (net, rectified))
    maps, expected = front(images), same(images)
    # Up to the last ReLU both are one network, to the bit.
    assert (maps < 0).any() and torch.equal(maps.relu(), expected)
    features = net(images)
    torch.testing.assert_close(features, maps.mean(dim=(2, 3)))
    torch.testing.assert_close(back(maps), features, rtol=0, atol=0)
    assert (features < 0).any() and (rectified(images) >= 0).all()


def test_a_front_without_its_last_relu_is_another_front():
    """Its latents are others, and are stored under its fingerprint."""
    fronts = []
    for rectified in (True, False):
        torch.manual_seed(0)
        fronts.append(cut(ResNet(SHAPES["resnet20-32"], rectified=rectified), "layer3")[0])
    assert fingerprint(fronts[0]) != fingerprint(fronts[1])
