"""Who recognises most of 50 classes of small photographs, 10 then 8 x 5 new ones, and what it keeps for it.

`cifar50-winners`: the pooled features of the pretrained MobileNetV1 as they are. `cifar50-winners-nic`: the arms whose
result depends on the order, on a stream of new instances and classes. `cifar50-winners-layers`: the layers above
conv5_4/dw learn too, in all experiences, in the first one only, or on everything at once.
"""

from dataclasses import replace

from negreplay import recipe as r
from negreplay.studies import cifar50
from negreplay.studies.arms import named
from negreplay.studies.cifar50_systems import CIFAR50_SYSTEMS_POOLED, PLAIN, untrained

RANKS = (4, 8, 16, 32, 64)
"""In how many directions of its own a class of RDA varies: from few kept bytes to many."""
CLOSED = {
    "nearest-mean": r.NearestMeanRecipe(),
    "slda": r.SLDARecipe(roots=True),
    "klda": r.KLDARecipe(gamma=0.5),
    "ridge": r.RidgeRecipe(),
    "ranpac-2000": r.RanPACRecipe(2000, roots=True),
    "ranpac-4000": r.RanPACRecipe(4000, roots=True),
    "ranpac-10000": r.RanPACRecipe(10_000, roots=True),
    "fecam": r.FeCAMRecipe(),
    **{f"rda-{rank}": r.RDARecipe(rank=rank) for rank in RANKS},
}
"""Learners that keep no pattern and see each image once."""


def from_statistics(
    pr_od: r.Recipe, nr_od: r.Recipe, memory: int, covariance: r.Covariance = r.Covariance.LOW_RANK
) -> tuple[r.Recipe, r.Recipe]:
    """PR-SD and NR-SD: as the arms with original patterns, which come from statistics instead."""
    both = (pr_od, "pr-sd"), (nr_od, "nr-sd")
    rank = 32 if covariance is r.Covariance.LOW_RANK else None
    replay = r.ReplayRecipe(r.Source.STATISTICS, memory=memory, covariance=covariance, rank=rank)
    pr_sd, nr_sd = (replace(arm, name=name, replay=replace(replay, mode=arm.replay.mode)) for arm, name in both)
    return pr_sd, nr_sd


JOINT, EEIL, PR_OD, NR_OD, NR_GD = named(CIFAR50_SYSTEMS_POOLED.recipes, "joint", "eeil", "pr-od", "nr-od", "nr-gd")
CIFAR50_WINNERS = r.Study(
    "cifar50-winners",
    "50 classes of photographs, 10 then 8 x 5, on pretrained features: who wins, and what it keeps.",
    (
        JOINT,
        *(untrained(name, learner) for name, learner in CLOSED.items()),
        *from_statistics(PR_OD, NR_OD, 1000),
        PR_OD,
        NR_GD,
        EEIL,
    ),
    hours=1.5,
)

NIC_PR_OD, NIC_NR_OD, NIC_NR_GD = named(cifar50.CIFAR50_NIC_POOLED.recipes, "pr-od", "nr-od", "nr-gd")
CIFAR50_WINNERS_NIC = r.Study(
    "cifar50-winners-nic",
    "cifar50-winners with one eighth of a class at a time: the arms whose result depends on the order, and SLDA.",
    (
        replace(untrained("slda", CLOSED["slda"]), stream=NIC_PR_OD.stream, evaluate_every=10),
        *from_statistics(NIC_PR_OD, NIC_NR_OD, 200),
        NIC_PR_OD,
        NIC_NR_GD,
    ),
    hours=1.0,
)

GENTLE = r.PhaseRecipe(6, 0.02, 0.02, cosine=True, mirrored=True)
"""Half a dozen epochs over latents that are mirrored at random, at a rate that falls to 0 along a cosine."""
LAYERS = r.Recipe(
    name="ceiling",
    stream=replace(cifar50.NC.arriving, first_classes=50),
    classifier=replace(cifar50.NC.classifier, renorm=None),
    first=GENTLE,
    following=GENTLE,
    learner=PLAIN,
    optimizer=r.OptimizerRecipe(minibatch=128, weight_decay=5e-4),
)
"""All classes in one experience, so that nothing can be forgotten."""


def adapted(name: str) -> r.Recipe:
    """The layers above conv5_4/dw are trained on the first ten classes; then features are counted."""
    learner = CLOSED[name]
    if isinstance(learner, r.RanPACRecipe):
        learner = replace(learner, ridge=0.02)
    return replace(LAYERS, name=f"adapted-{name}", stream=cifar50.NC.stream, following=None, learner=learner)


DEEP_PR_OD, DEEP_NR_OD, DEEP_NR_GD = named(cifar50.CIFAR50_NC.recipes, "pr-od", "nr-od", "nr-gd")
CIFAR50_WINNERS_LAYERS = r.Study(
    "cifar50-winners-layers",
    "cifar50-winners with the layers above conv5_4/dw: adapted to the first classes, or learned on with replay.",
    (
        LAYERS,
        *map(adapted, ("slda", "ranpac-4000", "ranpac-10000", "rda-32")),
        DEEP_PR_OD,
        *from_statistics(DEEP_PR_OD, DEEP_NR_OD, 250, r.Covariance.SEPARABLE)[:1],
        DEEP_NR_GD,
    ),
    seeds=(0,),
    hours=6.0,
)
