import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from negreplay.nets.heads import ConsolidatedHead, Head, PlainHead, block_replayed, consolidate
from negreplay.optimize import sgd
from negreplay.recipe import LearnerRecipe, Mean, Mode, Phase

# Three classes that Algorithm 1 tells apart, and a fourth in neither the experience nor the memory.
#                    current and new, current and seen before, only replayed, neither
PSI = torch.tensor([[3.0, 1.0], [4.0, 0.0], [1.0, 9.0], [9.0, 7.0]])
KEPT = torch.tensor([[0.0, 0.0], [0.5, -0.5], [2.0, -2.0], [-3.0, 3.0]])
PAST = torch.tensor([0, 40, 90, 7])
COUNTS = torch.tensor([5, 10, 0, 0])
REPLAYED = torch.tensor([0, 0, 10, 0])

MODES = pytest.mark.parametrize("mode", list(Mode))
MEANS = pytest.mark.parametrize("mean", list(Mean))


@pytest.mark.parametrize(
    ("mode", "mean", "expected"),
    [
        # Per class: the means are 2, 2 and 5, so the centred rows are (1, -1), (2, -2) and (-4, 4).
        # Equation 7: wpast is sqrt(40 / 10) = 2 for the second class and sqrt(90 / 10) = 3 for the third.
        # Second: (2 (0.5, -0.5) + (2, -2)) / 3 = (1, -1). Third: (3 (2, -2) + (-4, 4)) / 4 = (0.5, -0.5).
        (Mode.POSITIVE, Mean.PER_CLASS, [[1.0, -1.0], [1.0, -1.0], [0.5, -0.5], [-3.0, 3.0]]),
        (Mode.NEGATIVE, Mean.PER_CLASS, [[1.0, -1.0], [1.0, -1.0], [2.0, -2.0], [-3.0, 3.0]]),
        # Global: (3 + 1 + 4 + 0 + 1 + 9) / 6 = 3, so the rows become (0, -2), (1, -3) and (-2, 6).
        # Second: (2 (0.5, -0.5) + (1, -3)) / 3 = (2/3, -4/3). Third: (3 (2, -2) + (-2, 6)) / 4 = (1, 0).
        (Mode.POSITIVE, Mean.GLOBAL, [[0.0, -2.0], [2 / 3, -4 / 3], [1.0, 0.0], [-3.0, 3.0]]),
        (Mode.NEGATIVE, Mean.GLOBAL, [[0.0, -2.0], [2 / 3, -4 / 3], [2.0, -2.0], [-3.0, 3.0]]),
    ],
)
def test_algorithm_1_by_hand(mode, mean, expected):
    rows = consolidate(PSI, KEPT, PAST, COUNTS, REPLAYED, mode, mean=mean)
    torch.testing.assert_close(rows, torch.tensor(expected))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # The class is both current (4 patterns) and replayed (5 patterns), and 36 of it were seen before.
        # Positive: wpast = sqrt(36 / 9) = 2, and (2 (0, 0) + (6, -6)) / 3 = (2, -2).
        (Mode.POSITIVE, [[2.0, -2.0]]),
        # Negative: only the data counts, wpast = sqrt(36 / 4) = 3, and (3 (0, 0) + (6, -6)) / 4 = (1.5, -1.5).
        (Mode.NEGATIVE, [[1.5, -1.5]]),
    ],
)
def test_replayed_patterns_of_a_current_class_count_in_positive_mode_only(mode, expected):
    psi, kept = torch.tensor([[7.0, -5.0]]), torch.zeros(1, 2)
    rows = consolidate(psi, kept, torch.tensor([36]), torch.tensor([4]), torch.tensor([5]), mode)
    torch.testing.assert_close(rows, torch.tensor(expected))


