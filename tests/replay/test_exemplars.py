"""Exemplars: which patterns of which classes are kept, and in which order."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import absorb, recalled, seeded
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.data.data import Tensors
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.patterns import nothing
from negreplay.recipe import Choice, Mode
from negreplay.replay import exemplars
from negreplay.replay.exemplars import Exemplars, herding
from negreplay.streams.stream import Stream

CHOICES = pytest.mark.parametrize("choice", [Choice.RANDOM, Choice.HERDING])
CLASSES = 4


def numbered(*labels: list[int]) -> Stream:
    """Experiences of these labels; the i-th pattern of all is (its class, cos i, sin i), so each looks elsewhere."""
    y = torch.tensor([c for some in labels for c in some])
    i = torch.arange(len(y)).float()
    data = Tensors(torch.stack([y.float(), i.cos(), i.sin()], dim=1), y, tuple("abcd"), "test", encoded=True)
    return Stream(data, data, torch.arange(len(y)).split([len(some) for some in labels]))


def rows(source: Exemplars, stream: Stream) -> dict[int, list[int]]:
    """Which patterns of each class are kept, in their order."""
    memory, everything = recalled(source), stream.train.read(torch.arange(len(stream.train.labels)))
    found = (memory.x.unsqueeze(1) == everything).all(dim=2).nonzero()[:, 1]
    assert torch.equal(stream.train.labels[found], memory.y), "labels stay with their patterns"
    return {c: found[memory.y == c].tolist() for c in memory.y.unique().tolist()}


def looking(weight: Tensor | None = None) -> Classifier:
    """A classifier whose features are the patterns, or what these weights make of them."""
    back = nn.Flatten() if weight is None else nn.Linear(*weight.shape[::-1], bias=False)
    if isinstance(back, nn.Linear) and weight is not None:
        back.weight.data.copy_(weight)
    return Classifier(nn.Identity(), back, PlainHead(3, CLASSES, Mode.POSITIVE), blocked=True)


def kept(choice: Choice, size: int, per_class: int | None, stream: Stream, seed: int = 0) -> list[dict[int, list[int]]]:
    """The rows kept after each experience."""
    source = Exemplars(torch.zeros(3), CLASSES, size, per_class, choice, None, seeded(seed))
    found, classifier = [], looking()
    for experience in stream:
        assert absorb(source, classifier, experience) == []
        found.append(rows(source, stream))
    return found


def sizes(memories: list[dict[int, list[int]]]) -> list[dict[int, int]]:
    assert all(len(set(some)) == len(some) for memory in memories for some in memory.values()), "none is kept twice"
    return [{c: len(some) for c, some in memory.items()} for memory in memories]


def test_herding_by_hand():
    # At length 1 these are (1, 0), (0, 1) and (0.6, 0.8), whose mean is (0.53, 0.6). Their squared distances to it are
    # 0.58, 0.44 and 0.04. Then (0.8, 0.4), with the first one, has 0.11 and (0.3, 0.9) has 0.14.
    assert herding(torch.tensor([[9.0, 0.0], [0.0, 0.1], [3.0, 4.0]]), 3).tolist() == [2, 0, 1]


@settings(deadline=None, max_examples=50)
@given(count=st.integers(0, 9), patterns=st.integers(1, 8), size=st.integers(1, 4), seed=st.integers(0, 1000))
def test_herding_takes_the_best_one_each_time(count: int, patterns: int, size: int, seed: int):
    features = torch.randn(patterns, size, generator=seeded(seed))
    chosen = herding(features, count).tolist()
    assert len(chosen) == len(set(chosen)) == min(count, patterns)
    units = F.normalize(features.double(), dim=1)
    for k in range(len(chosen)):
        # Greedy, as Algorithm 4 of iCaRL is, but with no sum that is kept up.
        distances = {
            i: float((units.mean(dim=0) - units[[*chosen[:k], i]].mean(dim=0)).norm())
            for i in set(range(patterns)) - set(chosen[:k])
        }
        assert distances[chosen[k]] <= min(distances.values()) + 1e-5


def test_herding_looks_at_features_of_the_classifier(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exemplars, "AT_ONCE", 4)  # so that they are computed in several passes, the last one smaller
    stream, weight = numbered([0] * 11), torch.randn(3, 3, generator=seeded(1))
    x = stream.train.read(torch.arange(11))
    source = Exemplars(x[0], CLASSES, 6, None, Choice.HERDING, None, seeded())
    absorb(source, looking(weight), stream[0])
    expected = herding(x @ weight.T, 6).tolist()
    assert rows(source, stream)[0] == expected != herding(x, 6).tolist()


def test_where_a_class_comes_again_herding_chooses_from_its_exemplars_and_the_new_ones():
    stream = numbered([0] * 6, [0] * 3)
    first, second = kept(Choice.HERDING, 4, None, stream)
    candidates = torch.tensor([*first[0], 6, 7, 8])
    assert second[0] == candidates[herding(stream.train.read(candidates), 4)].tolist()


@CHOICES
def test_so_many_of_each_class(choice):
    # Class 1 has but two patterns at first, and 3 never comes.
    memories = kept(choice, 12, 3, numbered([0] * 5 + [1] * 2, [2] * 4, [1, 1, 1, 0]))
    assert sizes(memories) == [{0: 3, 1: 2}, {0: 3, 1: 2, 2: 3}, {0: 3, 1: 3, 2: 3}]
    assert memories[1][0] == memories[0][0] and memories[1][1] == memories[0][1], "what is not current stays"


@CHOICES
def test_shares_of_a_memory_shrink_and_the_first_ones_stay(choice):
    memories = kept(choice, 10, None, numbered([0] * 12, [1, 2] * 6, [3] * 2))
    # 10, then 10 // 3 and 10 // 4; of class 3 there are no more.
    assert sizes(memories) == [{0: 10}, {0: 3, 1: 3, 2: 3}, {0: 2, 1: 2, 2: 2, 3: 2}]
    first, second, third = memories
    assert second[0] == first[0][:3]
    assert [third[c] for c in range(3)] == [second[c][:2] for c in range(3)]


@CHOICES
def test_places_that_a_small_class_leaves_free_stay_free(choice):
    memories = kept(choice, 10, None, numbered([0], [1] * 12, [0] * 12))
    assert sizes(memories) == [{0: 1}, {0: 1, 1: 5}, {0: 5, 1: 5}]


def test_all_patterns_are_kept_in_the_order_of_their_arrival():
    memories = kept(Choice.ALL, 9, None, numbered([1, 0, 1], [2], [0, 1, 0, 2, 2]))
    assert memories == [
        {0: [1], 1: [0, 2]},
        {0: [1], 1: [0, 2], 2: [3]},
        {0: [1, 4, 6], 1: [0, 2, 5], 2: [3, 7, 8]},
    ]


def test_any_pattern_of_a_class_that_ever_came_is_as_likely_to_be_kept_as_any_other():
    # Of class 0 come 10 patterns and then 6, of which 6 are kept; 3 of them, when class 1 has come; then 3 more come.
    stream = numbered([0] * 10, [0] * 6, [1] * 4, [0] * 3)
    classifier, experiences, runs = looking(), list(stream), []
    for seed in range(300):
        source = Exemplars(torch.zeros(3), CLASSES, 6, None, Choice.RANDOM, None, seeded(seed))
        for experience in experiences:
            list(source.absorb(classifier, experience, nothing()))
        runs.append(rows(source, stream))
    assert all(sizes([run]) == [{0: 3, 1: 3}] for run in runs)
    found, first = Counter(row for run in runs for row in run[0]), Counter(run[0][0] for run in runs)
    # Of 19 patterns 3 are kept: in 300 runs each 47.4 times, give or take 5 standard deviations of
    # sqrt(300 * 3/19 * 16/19) = 6.3. And each would stay the longest 15.8 times, give or take 3.9.
    mine = [*range(16), *range(20, 23)]
    assert all(abs(found[row] - 47.4) < 32 for row in mine)
    assert all(first[row] < 15.8 + 20 for row in mine)
    # How many of the first ten: with mean 30/19 = 1.579 and variance 3 * 10/19 * 9/19 * 16/18 = 0.665, the standard
    # errors being sqrt(0.665 / 300) = 0.047 and about 0.665 * sqrt(2 / 300) = 0.054.
    early = torch.tensor([sum(row < 10 for row in run[0]) for run in runs]).double()
    assert abs(early.mean() - 30 / 19) < 0.24 and abs(early.var() - 0.665) < 0.27


def test_what_is_drawn_depends_on_the_seed_and_what_is_herded_does_not():
    stream = numbered([0] * 12, [1, 0] * 6)
    for choice, different in ((Choice.RANDOM, 5), (Choice.HERDING, 1)):
        runs = [str(kept(choice, 6, None, stream, seed)) for seed in (0, 1, 2, 3, 4, 0)]
        assert len(set(runs)) == different and runs[0] == runs[-1]


@pytest.mark.parametrize("size", [3, 4])
def test_more_classes_than_places(size):
    """A share is rounded down: with three places for four classes nothing is left of any."""
    *_, last = kept(Choice.HERDING, size, None, numbered([0, 1, 2] * 3, [3] * 3))
    assert sizes([last]) == [{} if size == 3 else {0: 1, 1: 1, 2: 1, 3: 1}]
