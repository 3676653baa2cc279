import math
from collections import Counter
from itertools import chain, pairwise

import pytest
import torch
from torch import Tensor

from negreplay.nets.classifier import Classifier, cut
from negreplay.nets.generator import Generator
from negreplay.nets.heads import ConsolidatedHead
from negreplay.nets.renorm import renormalise
from negreplay.nets.small import SmallNet
from negreplay.optimize import Device, Step, blocked
from negreplay.patterns import Patterns, nothing
from negreplay.recipe import GeneratorRecipe, Mode, Renorm
from negreplay.replay.generated import Generated
from negreplay.replay.original import Original
from negreplay.replay.random import SAMPLE, Random
from negreplay.replay.source import NoReplay, ReplaySource
from negreplay.streams.stream import Stream, Tensors

CLASSES, LATENT, MEMORY = 6, (32, 4, 4), 9
SPEC = GeneratorRecipe(width=8, latent_dim=3, minibatch=8, first_iterations=3, iterations=2)

KINDS = pytest.mark.parametrize("kind", ["none", "original", "generated", "random"])
REPLAYING = pytest.mark.parametrize("kind", ["original", "generated", "random"])
ENCODED = pytest.mark.parametrize("encoded", [False, True], ids=["images", "latents"])


def make(kind: str, rng: torch.Generator, memory: int = MEMORY, weights: int = 0) -> ReplaySource:
    torch.manual_seed(weights)
    match kind:
        case "original":
            return Original(LATENT, memory, rng)
        case "generated":
            return Generated(Generator(LATENT, CLASSES, SPEC.latent_dim, SPEC.body, SPEC.width), memory, SPEC, CPU, rng)
        case "random":
            return Random(LATENT, CLASSES, memory, rng)
        case _:
            return NoReplay()


CPU = Device()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    net = SmallNet()
    return Classifier(*renormalised(net), ConsolidatedHead(net.features, CLASSES, Mode.NEGATIVE), blocked=True)


def renormalised(net: SmallNet) -> tuple[torch.nn.Module, torch.nn.Module]:
    return cut(renormalise(net, Renorm()), "conv2")


def experiences(classifier: Classifier, encoded: bool = True, each: int = 5) -> Stream:
    """Four experiences: classes 0 and 1; class 3; class 0 again; classes 1 and 4. Classes 2 and 5 never come."""
    present = [[0, 1], [3], [0], [1, 4]]
    labels = torch.tensor([c for classes in present for c in classes]).repeat_interleave(each)
    x = torch.rand(len(labels), 1, 8, 8, generator=seeded(7))
    if encoded:
        with torch.no_grad():
            x = classifier.eval().encode(x)
    data = Tensors(x, labels, tuple("abcdef"), "test", encoded)
    sizes = [each * len(classes) for classes in present]
    return Stream(data, data, torch.arange(len(labels)).split(sizes))


def absorb(source: ReplaySource, classifier: Classifier, experience, memory: Patterns | None = None) -> list[Step]:
    """As the learner does it: with the classifier blocked and the memory recalled before."""
    with blocked(classifier):
        return list(source.absorb(classifier, experience, source.recall() if memory is None else memory))


