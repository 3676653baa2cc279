"""Algorithm 1: the rows that `consolidate` keeps, by hand and for any experience."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modes import MEANS, MODES
from torch import Tensor

from negreplay.nets.heads import consolidate
from negreplay.recipe import Mean, Mode

# Three classes that Algorithm 1 tells apart, and a fourth in neither the experience nor the memory.
#                    current and new, current and seen before, only replayed, neither
PSI = torch.tensor([[3.0, 1.0], [4.0, 0.0], [1.0, 9.0], [9.0, 7.0]])
KEPT = torch.tensor([[0.0, 0.0], [0.5, -0.5], [2.0, -2.0], [-3.0, 3.0]])
PAST = torch.tensor([0, 40, 90, 7])
COUNTS = torch.tensor([5, 10, 0, 0])
REPLAYED = torch.tensor([0, 0, 10, 0])


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
