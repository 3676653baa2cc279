"""Original data: which latents of which experiences are kept."""

import math
from collections import Counter
from itertools import chain, pairwise

import pytest
import torch
from sources import absorb, experiences, make, recalled, seeded

from negreplay.data.data import Tensors
from negreplay.nets.classifier import Classifier
from negreplay.patterns import Patterns, nothing
from negreplay.replay.original import Original
from negreplay.streams.stream import Stream


def numbered(sizes: list[int]) -> Stream:
    """Experiences of these sizes. Latent i is the pair (i, its class), and the class is the experience's number."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    x = torch.stack([torch.arange(len(labels)), labels], dim=1).float()
    data = Tensors(x, labels, tuple(str(k) for k in range(len(sizes))), "test", encoded=True)
    return Stream(data, data, torch.arange(len(labels)).split(sizes))


def kept_of(sizes: list[int], memory: int, seed: int, classifier: Classifier) -> list[Patterns]:
    """The memory after each experience."""
    source, memories = Original((2,), memory, seeded(seed)), []
    for experience in numbered(sizes):
        list(source.absorb(classifier, experience, nothing()))
        memories.append(Patterns(*(tensor.clone() for tensor in recalled(source))))
    return memories


def test_labels_stay_with_their_latents(classifier):
    labels = torch.arange(73) * 5 % 7
    data = Tensors(labels.float().unsqueeze(1), labels, tuple("abcdefg"), "test", encoded=True)
    source = Original((1,), 12, seeded())
    for experience in Stream(data, data, torch.arange(73).split([30, 7, 20, 1, 15])):
        absorb(source, classifier, experience)
        memory = recalled(source)
        assert memory.x.flatten().tolist() == memory.y.tolist()
        assert len(memory.y.unique()) > 1


def test_no_pattern_is_kept_twice(classifier):
    for memory in kept_of([30, 7, 20, 1, 15], 12, 0, classifier):
        assert len(memory.x[:, 0].unique()) == len(memory.y) == 12


def test_latents_of_images_are_those_of_the_classifier(classifier):
    stream = experiences(classifier, encoded=False)
    source = make("original", seeded(), memory=10)
    absorb(source, classifier, stream[0])
    with torch.no_grad():
        latents = classifier.eval().encode(stream.train.read(torch.arange(10)))
    # All ten patterns of the first experience fit, in some order.
    memory = recalled(source)
    rows = [int((latents - x).abs().flatten(1).amax(dim=1).argmin()) for x in memory.x]
    assert sorted(rows) == list(range(10))
    torch.testing.assert_close(memory.x, latents[rows])
    assert memory.y.tolist() == stream.train.labels[rows].tolist()


def test_a_memory_larger_than_the_data_keeps_all_of_it(classifier):
    # 50, 25 and 16 or 17 patterns could enter; each experience has 10.
    *_, last = kept_of([10, 10, 10], 50, 0, classifier)
    assert sorted(last.x[:, 0].tolist()) == list(range(30))


@pytest.mark.parametrize("seed", range(5))
def test_each_experience_takes_its_share_of_the_memory(seed, classifier):
    memories = kept_of([40] * 5, 12, seed, classifier)
    for i, memory in enumerate(memories, start=1):
        # 12 / i is 12, 6, 4, 3, and 2.4, which is rounded up or down.
        assert int((memory.y == i - 1).sum()) in (math.floor(12 / i), math.ceil(12 / i))
    for before, after in pairwise(memories):
        lost = set(before.x[:, 0].tolist()) - set(after.x[:, 0].tolist())
        assert len(lost) == int((after.y == after.y.max()).sum())


def test_shares_are_rounded_so_that_they_are_right_on_average(classifier):
    # After 5 experiences 12 / 5 = 2.4 patterns of the last one: in 200 runs 480, give or take 5 standard deviations of
    # sqrt(200 * 0.4 * 0.6) = 6.9.
    entered = sum(int((kept_of([40] * 5, 12, seed, classifier)[-1].y == 4).sum()) for seed in range(200))
    assert abs(entered - 480) < 35


def test_which_patterns_make_room_is_hypergeometric(classifier):
    # Of 40 places the second experience takes 20 and leaves 20 to the first. The third takes 40 / 3 = 13.33: 13, or 14
    # once in three times. How many of those 20 it hits has mean 20 / 3 = 6.667 and variance 13/4 * 27/39 = 2.25 for 13
    # draws, 14/4 * 26/39 = 2.333 for 14: 2.278 on average, to which the rounding adds 1/4 * 1/3 * 2/3: 2.333 in all.
    runs = [kept_of([50] * 3, 40, seed, classifier) for seed in range(400)]
    assert all(int((run[1].y == 0).sum()) == 20 for run in runs)
    hit = torch.tensor([20 - int((run[2].y == 0).sum()) for run in runs]).double()
    # Give or take 5 standard errors: sqrt(2.33 / 400) = 0.076 and about 2.33 sqrt(2 / 400) = 0.165.
    assert abs(hit.mean() - 20 / 3) < 0.38
    assert abs(hit.var() - 2.33) < 0.82


def test_no_experience_is_left_out_when_there_are_more_of_them_than_places(classifier):
    # 30 experiences share 6 places, so each has 0.2 on average: in 200 runs 40, give or take 5 standard deviations of
    # at most sqrt(200 * 0.2) = 6.3.
    found = Counter(chain.from_iterable(kept_of([3] * 30, 6, seed, classifier)[-1].y.tolist() for seed in range(200)))
    assert sum(found.values()) == 200 * 6
    assert all(abs(found[k] - 40) < 32 for k in range(30))
