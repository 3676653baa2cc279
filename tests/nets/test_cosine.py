"""The cosine head: what it says by hand, which rows learn, and which classes compete."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from negreplay.nets.cosine import CosineHead
from negreplay.optimize import make_optimizer
from negreplay.recipe import OptimizerRecipe

NONE = torch.zeros(5, dtype=torch.long)


def counts(*classes: int) -> Tensor:
    return torch.bincount(torch.tensor(classes), minlength=5)


def begun(*, scale: float = 2.0) -> CosineHead:
    """A head that has seen the classes 0 and 3, in an experience of 1 and, once more, 3; 2 and 4 never came."""
    torch.manual_seed(0)
    head = CosineHead(3, 5)
    head.begin(counts(0, 3), NONE)
    head.end(counts(0, 3), NONE)
    head.begin(counts(1, 3), NONE)
    with torch.no_grad():
        head.scale.fill_(scale)
    return head


def test_logits_are_scaled_cosines_by_hand():
    head = CosineHead(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[5.0, 0.0], [-0.1, 0.1], [3.0, 4.0]]))
        head.scale.fill_(10.0)
    # The features point along (1, 0) and (0.6, 0.8); however long they are.
    x = torch.tensor([[7.0, 0.0], [0.3, 0.4]])
    expected = torch.tensor([[1.0, -math.sqrt(0.5), 0.6], [0.6, 0.2 * math.sqrt(0.5), 1.0]])
    torch.testing.assert_close(head.cosines(x), expected)
    torch.testing.assert_close(head(x), 10 * expected)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_neither_the_length_of_features_nor_that_of_rows_matters(factor):
    head, x = begun(), torch.rand(4, 3)
    before = head(x)
    torch.testing.assert_close(head(factor * x), before)
    with torch.no_grad():
        head.weight.mul_(factor)
    torch.testing.assert_close(head(x), before)


def test_rows_begin_within_one_over_the_root_of_the_features_and_the_scale_at_one():
    torch.manual_seed(0)
    head = CosineHead(400, 5)
    assert -0.05 <= head.weight.min() < -0.0495 and 0.0495 < head.weight.max() <= 0.05
    assert head.scale.item() == 1.0 and head.scale.requires_grad


def test_the_softmax_is_over_the_classes_seen_and_current():
    head = begun()
    competing = torch.tensor([True, True, False, True, False])
    labels = torch.tensor([1, 3, 0])
    assert torch.equal(head.competing(labels), competing.expand(3, 5))
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    losses = head.losses(logits, labels, torch.tensor([False, False, True]))
    # Among 0, 1 and 3 the labels are the second, the third and the first.
    expected = F.cross_entropy(logits[:, competing], torch.tensor([1, 2, 0]), reduction="none")
    torch.testing.assert_close(losses, expected)


def test_rows_of_old_classes_do_not_learn():
    head = begun()
    x = torch.rand(6, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.tensor([0, 1, 3, 0, 1, 3])
    head.losses(head(x), labels, torch.tensor([True, False, False] * 2)).mean().backward()
    assert head.weight.grad is not None and head.scale.grad is not None and x.grad is not None
    # 0 is old and replayed; 1 is new; 3 is old, but has come again; the others do not compete.
    assert head.weight.grad.any(dim=1).tolist() == [False, True, False, True, False]
    assert head.scale.grad.item() != 0
    # Features learn from the old rows too: the gradient is the one without any block.
    plain = x.detach().clone().requires_grad_()
    rows = F.normalize(head.weight.detach()[[0, 1, 3]], dim=1)
    logits = 2.0 * F.normalize(plain, dim=1) @ rows.T
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    torch.testing.assert_close(x.grad, plain.grad)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_rows_of_old_classes_keep_their_direction_through_real_steps(kind):
    head, rng = begun(), torch.Generator().manual_seed(1)
    before = head.rows.detach().clone()
    optimizer = make_optimizer(OptimizerRecipe(kind), (head.parameters(), 0.05))
    for _ in range(20):
        x, labels = torch.rand(8, 3, generator=rng), torch.randint(2, (8,), generator=rng) * 2 + 1
        optimizer.zero_grad()
        head.losses(head(x), labels, torch.zeros(8, dtype=torch.bool)).mean().backward()
        optimizer.step()
    turned = 1 - F.cosine_similarity(head.rows.detach(), before, dim=1)
    assert torch.equal(head.rows[0], before[0]) and turned[1] > 1e-3


def test_an_experience_ends_with_its_classes_seen_and_the_rows_as_they_were():
    head = begun()
    before = head.weight.detach().clone()
    assert head.seen.tolist() == [True, False, False, True, False]
    head.end(counts(1, 3), counts(0, 2))
    assert head.seen.tolist() == [True, True, False, True, False], "class 2 was in the memory only"
    assert torch.equal(head.weight, before) and torch.equal(head.rows, before)


def test_a_cosine_head_goes_on_from_its_state():
    torch.manual_seed(1)
    head, twin, x = begun(scale=3.0), CosineHead(3, 5), torch.rand(4, 3)
    twin.load_state_dict(head.state_dict())
    assert torch.equal(twin(x), head(x)) and torch.equal(twin.competing(NONE), head.competing(NONE))
