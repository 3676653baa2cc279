"""The classifier: what of it learns, what it computes from images and latents, and its fingerprint."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from negreplay.nets.classifier import Classifier, cut, fingerprint
from negreplay.nets.heads import PlainHead
from negreplay.nets.mobilenet import MobileNetV1
from negreplay.nets.renorm import begin_renorm, renormalise
from negreplay.nets.small import SmallNet
from negreplay.patterns import Batch
from negreplay.recipe import Mode, RenormRecipe


def classifier(blocked: bool = True, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    net = SmallNet()
    front, back = cut(net, "conv2")
    return Classifier(front, back, PlainHead(256, 5, Mode.NEGATIVE), blocked)


def statistics(half: nn.Module, name: str) -> Tensor:
    """The running mean of the batch norm of that name."""
    norm = half.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
    return norm.running_mean


def minibatch(current: Tensor, encoded: bool, replay: Tensor | None = None) -> Batch:
    replay = torch.empty(0) if replay is None else replay
    n, m = len(current), len(replay)
    return Batch(current, encoded, replay, torch.zeros(n + m, dtype=torch.long), torch.arange(n + m) >= n)


@pytest.mark.parametrize("blocked", [False, True])
def test_at_the_input_all_of_the_network_learns(blocked):
    torch.manual_seed(0)
    net = Classifier(*cut(SmallNet(), "input"), PlainHead(256, 5, Mode.NEGATIVE), blocked=blocked).train()
    images, replay = torch.rand(4, 1, 8, 8), torch.rand(3, 1, 8, 8)
    logits = net(minibatch(images, encoded=False, replay=replay))
    assert torch.equal(net.encode(images), images)
    assert logits.equal(net.head(net.back(torch.cat([images, replay]))))
    logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_blocked_front_stays_in_evaluation_and_takes_no_gradient():
    net = classifier(blocked=True).train()
    before = statistics(net.front, "conv1.bn").clone()
    net(minibatch(torch.rand(6, 1, 8, 8), encoded=False)).sum().backward()
    assert not any(module.training for module in net.front.modules())
    assert all(module.training for module in [*net.back.modules(), net.head])
    assert all(p.grad is None and not p.requires_grad for p in net.front.parameters())
    assert all(p.grad is not None for p in [*net.back.parameters(), *net.head.parameters()])
    assert torch.equal(statistics(net.front, "conv1.bn"), before)


def test_a_front_can_learn_and_be_blocked_later():
    net = classifier(blocked=False).train()
    images = torch.rand(6, 1, 8, 8)
    net(minibatch(images, encoded=False)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.front.parameters())
    assert all(module.training for module in net.front.modules())
    net.block_front()
    assert not net.encode(images).requires_grad
    assert not any(module.training for module in net.front.modules())


def test_a_blocked_front_encodes_in_float32_whatever_the_precision():
    """And a front that learns has the precision of training."""
    net, images = classifier(blocked=False), torch.rand(6, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert net.encode(images).dtype == torch.bfloat16
        net.block_front()
        within, batch = net.encode(images), net.latents(minibatch(images, encoded=False))
        assert net.decide(within).dtype == torch.bfloat16
    assert within.dtype == torch.float32
    assert torch.equal(within, net.encode(images)) and torch.equal(batch, within)


def test_one_image_with_maps_of_a_single_value_is_learned():
    torch.manual_seed(0)
    net = Classifier(*cut(MobileNetV1(width=0.1), "conv3_1/dw"), PlainHead(102, 3, Mode.NEGATIVE), blocked=True).train()
    net(minibatch(torch.rand(2, 3, 64, 64), encoded=False))
    before = statistics(net.back, "conv6/sep.bn").clone()
    net(minibatch(torch.rand(1, 3, 32, 32), encoded=False)).square().sum().backward()
    assert torch.equal(statistics(net.back, "conv6/sep.bn"), before) and before.any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.back.parameters())


def test_the_block_survives_a_checkpoint():
    net = classifier(blocked=False)
    net.block_front()
    fresh = classifier(blocked=False, seed=1).train()
    fresh.load_state_dict(net.state_dict())
    images = torch.rand(4, 1, 8, 8)
    assert fresh.blocked and not fresh.front.training
    assert not any(p.requires_grad for p in fresh.front.parameters())
    assert fresh.eval().decide(fresh.encode(images)).equal(net.eval().decide(net.encode(images)))


def test_images_and_their_latents_give_the_same_logits():
    net = classifier().train()
    images, replay = torch.rand(4, 1, 8, 8), torch.rand(3, 32, 4, 4)
    latents = net.encode(images)
    assert latents.shape == (4, 32, 4, 4)
    from_images = net(minibatch(images, encoded=False, replay=replay))
    assert from_images.shape == (7, 5)
    assert from_images.equal(net(minibatch(latents, encoded=True, replay=replay)))
    assert from_images.equal(net.decide(torch.cat([latents, replay])))
    assert net(minibatch(latents, encoded=True)).equal(net.decide(latents))


def test_latents_are_mirrored_where_the_minibatch_says_so():
    net, chosen = classifier().eval(), torch.tensor([True, False, False, True, False])
    batch = minibatch(torch.rand(3, 1, 8, 8), encoded=False, replay=torch.rand(2, 32, 4, 4))
    plain, mirrored = net.latents(batch), net.latents(batch._replace(mirrored=chosen))
    assert torch.equal(mirrored[chosen], plain[chosen].flip(-1)) and torch.equal(mirrored[~chosen], plain[~chosen])


def test_stopped_patterns_teach_the_head_but_not_the_back():
    net = classifier().train()
    latents, stop = torch.rand(6, 32, 4, 4), torch.tensor([False, False, True, False, True, True])
    weights = torch.randn(6, 5)
    features = net.features(latents)
    # The back by hand: only the kept patterns' logits count; the head: all of them do.
    kept = (net.head(features) * weights)[~stop].sum()
    expected_back = torch.autograd.grad(kept, list(net.back.parameters()), retain_graph=True)
    expected_head = torch.autograd.grad((net.head(features) * weights).sum(), list(net.head.parameters()))
    logits = net.decide(latents, stop)
    torch.testing.assert_close(logits, net.decide(latents))
    (logits * weights).sum().backward()
    for parameter, expected in zip(net.back.parameters(), expected_back, strict=True):
        torch.testing.assert_close(parameter.grad, expected)
    for parameter, expected in zip(net.head.parameters(), expected_head, strict=True):
        torch.testing.assert_close(parameter.grad, expected)
    assert any(not torch.equal(a, torch.zeros_like(a)) for a in expected_back)


def test_when_all_are_stopped_the_back_learns_nothing():
    net = classifier().train()
    net.decide(torch.rand(3, 32, 4, 4), torch.ones(3, dtype=torch.bool)).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in net.back.parameters())


def test_copies_and_pickles_compute_the_same():
    net = classifier().eval()
    images = torch.rand(2, 1, 8, 8)
    expected = net.decide(net.encode(images))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.decide(twin.encode(images)).equal(expected)
        assert fingerprint(twin.front) == fingerprint(net.front)
        twin.train()
        assert not twin.front.training
        assert all(a is not b for a, b in zip(twin.parameters(), net.parameters(), strict=True))


def test_convolutions_are_channels_last():
    net = classifier()
    weights = net.back.state_dict()["conv3.conv.weight"]
    assert weights.is_contiguous(memory_format=torch.channels_last)
    assert net.encode(torch.rand(2, 1, 8, 8)).is_contiguous(memory_format=torch.channels_last)


def test_fingerprint_sees_structure_and_numbers():
    def front(seed: int = 0, **options) -> nn.Module:
        torch.manual_seed(seed)
        return cut(MobileNetV1(width=0.1, **options), "conv2_1/dw")[0]

    names = [front(), front(1), front(activation="relu6"), front(padding="right-bottom"), front(eps=1e-3)]
    assert len({fingerprint(module) for module in names}) == len(names)
    assert fingerprint(front()) == fingerprint(front())
    moved = front().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    assert fingerprint(moved) == fingerprint(front())
    statistics(moved, "conv1.bn").add_(1e-3)
    assert fingerprint(moved) != fingerprint(front())


def test_a_new_experience_does_not_change_a_blocked_front():
    front, back = cut(renormalise(SmallNet(), RenormRecipe()), "conv2")
    net = Classifier(front, back, PlainHead(256, 5, Mode.NEGATIVE), blocked=True)
    before = fingerprint(net.front), fingerprint(net.back)
    begin_renorm(net, first=False)
    assert fingerprint(net.front) == before[0] and fingerprint(net.back) != before[1]
