"""When do negatives win? Original patterns made worse by a dial, replayed as positive and as negative examples.

`cifar50-degraded`: three dials (wrong labels, less variety, noise), NC at the pooled features. `cifar50-degraded-nic`:
wrong labels, on a stream of new instances and classes.
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


CIFAR50_DEGRADED = r.Study(
    "cifar50-degraded",
    "cifar50-nc-pooled with replayed patterns made worse: wrong labels, less variety, noise.",
    tuple(dialled(cifar50.CIFAR50_NC_POOLED.recipes, *POSITIONS)),
    hours=0.5,
)
CIFAR50_DEGRADED_NIC = r.Study(
    "cifar50-degraded-nic",
    "cifar50-nic-pooled with replayed patterns whose labels are wrong.",
    tuple(dialled(cifar50.CIFAR50_NIC_POOLED.recipes, "labels")),
    hours=0.7,
)
