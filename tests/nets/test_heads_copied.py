"""The heads of CWR and CWR+: rows that begin anew, and of which the current ones are copied."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from negreplay.nets.heads import CopiedHead

NONE = torch.zeros(5, dtype=torch.long)
PLUS = pytest.mark.parametrize("plus", [False, True], ids=["cwr", "cwr+"])


def copied(plus: bool, seed: int = 0, features: int = 3) -> CopiedHead:
    return CopiedHead(features, 5, plus, torch.Generator().manual_seed(seed))


def counts(*classes: int) -> Tensor:
    return torch.bincount(torch.tensor(classes), minlength=5)


def taught(head: CopiedHead, rows: Tensor, *classes: int) -> CopiedHead:
    """After an experience of these classes in which training left these rows."""
    head.begin(counts(*classes), NONE)
    with torch.no_grad():
        head.weight.copy_(rows)
    head.end(counts(*classes), NONE)
    return head


def noise(seed: int) -> Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))


def test_cwr_begins_with_random_rows_within_one_over_the_root_of_the_features():
    head = copied(plus=False, features=400)
    head.begin(counts(1), NONE)
    # 2000 uniform numbers within 1/20: the extremes come within 1 % of both limits but for a chance of 2e-4 each, and
    # the deviation is 1/20 / sqrt(3) = 0.0289.
    assert -0.05 <= head.weight.min() < -0.0495 and 0.0495 < head.weight.max() <= 0.05
    assert abs(head.weight.std() - 0.0289) < 0.001 and abs(head.weight.mean()) < 0.0289 * 5 / 2000**0.5


def test_cwr_draws_rows_anew_in_each_experience_from_the_run_s_generator():
    before = torch.get_rng_state()
    drawn = []
    for seed in (0, 0, 1):
        head = copied(plus=False, seed=seed)
        for c in (0, 1):
            head.begin(counts(c), NONE)
            drawn.append(head.weight.detach().clone())
    one, one_later, same, same_later, other, _ = drawn
    assert torch.equal(one, same) and torch.equal(one_later, same_later)
    assert not torch.isclose(one, one_later).any() and not torch.isclose(one, other).any()
    assert torch.equal(torch.get_rng_state(), before)


def test_cwr_plus_begins_with_rows_of_zeros_and_draws_nothing():
    head = taught(copied(plus=True), noise(1), 0, 1)
    state = head.rng.get_state()
    head.begin(counts(2), NONE)
    assert not head.weight.any()
    assert torch.equal(head.rng.get_state(), state)


def test_cwr_keeps_the_current_rows_as_they_are():
    head = taught(copied(plus=False), noise(1), 1, 1, 3)
    assert torch.equal(head.kept[[1, 3]], noise(1)[[1, 3]])
    assert not head.kept[[0, 2, 4]].any()


def test_cwr_plus_subtracts_the_mean_of_the_current_rows_by_hand():
    rows = torch.tensor([[9.0, 9.0, 9.0], [1.0, 2.0, 3.0], [7.0, 7.0, 7.0], [3.0, 3.0, 6.0], [5.0, 5.0, 5.0]])
    head = taught(copied(plus=True), rows, 1, 3, 3, 3)
    # One mean of both rows, however many patterns each class has: (1 + 2 + 3 + 3 + 3 + 6) / 6 = 3.
    assert head.kept.tolist() == [[0.0] * 3, [-2.0, -1.0, 0.0], [0.0] * 3, [0.0, 0.0, 3.0], [0.0] * 3]


@PLUS
def test_rows_of_old_classes_come_through_an_experience_to_the_bit(plus):
    head = taught(copied(plus), noise(1), 0, 1)
    before = head.kept.clone()
    taught(head, noise(2), 3)
    assert torch.equal(head.kept[[0, 1, 2, 4]], before[[0, 1, 2, 4]])
    assert before[[0, 1]].all() and head.kept[3].all()
    assert head.seen.tolist() == [True, True, False, True, False]


@PLUS
def test_replayed_classes_are_not_copied(plus):
    head = taught(copied(plus), noise(1), 0, 1)
    before = head.kept.clone()
    head.begin(counts(3), counts(0, 1, 2))
    with torch.no_grad():
        head.weight.copy_(noise(2))
    head.end(counts(3), counts(0, 1, 2))
    assert torch.equal(head.kept[[0, 1, 2]], before[[0, 1, 2]])
    assert not head.seen[2]


@PLUS
def test_a_class_that_comes_again_is_learned_as_if_it_were_new(plus):
    head = taught(copied(plus), noise(1), 0, 1)
    taught(head, noise(2), 1)
    alone = taught(copied(plus), noise(2), 1)
    assert torch.equal(head.kept[1], alone.kept[1])


@PLUS
def test_predictions_come_from_the_kept_rows(plus):
    head = taught(taught(copied(plus), noise(1), 0, 1), noise(2), 3)
    x = torch.rand(4, 3)
    torch.testing.assert_close(head(x), x @ head.kept.T)


@PLUS
def test_the_softmax_is_over_the_classes_seen_and_current(plus):
    head = taught(copied(plus), noise(1), 0, 4)
    head.begin(counts(2, 3), NONE)
    competing = torch.tensor([True, False, True, True, True])
    labels = torch.tensor([2, 3, 2])
    assert torch.equal(head.competing(labels), competing.expand(3, 5))
    logits = torch.randn(3, 5, generator=head.rng, requires_grad=True)
    losses = head.losses(logits, labels, torch.zeros(3, dtype=torch.bool))
    # Without class 1 the others are numbered 0, 1, 2, 3.
    torch.testing.assert_close(losses, F.cross_entropy(logits[:, competing], labels - 1, reduction="none"))
    losses.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[:, 1].any() and logits.grad[:, competing].all(), "the old ones are opponents"


@PLUS
def test_a_copied_head_goes_on_from_its_state(plus):
    head, twin = taught(copied(plus), noise(1), 0, 1), copied(plus, seed=9)
    twin.load_state_dict(head.state_dict())
    twin.rng.set_state(head.rng.get_state())
    for one in (head, twin):
        one.begin(counts(2, 3), NONE)
    assert torch.equal(head.weight, twin.weight) and torch.equal(head.competing(NONE), twin.competing(NONE))
    for one in (head, twin):
        taught(one, noise(2), 2, 3)
    assert all(torch.equal(tensor, twin.state_dict()[name]) for name, tensor in head.state_dict().items())
