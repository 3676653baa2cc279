"""The plain head and its masked loss, stand-alone negative replay (Appendix C): gradients by hand."""

import torch
from modes import MODES
from torch import Tensor
from torch.nn import functional as F

from negreplay.nets.heads import PlainHead, block_replayed
from negreplay.optimize import make_optimizer
from negreplay.recipe import Mode, OptimizerRecipe


def masked_by_hand(
    head: PlainHead, x: Tensor, labels: Tensor, replayed: Tensor, current: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of weight, bias and features: (softmax - one-hot) / n; a replayed pattern sends it to few classes."""
    errors = (F.softmax(head(x), dim=1) - F.one_hot(labels, len(current))).detach() / len(labels)
    errors[replayed] *= current
    return errors.T @ x.detach(), errors.sum(dim=0), errors @ head.linear.weight.detach()


def a_minibatch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features and labels of three real and three replayed patterns of five classes; class 2 and 3 are current."""
    x = torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
    replayed = torch.tensor([False, False, False, True, True, True])
    return x, torch.tensor([2, 3, 2, 0, 1, 2]), replayed, torch.tensor([0, 0, 2, 1, 0])


def plain(mode: Mode) -> PlainHead:
    torch.manual_seed(0)
    return PlainHead(3, 5, mode)


@MODES
def test_gradients_of_the_plain_head_by_hand(mode):
    head, (x, labels, replayed, counts) = plain(mode), a_minibatch()
    x.requires_grad_()
    head.begin(counts, torch.tensor([1, 1, 1, 0, 0]))
    head.losses(head(x), labels, replayed).mean().backward()
    allowed = counts > 0 if mode is Mode.NEGATIVE else torch.ones(5, dtype=torch.bool)
    weight, bias, features = masked_by_hand(head, x, labels, replayed, allowed)
    torch.testing.assert_close(head.linear.weight.grad, weight)
    torch.testing.assert_close(head.linear.bias.grad, bias)
    torch.testing.assert_close(x.grad, features)


def test_a_replayed_pattern_reaches_the_rows_of_current_classes_only():
    head, (x, labels, replayed, counts) = plain(Mode.NEGATIVE), a_minibatch()
    head.begin(counts, torch.tensor([1, 1, 1, 0, 0]))
    head.losses(head(x[replayed]), labels[replayed], replayed[replayed]).mean().backward()
    for gradient in (head.linear.weight.grad, head.linear.bias.grad):
        assert gradient is not None
        touched = gradient.reshape(5, -1).any(dim=1)
        # Class 2 is current and replayed, and so may learn from replay; 3 is current; 0, 1 and 4 are neither.
        assert touched.tolist() == [False, False, True, True, False]


def test_real_patterns_teach_all_rows_in_both_modes_alike():
    gradients = []
    for mode in Mode:
        head, (x, labels, replayed, counts) = plain(mode), a_minibatch()
        real = ~replayed
        head.begin(counts, torch.tensor([1, 1, 1, 0, 0]))
        head.losses(head(x[real]), labels[real], replayed[real]).mean().backward()
        assert head.linear.weight.grad is not None
        gradients.append(head.linear.weight.grad)
    assert torch.equal(*gradients)
    assert gradients[0].any(dim=1).all()


def test_the_mode_changes_gradients_but_not_the_loss():
    losses = []
    for mode in Mode:
        head, (x, labels, replayed, counts) = plain(mode), a_minibatch()
        head.begin(counts, torch.tensor([1, 1, 1, 0, 0]))
        losses.append(head.losses(head(x), labels, replayed).mean().item())
    assert losses[0] == losses[1]


def test_blocked_logits_are_the_same_numbers():
    logits = torch.randn(3, 4, requires_grad=True)
    replayed, current = torch.tensor([False, True, True]), torch.tensor([True, False, False, True])
    blocked = block_replayed(logits, replayed, current)
    assert torch.equal(blocked, logits)
    blocked.sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]


def test_weight_decay_shrinks_the_rows_that_replayed_patterns_cannot_reach():
    # Appendix C blocks gradients. Weight decay is none, and goes on shrinking rows of past classes in the plain head.
    head, (x, labels, replayed, counts) = plain(Mode.NEGATIVE), a_minibatch()
    before = head.linear.weight.detach().clone()
    head.begin(counts, torch.tensor([1, 1, 1, 0, 0]))
    optimizer = make_optimizer(OptimizerRecipe(weight_decay=0.1), (head.parameters(), 0.5))
    head.losses(head(x[replayed]), labels[replayed], replayed[replayed]).mean().backward()
    optimizer.step()
    past = torch.tensor([0, 1, 4])
    # One step of a learning rate of 0.5 with a decay of 0.1 leaves 1 - 0.5 * 0.1 of a row without a gradient.
    torch.testing.assert_close(head.linear.weight.detach()[past], before[past] * 0.95)


@MODES
def test_the_plain_head_keeps_its_rows_between_experiences(mode):
    head = plain(mode)
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    counts, replayed = torch.tensor([0, 3, 0, 0, 2]), torch.tensor([4, 0, 0, 0, 0])
    head.begin(counts, replayed)
    head.end(counts, replayed)
    assert torch.equal(head.linear.weight, before["linear.weight"])
    assert torch.equal(head.linear.bias, before["linear.bias"])
    assert head.current.tolist() == head.seen.tolist() == [False, True, False, False, True]
    head.begin(torch.tensor([1, 0, 0, 0, 0]), replayed)
    assert head.current.tolist() == [True, False, False, False, False]