def state_of(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def equal(one: Patterns, other: Patterns) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


# The contract of every source.


@KINDS
def test_nothing_is_recalled_before_the_first_experience(kind):
    memory = make(kind, seeded()).recall()
    assert len(memory.x) == len(memory.y) == 0
    assert memory.counts(CLASSES).tolist() == [0] * CLASSES


@REPLAYING
@ENCODED
def test_recalled_are_latents_of_classes_seen(kind, encoded, classifier):
    source = make(kind, seeded(), memory=40)
    for k, experience in enumerate(stream := experiences(classifier, encoded, each=12)):
        absorb(source, classifier, experience)
        memory = source.recall()
        assert memory.x.shape == (len(memory.y), *LATENT) and memory.x.dtype == torch.float32
        assert not memory.x.requires_grad and memory.x.isfinite().all()
        assert set(memory.y.tolist()) == set(stream.seen(k).tolist())


def test_nothing_stays_nothing_without_a_source(classifier):
    source = make("none", seeded())
    for experience in experiences(classifier):
        assert absorb(source, classifier, experience) == []
        assert equal(source.recall(), nothing())


@pytest.mark.parametrize(
    ("kind", "sizes"),
    # Of R = 9, the first experience (10 patterns) fills the memory of original data; 20 are not filled by its 10,
    # by 20 / 2 = 10 patterns of which the second has 5, by 20 / 3 = 6.67 of which the third has 5: full.
    [("original", {9: [9, 9, 9, 9], 20: [10, 15, 20, 20]})]
    + [(kind, {9: [9, 9, 9, 9], 20: [20, 20, 20, 20]}) for kind in ("generated", "random")],
)
def test_memory_has_its_size_once_it_can_be_filled(kind, sizes, classifier):
    for memory, expected in sizes.items():
        source, found = make(kind, seeded(), memory), []
        for experience in experiences(classifier):
            absorb(source, classifier, experience)
            found.append(len(source.recall().y))
        assert found == expected


@KINDS
@ENCODED
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
        source.recall()
        assert same(state_of(source), before)


@REPLAYING
@ENCODED
def test_the_same_seed_recalls_the_same(kind, encoded, classifier):
    runs = []
    for seed in (1, 1, 2):
        source, memories = make(kind, seeded(seed), memory=7), []
        for experience in experiences(classifier, encoded):
            absorb(source, classifier, experience)
            memories.append(source.recall())
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
        source.recall()
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
    assert equal(twin.recall(), source.recall())
    for experience in stream[2:]:
        steps = [absorb(one, classifier, experience) for one in (source, twin)]
        assert steps[0] == steps[1]
        assert equal(twin.recall(), source.recall())
    assert same(state_of(twin), state_of(source))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", 0),
        # 9 latents of 32 * 4 * 4 = 512 numbers, 9 labels of 8 bytes and two counters.
        ("original", 9 * 512 * 4 + 9 * 8 + 2 * 8),
        # Which of 6 classes were seen, and one number.
        ("random", 6 + 4),
        # Encoder: 512 to 8 to 8 to 2 * 3. Decoder: 3 + 6 to 8 to 8 to 512. Each with biases, each of the four hidden
        # layers with a batch norm of 4 * 8 numbers and a counter; and 6 classes.
        ("generated", 4 * (513 * 8 + 9 * 8 + 9 * 6 + 10 * 8 + 9 * 8 + 9 * 512) + 4 * (4 * 8 * 4 + 8) + 6),
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
    assert set(source.recall().y.tolist()) <= {0, 1, 3}


# Original data.


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
        memories.append(Patterns(*(tensor.clone() for tensor in source.recall())))
    return memories


def test_labels_stay_with_their_latents(classifier):
    labels = torch.arange(73) * 5 % 7
    data = Tensors(labels.float().unsqueeze(1), labels, tuple("abcdefg"), "test", encoded=True)
    source = Original((1,), 12, seeded())
    for experience in Stream(data, data, torch.arange(73).split([30, 7, 20, 1, 15])):
        absorb(source, classifier, experience)
        memory = source.recall()
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
    memory = source.recall()
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


# Random data.


def uniform_stream(count: int, high: float) -> Stream:
    """An experience of latents that are uniform in [0, high], and another of latents ten times as large."""
    x = torch.rand(count, 2, 5, 5, generator=seeded(3)) * high
    data = Tensors(torch.cat([x, x * 10]), torch.arange(2 * count) // count, ("a", "b"), "test", encoded=True)
    return Stream(data, data, torch.arange(2 * count).split(count))


@pytest.mark.parametrize("count", [1, 150, SAMPLE])
def test_range_of_noise_is_the_90th_percentile_of_real_activations(count, classifier):
    source, stream = Random((2, 5, 5), 2, 300, seeded()), uniform_stream(count, 4.0)
    absorb(source, classifier, stream[0])
    activations = stream[0].data.data.read(stream[0].data.rows).flatten()
    # Nine in ten activations are at most this, one in ten at least.
    assert (activations <= source.high).sum() == round(0.9 * len(activations))
    noise = source.recall().x
    # The highest of 300 * 50 uniform numbers comes within 0.1 percent of the limit but for a chance of 3e-7.
    assert noise.min() >= 0 and noise.max() <= source.high and noise.max() > 0.999 * source.high
    assert abs(noise.mean() - source.high / 2) < 0.02 * source.high


def test_range_of_noise_is_that_of_a_sample_of_a_large_experience(classifier):
    source, stream = Random((2, 5, 5), 2, 300, seeded()), uniform_stream(1000, 4.0)
    absorb(source, classifier, stream[0])
    # 200 * 50 numbers out of [0, 4]: the percentile 3.6, give or take 5 standard errors of 4 sqrt(0.9 * 0.1 / 1e4).
    assert abs(source.high - 3.6) < 0.06


def test_range_of_noise_is_set_by_the_first_experience(classifier):
    source, stream = Random((2, 5, 5), 2, 300, seeded()), uniform_stream(100, 4.0)
    absorb(source, classifier, stream[0])
    before = source.high.clone()
    absorb(source, classifier, stream[1])
    assert torch.equal(source.high, before)


@pytest.mark.parametrize("kind", ["random", "generated"])
def test_labels_are_uniform_over_the_classes_seen_and_drawn_anew(kind, classifier):
    source = make(kind, seeded(), memory=3000)
    for experience in experiences(classifier):
        absorb(source, classifier, experience)
    one, other = source.recall(), source.recall()
    assert not torch.equal(one.y, other.y) and not torch.equal(one.x, other.x)
    # 3000 / 4 = 750 of each of the classes 0, 1, 3 and 4, give or take 5 sqrt(3000 * 1/4 * 3/4) = 119.
    for c, count in enumerate(one.counts(CLASSES).tolist()):
        assert abs(count - (750 if c in (0, 1, 3, 4) else 0)) < 119


# Generated data.


def spec(**options) -> GeneratorRecipe:
    return GeneratorRecipe(width=8, latent_dim=3, minibatch=8, **options)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        # Iterations as given, whether they are less than an epoch of 10 or 5 patterns or many.
        (spec(first_iterations=7, iterations=4), [7, 4, 4, 4]),
        (spec(first_iterations=1, iterations=11), [1, 11, 11, 11]),
        # Three epochs of 10 patterns, 8 at a time: 3 * 2. Then 5 patterns beside 9 replayed: round(8 * 5 / 14) = 3 at a
        # time, 3 * 2. At last 10 beside 9: round(8 * 10 / 19) = 4 at a time, 3 * 3.
        (spec(epochs=3), [6, 6, 6, 9]),
        # With 6 of 8 replayed: 5 patterns 2 at a time, 3 * 3, and 10 patterns 2 at a time, 3 * 5.
        (spec(epochs=3, per_minibatch=6), [6, 9, 9, 15]),
    ],
)
def test_generator_takes_the_steps_of_its_recipe(recipe, expected, classifier):
    source = Generated(Generator(LATENT, CLASSES, 3, "dense", 8), MEMORY, recipe, CPU, seeded())
    for experience, total in zip(experiences(classifier), expected, strict=True):
        steps = absorb(source, classifier, experience)
        assert [(step.phase, step.done, step.total) for step in steps] == [
            ("generator", done, total) for done in range(1, total + 1)
        ]


