"""`cut`: front and back are the backbone, and a cut that makes no sense is refused."""

import copy

import pytest
import torch
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.nets.classifier import cut
from negreplay.nets.mobilenet import MobileNetV1
from negreplay.nets.small import SmallNet


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(self.norm(self.one(x)).relu())


class Residual(nn.Module):
    """Two blocks, a scale that `forward` names itself, and in training something that only a whole module may do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.blocks = nn.Sequential(Block(), Block(), Branching())
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale
        return self.pool(self.blocks(self.stem(x)) * scale).flatten(1)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > 0 else x


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.unused = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(self.b(self.a(x)))


@pytest.mark.parametrize("at", ["stem", "blocks", "blocks.0", "blocks.1", "blocks.2", "pool"])
@pytest.mark.parametrize("training", [False, True])
def test_front_then_back_is_the_backbone(at, training):
    torch.manual_seed(0)
    net = Residual().train(training)
    front, back = cut(copy.deepcopy(net), at)
    images = torch.rand(3, 3, 5, 5)
    torch.testing.assert_close(back(front(images)), net(images), rtol=0, atol=0)


def test_mobilenet_is_cut_at_its_layers():
    torch.manual_seed(0)
    net = MobileNetV1(width=0.1, padding="right-bottom").eval()
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = net(images)
        for name in ("normalise", "conv1", "conv5_4/dw", "conv5_4/dw.bn", "conv6/sep", "pool"):
            front, back = cut(net, name)
            torch.testing.assert_close(back(front(images)), expected, rtol=0, atol=0)


def test_cut_at_the_input_images_are_their_own_latents():
    """For any network, also one that cannot be traced or has a layer of that name."""
    torch.manual_seed(0)
    images = torch.rand(3, 3, 5, 5)
    for net in (Residual().train(), nn.ModuleDict({"input": nn.Conv2d(3, 3, 1)})):
        front, back = cut(net, "input")
        assert back is net and not front.state_dict() and front(images) is images


def test_halves_share_parameters_names_and_mode_with_the_backbone():
    net = SmallNet()
    front, back = cut(net, "conv2")
    theirs = dict(net.named_parameters())
    ours = dict(front.named_parameters()) | dict(back.named_parameters())
    assert ours.keys() == theirs.keys() and all(ours[name] is theirs[name] for name in ours)
    assert {name.split(".")[0] for name in back.state_dict()} == {"conv3"}
    front.eval()
    assert not net.get_submodule("conv1.bn").training and net.get_submodule("conv3.bn").training


@pytest.mark.parametrize(
    ("net", "at", "sentence"),
    [
        (SmallNet(), "conv22", "SmallNet has no layer 'conv22': did you mean 'conv2'?"),
        (Residual(), "xyz", "take one of stem, blocks, "),
        (SmallNet(), "", "SmallNet has no layer ''"),
        (Residual(), "blocks.0.one", "a path .* goes around it: cut after the whole block"),
        (Residual(), "blocks.2.inner", "cannot be traced down to layer 'blocks.2.inner'"),
        (Twice(), "a", "is used 2 times: cut after a layer that is used once"),
        (Twice(), "b", "layers before and after 'b' share parameters"),
        (Twice(), "unused", "is used 0 times"),
    ],
)
def test_a_cut_that_makes_no_sense_is_refused(net, at, sentence):
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        cut(net, at)


def test_the_whole_block_around_a_skip_connection_can_be_named():
    front, back = cut(Residual(), "blocks.0")
    assert "blocks.1.one.weight" in back.state_dict() and "blocks.0.two.weight" in front.state_dict()


class Sized(nn.Module):
    """Goes one way for large images, another one for small ones."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.shrink = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)
        return self.shrink(x) if x.shape[2] > 4 else x


@pytest.mark.parametrize(("side", "made"), [(8, 4), (4, 4), (3, 3)])
def test_an_example_decides_where_the_way_depends_on_sizes(side, made):
    net, images = Sized(), torch.rand(2, 3, side, side)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(UserError, match="cannot be traced"):
        cut(net, "blocks.1")
    front, back = cut(net, "blocks.1", images[:1])
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert back(front(images)).shape == (2, 4, made, made)
    torch.testing.assert_close(back(front.eval()(images)), net.eval()(images), rtol=0, atol=0)


def test_an_example_does_not_decide_where_the_way_depends_on_values():
    with pytest.raises(UserError, match=r"cannot be traced down to layer 'blocks\.2\.inner'"):
        cut(Residual(), "blocks.2.inner", torch.rand(1, 3, 5, 5))
