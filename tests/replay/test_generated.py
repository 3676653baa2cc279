"""Generated data: how long the generator learns, of what, and what it makes."""

import pytest
import torch
from sources import CLASSES, CPU, LATENT, MEMORY, SPEC, absorb, experiences, make, seeded
from states import state_of

from negreplay.nets.generator import Generator
from negreplay.patterns import Patterns, counts_of
from negreplay.recipe import GeneratorRecipe
from negreplay.replay.generated import Generated


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
        assert [(step.part, step.done, step.total) for step in steps] == [
            ("generator", done, total) for done in range(1, total + 1)
        ]


def test_a_generated_pattern_may_carry_a_current_class_seen_before(classifier):
    source, stream = make("generated", seeded(), memory=60), experiences(classifier)
    for experience in stream[:2]:
        absorb(source, classifier, experience)
    # What is recalled for the third experience, which brings class 0 again.
    assert stream[2].classes == (0,)
    assert counts_of(source.recall(), CLASSES)[0] > 0


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
    assert not torch.equal(
        states[0]["generator.decoder.hidden.0.0.weight"], states[1]["generator.decoder.hidden.0.0.weight"]
    )
