"""The heads through experiences of real steps, above all the consolidated one."""

import pytest
import torch
from modes import MEANS, MODES
from torch import Tensor

from negreplay.nets.heads import ConsolidatedHead, Head, PlainHead
from negreplay.optimize import make_optimizer
from negreplay.recipe import Mean, Mode, OptimizerRecipe


def learn(head: Head, counts: Tensor, replayed: Tensor, steps: int = 5, seed: int = 0) -> list[Tensor]:
    """An experience of a few real steps, with patterns in the given numbers; the gradients of the last step."""
    rng = torch.Generator().manual_seed(seed)
    head.begin(counts, replayed)
    labels = torch.cat([torch.arange(len(n)).repeat_interleave(n) for n in (counts, replayed)])
    origin = torch.arange(len(labels)) >= int(counts.sum())
    features = next(iter(head.parameters())).shape[1]
    optimizer = make_optimizer(OptimizerRecipe(), (head.parameters(), 0.5))
    for _ in range(steps):
        x = torch.rand(len(labels), features, generator=rng)
        optimizer.zero_grad()
        head.losses(head(x), labels, origin).mean().backward()
        optimizer.step()
    gradients = [parameter.grad.clone() for parameter in head.parameters() if parameter.grad is not None]
    head.end(counts, replayed)
    return gradients


def taught(mode: Mode, mean: Mean = Mean.PER_CLASS) -> ConsolidatedHead:
    """A head of five classes that has seen 8 patterns of class 0 and 4 of class 1."""
    head = ConsolidatedHead(3, 5, mode, mean)
    learn(head, torch.tensor([8, 4, 0, 0, 0]), torch.zeros(5, dtype=torch.long))
    return head


def test_a_fresh_head_is_zero_and_has_seen_nothing():
    head = ConsolidatedHead(3, 5, Mode.NEGATIVE)
    assert not head.weight.any() and not head.kept.any() and not head.past.any() and not head.seen.any()
    assert head(torch.rand(2, 3)).tolist() == [[0.0] * 5] * 2


@MODES
def test_reset_loads_current_and_replayed_rows_and_zeroes_the_others(mode):
    head = ConsolidatedHead(2, 4, mode)
    head.kept.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [0.0, 0.0]]))
    with torch.no_grad():
        head.weight.fill_(9.0)
    head.begin(torch.tensor([0, 3, 0, 2]), torch.tensor([0, 0, 1, 0]))
    # Class 0 is neither current nor replayed; class 3 is current and new, so nothing is kept of it.
    assert head.weight.tolist() == [[0.0, 0.0], [3.0, 4.0], [5.0, 6.0], [0.0, 0.0]]
    assert head.kept[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("mode", "after_two", "after_three"),
    [
        # 8 + 4 patterns first; then 6 of class 2 beside 3 and 2 replayed; then 5 of class 0 beside 4 and 1 replayed.
        (Mode.POSITIVE, [11, 6, 6, 0, 0], [20, 7, 6, 0, 0]),
        (Mode.NEGATIVE, [8, 4, 6, 0, 0], [13, 4, 6, 0, 0]),
    ],
)
def test_past_counts_what_may_teach(mode, after_two, after_three):
    head = taught(mode)
    assert head.past.tolist() == [8, 4, 0, 0, 0]
    learn(head, torch.tensor([0, 0, 6, 0, 0]), torch.tensor([3, 2, 0, 0, 0]))
    assert head.past.tolist() == after_two
    learn(head, torch.tensor([5, 0, 0, 0, 0]), torch.tensor([4, 1, 0, 0, 0]))
    assert head.past.tolist() == after_three
    assert head.seen.tolist() == [True, True, True, False, False]


@MEANS
def test_negative_replay_keeps_old_rows_to_the_bit_through_real_steps(mean):
    head = taught(Mode.NEGATIVE, mean)
    before = head.kept.clone()
    learn(head, torch.tensor([0, 0, 6, 2, 0]), torch.tensor([3, 2, 0, 0, 0]))
    assert torch.equal(head.kept[:2], before[:2]) and torch.equal(head.weight[:2], before[:2])
    assert before[:2].any() and head.kept[2].any() and head.kept[3].any() and not head.kept[4].any()


@MEANS
def test_positive_replay_changes_old_rows(mean):
    head = taught(Mode.POSITIVE, mean)
    before = head.kept.clone()
    learn(head, torch.tensor([0, 0, 6, 0, 0]), torch.tensor([3, 2, 0, 0, 0]))
    assert not torch.isclose(head.kept[:2], before[:2]).all(dim=1).any()


@MODES
def test_a_head_learns_the_same_in_both_modes_while_there_is_nothing_to_replay(mode):
    assert torch.equal(taught(mode).kept, taught(Mode.NEGATIVE).kept)


@MODES
def test_during_an_experience_the_consolidated_head_trains_replayed_rows_too(mode):
    head = taught(mode)
    counts, replayed = torch.tensor([0, 0, 6, 0, 0]), torch.tensor([3, 2, 0, 0, 0])
    (gradient,) = learn(head, counts, replayed)
    assert gradient.any(dim=1).all()


@MODES
def test_predictions_come_from_the_kept_rows(mode):
    head = taught(mode)
    x = torch.rand(4, 3)
    torch.testing.assert_close(head(x), x @ head.kept.T)


def test_weight_decay_leaves_the_kept_rows_of_negative_replay_alone():
    head = taught(Mode.NEGATIVE)
    before = head.kept.clone()
    counts, replayed = torch.tensor([0, 0, 6, 0, 0]), torch.tensor([3, 2, 0, 0, 0])
    head.begin(counts, replayed)
    optimizer = make_optimizer(OptimizerRecipe(weight_decay=0.1), (head.parameters(), 0.5))
    head.losses(head(torch.rand(6, 3)), torch.full((6,), 2), torch.zeros(6, dtype=torch.bool)).mean().backward()
    optimizer.step()
    assert not torch.isclose(head.weight[:2], before[:2]).any()
    head.end(counts, replayed)
    assert torch.equal(head.weight[:2], before[:2])


@pytest.mark.parametrize("make", [ConsolidatedHead, PlainHead])
@MODES
def test_a_head_goes_on_from_its_state(make, mode):
    torch.manual_seed(0)
    head = make(3, 5, mode)
    learn(head, torch.tensor([8, 4, 0, 0, 0]), torch.zeros(5, dtype=torch.long))
    twin: Head = make(3, 5, mode)
    twin.load_state_dict(head.state_dict())
    for one in (head, twin):
        learn(one, torch.tensor([0, 2, 6, 0, 0]), torch.tensor([3, 2, 0, 0, 0]), seed=1)
    for name, tensor in head.state_dict().items():
        assert torch.equal(twin.state_dict()[name], tensor), name
