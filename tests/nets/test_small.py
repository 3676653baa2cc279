import pytest
import torch
from torch import nn

from negreplay.nets.classifier import cut
from negreplay.nets.small import Perceptron, SmallNet


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_size(channels):
    net = SmallNet(channels)
    x = torch.rand(2, channels, 8, 8)
    shapes = {}
    for name, module in net.named_children():
        x = module(x)
        shapes[name] = tuple(x.shape[1:])
    assert shapes == {"conv1": (16, 8, 8), "conv2": (32, 4, 4), "conv3": (64, 4, 4), "pool": (256,)}
    assert sum(p.numel() for p in net.parameters()) <= 50_000


def test_every_colour_is_looked_at():
    torch.manual_seed(0)
    net, grey = SmallNet(3).eval(), torch.full((1, 3, 8, 8), 0.5)
    for channel in range(3):
        coloured = grey.clone()
        coloured[:, channel] = 1.0
        assert not torch.isclose(net(coloured), net(grey)).all()
    assert sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in SmallNet().parameters()) == 2 * 16 * 9


def test_a_perceptron_by_hand():
    torch.manual_seed(0)
    net, images = Perceptron(2 * 3 * 4, width=5), torch.rand(6, 2, 3, 4)
    first, second = (net.get_submodule(f"{name}.0") for name in ("fc1", "fc2"))
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    inner = (images.reshape(6, 24) @ first.weight.T + first.bias).clamp(min=0)
    expected = (inner @ second.weight.T + second.bias).clamp(min=0)
    torch.testing.assert_close(net(images), expected)
    assert (expected == 0).any() and (expected > 0).any(), "features end in a ReLU"
    assert expected.shape[1] == 5


def test_a_perceptron_has_the_usual_width():
    net = Perceptron(28 * 28)
    assert net(torch.rand(1, 28, 28)).shape == (1, 400)
    assert sum(p.numel() for p in net.parameters()) == 785 * 400 + 401 * 400


@pytest.mark.parametrize(("at", "latent"), [("flatten", (24,)), ("fc1", (5,)), ("fc2", (5,))])
def test_a_perceptron_is_cut_at_its_layers(at, latent):
    torch.manual_seed(0)
    net, images = Perceptron(24, width=5), torch.rand(2, 2, 3, 4)
    front, back = cut(net, at)
    assert front(images).shape[1:] == latent
    torch.testing.assert_close(back(front(images)), net(images), rtol=0, atol=0)
