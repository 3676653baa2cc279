"""Every source of replay, small, and a few experiences for them."""

import pytest
import torch

from negreplay.data.data import Tensors
from negreplay.devices import Device
from negreplay.nets.classifier import Classifier
from negreplay.nets.generator import Generator
from negreplay.optimize import Step, blocked
from negreplay.patterns import Memory, Patterns, drawn
from negreplay.recipe import Choice, Covariance, DegradedRecipe, GeneratorRecipe, ReplayRecipe, Source
from negreplay.replay.degraded import Degraded
from negreplay.replay.exemplars import Exemplars
from negreplay.replay.generated import Generated
from negreplay.replay.original import Original
from negreplay.replay.random import Random
from negreplay.replay.source import NoReplay, ReplaySource
from negreplay.replay.statistics import Statistics
from negreplay.streams.stream import Stream

CLASSES, LATENT, MEMORY = 6, (32, 4, 4), 9
SPEC = GeneratorRecipe(width=8, latent_dim=3, minibatch=8, first_iterations=3, iterations=2)
CPU = Device()

NAMES = ("none", "original", "exemplars", "generated", "random", "statistics", "separable", "diagonal", "degraded")
KINDS = pytest.mark.parametrize("kind", NAMES)
REPLAYING = pytest.mark.parametrize("kind", NAMES[1:])


def with_images(kinds: tuple[str, ...]) -> pytest.MarkDecorator:
    """Each kind, with experiences of images and of latents."""
    words = {False: "images", True: "latents"}
    cases = [pytest.param(kind, e, id=f"{kind}-{words[e]}") for kind in kinds for e in words]
    return pytest.mark.parametrize(("kind", "encoded"), cases)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: str, rng: torch.Generator, memory: int = MEMORY, weights: int = 0) -> ReplaySource:
    torch.manual_seed(weights)
    match kind:
        case "original":
            return Original(LATENT, memory, rng)
        case "exemplars":
            return Exemplars(torch.zeros(LATENT), CLASSES, memory, None, Choice.RANDOM, None, rng)
        case "generated":
            return Generated(Generator(LATENT, CLASSES, SPEC.latent_dim, SPEC.body, SPEC.width), memory, SPEC, CPU, rng)
        case "random":
            return Random(LATENT, CLASSES, memory, rng)
        case "statistics":
            return Statistics(LATENT, CLASSES, ReplayRecipe(Source.STATISTICS, memory=memory, rank=3), rng)
        case "separable" | "diagonal":
            recipe = ReplayRecipe(Source.STATISTICS, memory=memory, covariance=Covariance(kind))
            return Statistics(LATENT, CLASSES, recipe, rng)
        case "degraded":
            return Degraded(Original(LATENT, memory, rng), DegradedRecipe(0.5, 0.5, 0.5), rng)
        case _:
            return NoReplay()


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


def recalled(source: ReplaySource) -> Patterns:
    """All that is recalled, as it is when it is taken."""
    memory = source.recall()
    order = drawn(torch.arange(len(memory.labels)), memory.augmented, seeded())
    return Patterns(memory.read(*order), memory.labels)


def absorb(source: ReplaySource, classifier: Classifier, experience, memory: Memory | None = None) -> list[Step]:
    """As the learner does it: with the classifier blocked and the memory recalled before."""
    with blocked(classifier):
        return list(source.absorb(classifier, experience, source.recall() if memory is None else memory))


def equal(one: Patterns, other: Patterns) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.y, other.y)
