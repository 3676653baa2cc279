"""When do negatives win? Original patterns made worse by a dial, replayed as positive and as negative examples.

`cifar50-degraded`: three dials (wrong labels, less variety, noise) and worse generators, NC at the pooled features.
`cifar50-degraded-nic`: wrong labels, on a stream of new instances and classes.
"""

from collections.abc import Iterator
from dataclasses import replace

from negreplay import recipe as r
from negreplay.studies import cifar50
from negreplay.studies.arms import named

POSITIONS = {
    "labels": (0.25, 0.5, 0.75, 0.9, 1.0),
    "variety": (0.5, 0.75, 0.9, 0.95, 1.0),
    "noise": (0.1, 0.25, 0.5, 0.75, 1.0),
}
"""The positions of each dial beside 0, which is the arm with original patterns as they are."""
STARVED = 0.1
"""The share of its iterations that a starved generator is trained for."""
GENERATORS = ("", "-ungated", "-starved", "-starved-ungated")
"""What the names of arms with generators end in: as it is, without gates, starved, and both."""


def dialled(arms: tuple[r.Recipe, ...], *dials: str) -> Iterator[r.Recipe]:
    """No replay, and PR-OD and NR-OD at every position of some dials."""
    no_replay, *originals = named(arms, "no-replay", "pr-od", "nr-od")
    yield no_replay
    for arm in originals:
        yield arm
        for dial in dials:
            for position in POSITIONS[dial]:
                replay = replace(arm.replay, degraded=r.DegradedRecipe(**{dial: position}))
                yield replace(arm, name=f"{arm.name}-{dial}-{position:g}", replay=replay)


def generator_arms(arms: tuple[r.Recipe, ...]) -> Iterator[r.Recipe]:
    """PR-GD and NR-GD with the generator as it is, without gates, starved, and both."""
    for arm in named(arms, "pr-gd", "nr-gd"):
        for ending in GENERATORS:
            yield replace(arm, name=arm.name + ending, generator=worse(arm.generator, ending))


def worse(generator: r.GeneratorRecipe | None, ending: str) -> r.GeneratorRecipe:
    """The generator of an arm whose name ends so."""
    assert generator is not None, "an arm with generated patterns has a generator"
    if "ungated" in ending:
        generator = replace(generator, silent=0.0)
    if "starved" in ending:
        first, following = generator.first_iterations, generator.iterations
        assert first is not None and following is not None, "the generators of these studies count iterations"
        generator = replace(generator, first_iterations=round(STARVED * first), iterations=round(STARVED * following))
    return generator


CIFAR50_DEGRADED = r.Study(
    "cifar50-degraded",
    "cifar50-nc-pooled with replayed patterns made worse: wrong labels, less variety, noise, worse generators.",
    (*dialled(cifar50.CIFAR50_NC_POOLED.recipes, *POSITIONS), *generator_arms(cifar50.CIFAR50_NC_POOLED.recipes)),
    hours=1.3,
)
CIFAR50_DEGRADED_NIC = r.Study(
    "cifar50-degraded-nic",
    "cifar50-nic-pooled with replayed patterns whose labels are wrong.",
    tuple(dialled(cifar50.CIFAR50_NIC_POOLED.recipes, "labels")),
    hours=0.7,
)
