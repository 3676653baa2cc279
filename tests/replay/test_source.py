"""The contract of every source."""

import pytest
import torch
from sources import (
    CLASSES,
    KINDS,
    LATENT,
    NAMES,
    REPLAYING,
    absorb,
    equal,
    experiences,
    make,
    recalled,
    seeded,
    with_images,
)
from states import same, state_of

from negreplay.patterns import Patterns, counts_of, nothing
from negreplay.streams.stream import Stream


@KINDS
def test_nothing_is_recalled_before_the_first_experience(kind):
    memory = recalled(make(kind, seeded()))
    assert len(memory.x) == len(memory.y) == 0
    assert counts_of(memory, CLASSES).tolist() == [0] * CLASSES


@with_images(NAMES[1:])
def test_recalled_are_latents_of_classes_seen(kind, encoded, classifier):
    source = make(kind, seeded(), memory=40)
    for k, experience in enumerate(stream := experiences(classifier, encoded, each=12)):
        absorb(source, classifier, experience)
        memory = recalled(source)
        assert memory.x.shape == (len(memory.y), *LATENT) and memory.x.dtype == torch.float32
        assert not memory.x.requires_grad and memory.x.isfinite().all()
        assert set(memory.y.tolist()) == set(stream.seen(k).tolist())


def test_nothing_stays_nothing_without_a_source(classifier):
    source = make("none", seeded())
    for experience in experiences(classifier):
        assert absorb(source, classifier, experience) == []
        assert equal(recalled(source), nothing())


@pytest.mark.parametrize(
    ("kind", "sizes"),
    # Of R = 9, the first experience (10 patterns) fills the memory of original data; 20 are not filled by its 10,
    # by 20 / 2 = 10 patterns of which the second has 5, by 20 / 3 = 6.67 of which the third has 5: full. Of exemplars
    # 9 are 2 * 4, 3 * 3 twice, and 4 * 2; 20 are 10 of each of two classes that have 5; 6 of each of three, of which
    # class 0 alone has so many when it has come again; and 4 * 5.
    [("original", {9: [9, 9, 9, 9], 20: [10, 15, 20, 20]}), ("exemplars", {9: [8, 9, 9, 8], 20: [10, 15, 16, 20]})]
    + [
        (kind, {9: [9, 9, 9, 9], 20: [20, 20, 20, 20]})
        for kind in ("generated", "random", "statistics", "separable", "diagonal")
    ],
)
def test_memory_has_its_size_once_it_can_be_filled(kind, sizes, classifier):
    for memory, expected in sizes.items():
        source, found = make(kind, seeded(), memory), []
        for experience in experiences(classifier):
            absorb(source, classifier, experience)
            found.append(len(recalled(source).y))
        assert found == expected


@with_images(NAMES)
def test_absorbing_leaves_the_classifier_as_it_was(kind, encoded, classifier):
    classifier.train()
    source, before = make(kind, seeded()), state_of(classifier)
    for experience in experiences(classifier, encoded):
        absorb(source, classifier.train(), experience)
        assert same(state_of(classifier), before)
        assert all(p.grad is None for p in classifier.parameters())


@KINDS
def test_recalling_changes_no_state(kind, classifier):
    source = make(kind, seeded())
    for experience in experiences(classifier):
        absorb(source, classifier, experience)
        before = state_of(source)
        recalled(source)
        assert same(state_of(source), before)


@with_images(
    tuple(name for name in NAMES[1:] if name not in ("separable", "diagonal"))
)  # which draw nothing themselves
def test_the_same_seed_recalls_the_same(kind, encoded, classifier):
    runs = []
    for seed in (1, 1, 2):
        source, memories = make(kind, seeded(seed), memory=7), []
        for experience in experiences(classifier, encoded):
            absorb(source, classifier, experience)
            memories.append(recalled(source))
            memories[-1] = Patterns(memories[-1].x.clone(), memories[-1].y.clone())
        runs.append(memories)
    one, again, other = runs
    assert all(equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(equal(a, b) for a, b in zip(one, other, strict=True))


@KINDS
def test_all_draws_come_from_the_given_generator(kind, classifier):
    source, before = make(kind, seeded()), torch.get_rng_state()
    for experience in experiences(classifier):
        absorb(source, classifier, experience)
        recalled(source)
    # `make` sets the global seed; nothing after it may move the global state.
    assert torch.equal(torch.get_rng_state(), before)


@KINDS
def test_a_source_goes_on_from_its_state(kind, classifier):
    stream = experiences(classifier)
    rng, other = seeded(1), seeded(2)
    source, twin = make(kind, rng), make(kind, other, weights=5)
    for experience in stream[:2]:
        absorb(source, classifier, experience)
    twin.load_state_dict(state_of(source))
    other.set_state(rng.get_state())
    assert equal(recalled(twin), recalled(source))
    for experience in stream[2:]:
        steps = [absorb(one, classifier, experience) for one in (source, twin)]
        assert steps[0] == steps[1]
        assert equal(recalled(twin), recalled(source))
    assert same(state_of(twin), state_of(source))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", 0),
        # 9 latents of 32 * 4 * 4 = 512 numbers, 9 labels of 8 bytes and two counters.
        ("original", 9 * 512 * 4 + 9 * 8 + 2 * 8),
        # The same, with one counter, and one for each of 6 classes.
        ("exemplars", 9 * 512 * 4 + 9 * 8 + 8 + 6 * 8),
        # Which of 6 classes were seen, and one number.
        ("random", 6 + 4),
        # Encoder: 512 to 8 to 8 to 2 * 3. Decoder: 3 + 6 to 8 to 8 to 512. Each with biases, each of the four hidden
        # layers with a batch norm of 4 * 8 numbers and a counter; 2 * 6 * 8 gates; and 6 classes.
        (
            "generated",
            4 * (513 * 8 + 9 * 8 + 9 * 6 + 10 * 8 + 9 * 8 + 9 * 512) + 4 * (4 * 8 * 4 + 8) + 4 * 2 * 6 * 8 + 6,
        ),
    ],
)
def test_bytes_kept_between_experiences(kind, expected, classifier):
    source = make(kind, seeded())
    for experience in experiences(classifier):
        absorb(source, classifier, experience)
        assert sum(tensor.nbytes for tensor in source.state_dict().values()) == expected


@REPLAYING
def test_an_experience_of_one_pattern(kind, classifier):
    data = experiences(classifier).train
    source = make(kind, seeded())
    for experience in Stream(data, data, [torch.tensor([row]) for row in (0, 12, 7)]):
        absorb(source, classifier, experience)
    assert set(recalled(source).y.tolist()) <= {0, 1, 3}


@pytest.mark.parametrize("kind", ["random", "generated"])
def test_labels_are_uniform_over_the_classes_seen_and_drawn_anew(kind, classifier):
    source = make(kind, seeded(), memory=3000)
    for experience in experiences(classifier):
        absorb(source, classifier, experience)
    one, other = recalled(source), recalled(source)
    assert not torch.equal(one.y, other.y) and not torch.equal(one.x, other.x)
    # 3000 / 4 = 750 of each of the classes 0, 1, 3 and 4, give or take 5 sqrt(3000 * 1/4 * 3/4) = 119.
    for c, count in enumerate(counts_of(one, CLASSES).tolist()):
        assert abs(count - (750 if c in (0, 1, 3, 4) else 0)) < 119
