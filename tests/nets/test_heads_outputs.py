"""Which outputs of the plain head take part in the softmax of a pattern."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from negreplay.nets.heads import ConsolidatedHead, CopiedHead, Head, PlainHead
from negreplay.recipe import Mode, Outputs

NONE = torch.zeros(6, dtype=torch.long)


def counts(*classes: int) -> Tensor:
    return torch.bincount(torch.tensor(classes), minlength=6)


def begun(outputs: Outputs, mode: Mode = Mode.POSITIVE) -> PlainHead:
    """A head in its third experience: 4 and 1 came first, then 0, and now 3 and, once more, 4; 2 and 5 never did."""
    torch.manual_seed(0)
    head = PlainHead(3, 6, mode, outputs)
    for classes in ((4, 1), (0,)):
        head.begin(counts(*classes), NONE)
        head.end(counts(*classes), NONE)
    head.begin(counts(3, 4), NONE)
    return head


LABELS = torch.tensor([3, 4, 0, 3])
"""Of the third experience, and a replayed one of class 0."""
COMPETING = {
    Outputs.ALL: [{0, 1, 2, 3, 4, 5}] * 4,
    Outputs.SEEN: [{0, 1, 3, 4}] * 4,
    Outputs.CURRENT: [{3, 4}] * 4,
    # Class 4 came with 1, and 0 alone.
    Outputs.OWN: [{3}, {1, 4}, {0}, {3}],
}


def chosen(mask: Tensor) -> list[set[int]]:
    return [set(row.nonzero().flatten().tolist()) for row in mask]


@pytest.mark.parametrize("outputs", Outputs)
def test_which_outputs_compete(outputs):
    assert chosen(begun(outputs).competing(LABELS)) == COMPETING[outputs]


@pytest.mark.parametrize("outputs", Outputs)
def test_losses_are_plain_cross_entropy_over_the_competing_outputs(outputs):
    head = begun(outputs)
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    # With the labels trick a pattern of another class has no output of its own, so none is given.
    some = [i for i, c in enumerate(LABELS.tolist()) if c in COMPETING[outputs][i]]
    losses = head.losses(logits[some], LABELS[some], torch.zeros(len(some), dtype=torch.bool))
    for i, loss in zip(some, losses, strict=True):
        among = sorted(COMPETING[outputs][i])
        expected = F.cross_entropy(logits[i, among], torch.tensor(among.index(int(LABELS[i]))))
        torch.testing.assert_close(loss, expected)
    losses.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    # In a softmax of one there is nothing to learn.
    moved = [COMPETING[outputs][i] if len(COMPETING[outputs][i]) > 1 else set() for i in some]
    assert chosen(logits.grad[some] != 0) == moved


def test_a_pattern_whose_class_alone_competes_has_no_loss():
    losses = begun(Outputs.OWN).losses(torch.randn(4, 6), LABELS, torch.zeros(4, dtype=torch.bool))
    assert losses[[0, 2, 3]].tolist() == [0.0] * 3 and losses[1] > 0


@pytest.mark.parametrize("outputs", [Outputs.ALL, Outputs.SEEN])
def test_negative_replay_reaches_current_and_competing_rows_alone(outputs):
    head, replayed = begun(outputs, Mode.NEGATIVE), torch.tensor([False, False, True, False])
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    head.losses(logits, LABELS, replayed).sum().backward()
    assert logits.grad is not None
    expected = [classes & {3, 4} if old else classes for classes, old in zip(COMPETING[outputs], replayed, strict=True)]
    assert chosen(logits.grad != 0) == expected


def test_a_class_arrives_once():
    head = begun(Outputs.ALL)
    assert head.arrived.tolist() == [1, 0, -1, 2, 0, -1]
    head.begin(counts(0, 1, 5), NONE)
    assert head.arrived.tolist() == [1, 0, -1, 2, 0, 3]


def test_classes_that_came_apart_stay_apart_where_an_experience_between_brought_none():
    head = begun(Outputs.OWN)
    for classes in ((0,), (0, 2), (5,)):
        head.begin(counts(*classes), NONE)
    assert chosen(head.competing(torch.tensor([2, 5]))) == [{2}, {5}]


@pytest.mark.parametrize(
    ("among", "groups"),
    [({0, 1, 3, 4}, [{1, 4}, {0}, {3}]), ({4, 3}, [{4}, {3}]), ({0}, [{0}]), (set(), [])],
)
def test_classes_by_arrival(among, groups):
    mask = torch.tensor([c in among for c in range(6)])
    found = begun(Outputs.OWN).by_arrival(mask)
    assert [set(group.nonzero().flatten().tolist()) for group in found] == groups


def test_what_has_arrived_is_part_of_the_state():
    torch.manual_seed(1)
    twin = PlainHead(3, 6, Mode.POSITIVE, Outputs.OWN)
    twin.load_state_dict(begun(Outputs.OWN).state_dict())
    assert chosen(twin.competing(LABELS)) == COMPETING[Outputs.OWN]


def heads() -> list[Head]:
    return [
        ConsolidatedHead(3, 6, Mode.NEGATIVE),
        CopiedHead(3, 6, True, torch.Generator()),
        *(begun(outputs, mode) for outputs in Outputs for mode in Mode),
    ]


@pytest.mark.parametrize("head", heads(), ids=lambda head: type(head).__name__)
def test_there_is_a_loss_for_each_pattern_that_depends_on_no_other(head):
    head.begin(counts(3, 4), NONE)
    labels, replayed = torch.tensor([3, 4, 3]), torch.tensor([False, False, True])
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    losses = head.losses(logits, labels, replayed)
    assert losses.shape == (3,)
    alone = [head.losses(logits[i : i + 1], labels[i : i + 1], replayed[i : i + 1])[0] for i in range(3)]
    torch.testing.assert_close(losses, torch.stack(alone))