@pytest.mark.parametrize(("past", "current", "share"), [(0, 7, 0.0), (9, 9, 1 / 2), (100, 1, 10 / 11), (1, 4, 1 / 3)])
def test_equation_7_weighs_the_past(past, current, share):
    # wpast / (wpast + 1) of the kept row survives: with wpast = 0, 1, 10 and 1/2 that is 0, 1/2, 10/11 and 1/3.
    kept = torch.tensor([[1.0, -1.0]])
    counts, none = torch.tensor([current]), torch.tensor([0])
    rows = consolidate(torch.zeros(1, 2), kept, torch.tensor([past]), counts, none, Mode.NEGATIVE)
    torch.testing.assert_close(rows, kept * share)


@MODES
@MEANS
def test_no_argument_is_changed(mode, mean):
    arguments = [t.clone() for t in (PSI, KEPT, PAST, COUNTS, REPLAYED)]
    psi, kept, past, counts, replayed = arguments
    rows = consolidate(psi, kept, past, counts, replayed, mode, mean=mean)
    rows.fill_(100.0)
    for argument, original in zip(arguments, (PSI, KEPT, PAST, COUNTS, REPLAYED), strict=True):
        assert torch.equal(argument, original)


@st.composite
def experiences(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """psi, kept, past, counts and replayed of 1 to 6 classes; a class with a past has a kept row."""
    classes, features = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    numbers = st.lists(st.integers(0, 3000), min_size=classes, max_size=classes)
    past, counts, replayed = (torch.tensor(draw(numbers)) for _ in range(3))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    psi, kept = torch.randn(2, classes, features, generator=rng, dtype=torch.float64)
    return psi, kept * (past > 0).unsqueeze(1), past, counts, replayed


@settings(deadline=None, max_examples=100)
@given(experiences(), st.sampled_from(Mean))
def test_negative_replay_leaves_every_class_without_data_as_it_was(experience, mean: Mean):
    psi, kept, past, counts, replayed = experience
    rows = consolidate(psi, kept, past, counts, replayed, Mode.NEGATIVE, mean=mean)
    assert torch.equal(rows[counts == 0], kept[counts == 0])


@settings(deadline=None, max_examples=100)
@given(experiences(), st.sampled_from(Mean))
def test_positive_replay_leaves_every_absent_class_as_it_was(experience, mean: Mean):
    psi, kept, past, counts, replayed = experience
    rows = consolidate(psi, kept, past, counts, replayed, Mode.POSITIVE, mean=mean)
    absent = counts + replayed == 0
    assert torch.equal(rows[absent], kept[absent])


@settings(deadline=None, max_examples=100)
@given(experiences(), st.sampled_from(Mode))
def test_consolidated_new_classes_have_zero_mean(experience, mode: Mode):
    psi, kept, past, counts, replayed = experience
    rows = consolidate(psi, kept, past, counts, replayed, mode)
    new = (past == 0) & (counts > 0)
    assert (rows[new].mean(dim=1).abs() < 1e-12).all()


@settings(deadline=None, max_examples=100)
@given(experiences(), st.sampled_from(Mode))
def test_consolidated_rows_lie_between_the_kept_and_the_centred_ones(experience, mode: Mode):
    psi, kept, past, counts, replayed = experience
    rows = consolidate(psi, kept, past, counts, replayed, mode)
    centred = psi - psi.mean(dim=1, keepdim=True)
    low, high = torch.minimum(kept, centred), torch.maximum(kept, centred)
    assert ((rows >= low - 1e-12) & (rows <= high + 1e-12)).all()


def learn(head: Head, counts: Tensor, replayed: Tensor, steps: int = 5, seed: int = 0) -> list[Tensor]:
    """An experience of a few real steps, with patterns in the given numbers; the gradients of the last step."""
    rng = torch.Generator().manual_seed(seed)
    head.reset(counts, replayed)
    labels = torch.cat([torch.arange(len(n)).repeat_interleave(n) for n in (counts, replayed)])
    origin = torch.arange(len(labels)) >= int(counts.sum())
    features = next(iter(head.parameters())).shape[1]
    optimizer = sgd(head, head, Phase(1, 0.0, 0.5), LearnerRecipe(), 0)
    for _ in range(steps):
        x = torch.rand(len(labels), features, generator=rng)
        optimizer.zero_grad()
        head.loss(head(x), labels, origin).backward()
        optimizer.step()
    gradients = [parameter.grad.clone() for parameter in head.parameters() if parameter.grad is not None]
    head.consolidate(counts, replayed)
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
    head.reset(torch.tensor([0, 3, 0, 2]), torch.tensor([0, 0, 1, 0]))
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
    head.reset(counts, torch.tensor([1, 1, 1, 0, 0]))
    head.loss(head(x), labels, replayed).backward()
    allowed = counts > 0 if mode is Mode.NEGATIVE else torch.ones(5, dtype=torch.bool)
    weight, bias, features = masked_by_hand(head, x, labels, replayed, allowed)
    torch.testing.assert_close(head.linear.weight.grad, weight)
    torch.testing.assert_close(head.linear.bias.grad, bias)
    torch.testing.assert_close(x.grad, features)


def test_a_replayed_pattern_reaches_the_rows_of_current_classes_only():
    head, (x, labels, replayed, counts) = plain(Mode.NEGATIVE), a_minibatch()
    head.reset(counts, torch.tensor([1, 1, 1, 0, 0]))
    head.loss(head(x[replayed]), labels[replayed], replayed[replayed]).backward()
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
        head.reset(counts, torch.tensor([1, 1, 1, 0, 0]))
        head.loss(head(x[real]), labels[real], replayed[real]).backward()
        assert head.linear.weight.grad is not None
        gradients.append(head.linear.weight.grad)
    assert torch.equal(*gradients)
    assert gradients[0].any(dim=1).all()


def test_the_mode_changes_gradients_but_not_the_loss():
    losses = []
    for mode in Mode:
        head, (x, labels, replayed, counts) = plain(mode), a_minibatch()
        head.reset(counts, torch.tensor([1, 1, 1, 0, 0]))
        losses.append(head.loss(head(x), labels, replayed).item())
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
    head.reset(counts, torch.tensor([1, 1, 1, 0, 0]))
    optimizer = sgd(head, head, Phase(1, 0.0, 0.5), LearnerRecipe(weight_decay=0.1), 0)
    head.loss(head(x[replayed]), labels[replayed], replayed[replayed]).backward()
    optimizer.step()
    past = torch.tensor([0, 1, 4])
    # One step of a learning rate of 0.5 with a decay of 0.1 leaves 1 - 0.5 * 0.1 of a row without a gradient.
    torch.testing.assert_close(head.linear.weight.detach()[past], before[past] * 0.95)


def test_weight_decay_leaves_the_kept_rows_of_negative_replay_alone():
    head = taught(Mode.NEGATIVE)
    before = head.kept.clone()
    counts, replayed = torch.tensor([0, 0, 6, 0, 0]), torch.tensor([3, 2, 0, 0, 0])
    head.reset(counts, replayed)
    optimizer = sgd(head, head, Phase(1, 0.0, 0.5), LearnerRecipe(weight_decay=0.1), 0)
    head.loss(head(torch.rand(6, 3)), torch.full((6,), 2), torch.zeros(6, dtype=torch.bool)).backward()
    optimizer.step()
    assert not torch.isclose(head.weight[:2], before[:2]).any()
    head.consolidate(counts, replayed)
    assert torch.equal(head.weight[:2], before[:2])


@MODES
def test_the_plain_head_keeps_its_rows_between_experiences(mode):
    head = plain(mode)
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    counts, replayed = torch.tensor([0, 3, 0, 0, 2]), torch.tensor([4, 0, 0, 0, 0])
    head.reset(counts, replayed)
    head.consolidate(counts, replayed)
    assert torch.equal(head.linear.weight, before["linear.weight"])
    assert torch.equal(head.linear.bias, before["linear.bias"])
    assert head.current.tolist() == head.seen.tolist() == [False, True, False, False, True]
    head.reset(torch.tensor([1, 0, 0, 0, 0]), replayed)
    assert head.current.tolist() == [True, False, False, False, False]


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