def test_a_generated_pattern_may_carry_a_current_class_seen_before(classifier):
    source, stream = make("generated", seeded(), memory=60), experiences(classifier)
    for experience in stream[:2]:
        absorb(source, classifier, experience)
    # What is recalled for the third experience, which brings class 0 again.
    assert stream[2].classes == (0,)
    assert source.recall().counts(CLASSES)[0] > 0


def test_recalled_is_what_the_decoder_makes_of_normal_noise(classifier):
    rng = seeded()
    source = make("generated", rng, memory=300)
    absorb(source, classifier, experiences(classifier)[0])
    assert isinstance(source, Generated)
    state = rng.get_state()
    memory = source.recall()
    rng.set_state(state)
    z = torch.randn(300, SPEC.latent_dim, generator=rng)
    torch.testing.assert_close(memory.x, source.generator.decode(z, memory.y).detach())


def test_the_generator_is_never_reset(classifier):
    source, stream = make("generated", seeded()), experiences(classifier)
    absorb(source, classifier, stream[0])
    before = state_of(source)
    for experience in stream[1:]:
        absorb(source, classifier, experience)
    assert isinstance(source, Generated)
    # Six steps of Adam with a learning rate of 2e-3 move no weight by more than a few times 6 * 2e-3.
    for name, weight in source.named_parameters():
        assert 0 < (weight - before[name]).abs().max() < 0.05


def test_the_generator_learns_from_its_memory_too(classifier):
    stream = experiences(classifier)
    states = []
    for value in (0.0, 3.0):
        source = make("generated", seeded(), memory=4)
        absorb(source, classifier, stream[0])
        absorb(source, classifier, stream[1], Patterns(torch.full((4, *LATENT), value), torch.zeros(4).long()))
        states.append(state_of(source))
    assert not torch.equal(states[0]["generator.decoder.0.weight"], states[1]["generator.decoder.0.weight"])
