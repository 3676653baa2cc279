"""A network whose own `forward` depends on the mode is cut so that its halves depend on the mode too."""

import copy
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from negreplay.data.data import Tensors, View
from negreplay.learners.ewc import fisher
from negreplay.nets.classifier import Classifier, Half, cut, fingerprint
from negreplay.nets.heads import PlainHead
from negreplay.nets.library import library_net
from negreplay.recipe import Mode

IMAGES = torch.rand(6, 3, 5, 5, generator=torch.Generator().manual_seed(0))

needs_timm = pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="timm is not installed: it is the extra `vision`",
)


class Moody(nn.Module):
    """Drops out, drops paths, and takes another layer and another buffer in each mode, before and after `middle`."""

    def __init__(self, drop: float = 0.5) -> None:
        super().__init__()
        self.drop = drop
        self.stem = nn.Conv2d(3, 4, 1)
        self.middle = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh())
        self.branches = nn.ModuleDict({"learning": nn.Conv2d(4, 4, 1), "predicting": nn.Conv2d(4, 4, 1)})
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("shift", torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.stem(x), self.drop, self.training)
        x = self.middle(x)
        if self.training:
            x = x * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(0.5)
            return (self.branches["learning"](x) * self.scale).flatten(1)
        return (self.branches["predicting"](x) + self.shift).flatten(1)


def network(seed: int = 0) -> Moody:
    torch.manual_seed(seed)
    return Moody()


def classifier(seed: int = 0) -> Classifier:
    net = network(seed)
    return Classifier(*cut(net, "middle"), PlainHead(100, 3, Mode.NEGATIVE), blocked=False)


def after_seed(module: nn.Module, images: Tensor) -> Tensor:
    torch.manual_seed(1)
    return module(images)


@pytest.mark.parametrize("at", ["stem", "middle"])
@pytest.mark.parametrize("mode_while_cutting", [True, False])
def test_in_each_mode_the_halves_do_what_the_network_does(at, mode_while_cutting):
    net = network().train(mode_while_cutting)
    halves = nn.Sequential(*cut(copy.deepcopy(net), at))
    assert all(half.training is mode_while_cutting for half in halves)
    for training in (True, False, True):
        assert torch.equal(after_seed(halves.train(training), IMAGES), after_seed(net.train(training), IMAGES))
    assert not torch.equal(halves(IMAGES), halves(IMAGES))
    assert torch.equal(halves.eval()(IMAGES), halves(IMAGES))


def test_cutting_leaves_the_mode_of_each_module_as_it_is():
    net = network().train()
    net.middle.eval()
    cut(net, "middle")
    assert [name for name, module in net.named_modules() if not module.training] == ["middle", "middle.0", "middle.1"]


def test_parameters_and_buffers_are_those_of_the_network_under_its_names():
    net = network()
    front, back = cut(net, "middle")
    state = front.state_dict() | back.state_dict()
    assert state.keys() == net.state_dict().keys()
    assert all(tensor.data_ptr() == state[name].data_ptr() for name, tensor in net.state_dict().items())
    theirs = dict(net.named_parameters())
    ours = dict(front.named_parameters()) | dict(back.named_parameters())
    assert ours.keys() == theirs.keys() and all(ours[name] is theirs[name] for name in ours)


def test_halves_without_a_difference_are_plain_graphs():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    assert all(isinstance(half, fx.GraphModule) for half in cut(net, "1"))
    front, back = cut(network(), "stem")
    assert isinstance(front, fx.GraphModule) and isinstance(back, Half)


def test_copies_have_parameters_of_their_own():
    net = classifier()
    twin = copy.deepcopy(net)
    assert fingerprint(twin.front) == fingerprint(net.front) and fingerprint(twin.back) == fingerprint(net.back)
    for training in (True, False):
        halves, copies = (nn.Sequential(each.train(training).front, each.back) for each in (net, twin))
        assert torch.equal(after_seed(halves, IMAGES), after_seed(copies, IMAGES))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not twin.decide(twin.encode(IMAGES)).any() and net.decide(net.encode(IMAGES)).any()


def test_a_state_is_loaded_for_both_modes():
    net, other = classifier(), classifier(seed=1)
    assert not torch.equal(net.eval().encode(IMAGES), other.eval().encode(IMAGES))
    other.load_state_dict(net.state_dict())
    for training in (True, False):
        halves, others = (nn.Sequential(each.train(training).front, each.back, each.head) for each in (net, other))
        assert torch.equal(after_seed(halves, IMAGES), after_seed(others, IMAGES))


def test_a_blocked_front_drops_nothing_while_the_back_learns():
    net = classifier().train()
    assert not torch.equal(net.encode(IMAGES), net.encode(IMAGES))
    net.block_front()
    latents = net.encode(IMAGES)
    assert torch.equal(latents, net.encode(IMAGES)) and net.back.training
    assert not torch.equal(net.features(latents), net.features(latents))


@pytest.mark.parametrize("training", [True, False])
def test_a_fingerprint_sees_what_forward_does_in_each_mode(training):
    class Scaled(Moody):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x * 2 if self.training is training else x)

    torch.manual_seed(0)
    assert fingerprint(cut(Scaled(), "middle")[0]) != fingerprint(cut(network(), "middle")[0])
    assert fingerprint(cut(network(), "middle")[0]) == fingerprint(cut(network(), "middle")[0])


def test_the_fisher_information_is_that_of_predictions():
    """It is computed by `vmap`, in which nothing may be drawn."""
    net = classifier().train()
    net.head.begin(torch.ones(3, dtype=torch.long), torch.zeros(3, dtype=torch.long))
    weights = list(net.back.parameters())
    data = View(Tensors(IMAGES, torch.arange(6) % 3, ("a", "b", "c"), "images"), torch.arange(6))
    information = fisher(net, data, weights)
    expected = [torch.zeros_like(weight) for weight in weights]
    net.eval()
    for image in IMAGES:
        answers = net.decide(net.encode(image.unsqueeze(0))).log_softmax(dim=1)[0]
        for answer in answers:
            gradients = torch.autograd.grad(answer, weights, retain_graph=True, materialize_grads=True)
            for total, gradient in zip(expected, gradients, strict=True):
                total += answer.exp().detach() * gradient.square() / len(IMAGES)
    torch.testing.assert_close(information, expected)
    named = dict(zip((name for name, _ in net.back.named_parameters()), information, strict=True))
    assert named["branches.predicting.weight"].any() and not named["branches.learning.weight"].any()


@needs_timm
@pytest.mark.parametrize(("name", "at"), [("ghostnet_050", "blocks.3"), ("test_efficientnet", "blocks.1")])
def test_a_network_of_timm_drops_out_in_training_only(name, at):
    torch.manual_seed(0)
    net, images = library_net(name), torch.rand(2, 3, 32, 32)
    vars(net)["drop_rate"] = 0.5
    halves = nn.Sequential(*cut(copy.deepcopy(net), at))
    for training in (True, False):
        assert torch.equal(after_seed(halves.train(training), images), after_seed(net.train(training), images))
    assert torch.equal(halves(images), halves(images))
    halves.train()
    assert not torch.equal(halves(images), halves(images))
