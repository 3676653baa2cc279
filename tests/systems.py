"""Every system, small, to be put through one contract."""

from dataclasses import replace

from arms import BASE, images
from torch import Tensor

from negreplay.recipe import (
    BiCRecipe,
    Choice,
    ClassifierRecipe,
    DGRRecipe,
    EEILRecipe,
    EWCRecipe,
    FeCAMRecipe,
    Front,
    HeadKind,
    ICaRLRecipe,
    IL2MRecipe,
    KLDARecipe,
    LatentReplayRecipe,
    LearnerRecipe,
    LUCIRRecipe,
    LwFRecipe,
    LwMRecipe,
    Mode,
    NearestMeanRecipe,
    OptimizerRecipe,
    Outputs,
    PhaseRecipe,
    RanPACRecipe,
    RDARecipe,
    Recipe,
    ReplayRecipe,
    RidgeRecipe,
    RWalkRecipe,
    SLDARecipe,
    Source,
    SynapticIntelligenceRecipe,
    Weighting,
)

MLP = ClassifierRecipe("mlp", "input", renorm=None)
CONV = ClassifierRecipe("small", "input", renorm=None)
PIXELS = ClassifierRecipe("pixels", "input", renorm=None)
PHASE = PhaseRecipe(2, 0.02, 0.02)
ADAPTED = PhaseRecipe(3, 0.02, 0.02, cosine=True, mirrored=True)
HERDED = ReplayRecipe(Source.ORIGINAL, Mode.POSITIVE, choice=Choice.HERDING, per_class=2)
DRAWN = ReplayRecipe(Source.ORIGINAL, Mode.POSITIVE, 7, choice=Choice.RANDOM)
ALL = ReplayRecipe(Source.ORIGINAL, Mode.POSITIVE, choice=Choice.ALL)


def arm(learner: LearnerRecipe, replay: ReplayRecipe | None = None, classifier: ClassifierRecipe = MLP) -> Recipe:
    return replace(
        BASE,
        classifier=classifier,
        learner=learner,
        replay=replay or ReplayRecipe(),
        first=PHASE,
        following=PHASE,
        optimizer=OptimizerRecipe(minibatch=4),
    )


def untrained(learner: LearnerRecipe, classifier: ClassifierRecipe, first: PhaseRecipe | None = None) -> Recipe:
    return Recipe(BASE.name, BASE.stream, classifier, first, learner=learner)


def plain(penalty=None, outputs: Outputs = Outputs.SEEN) -> LatentReplayRecipe:
    return LatentReplayRecipe(HeadKind.PLAIN, penalty=penalty, outputs=outputs)


SYSTEMS: dict[str, Recipe] = {
    "fine tuning": arm(plain()),
    "fine tuning, all outputs": arm(plain(outputs=Outputs.ALL)),
    "fine tuning, own outputs": arm(plain(outputs=Outputs.OWN)),
    "labels trick": arm(plain(outputs=Outputs.CURRENT)),
    "fine tuning, exemplars": arm(plain(), HERDED),
    "experience replay": arm(plain(), replace(DRAWN, per_minibatch=3, beside=True, weighting=Weighting.EXPERIENCES)),
    "joint": arm(plain(), ALL),
    "adam": replace(arm(plain(), DRAWN), optimizer=OptimizerRecipe("adam", 4)),
    "lasting adam": replace(arm(plain()), optimizer=OptimizerRecipe("adam", 4, lasting=True)),
    "lasting sgd": replace(arm(DGRRecipe(replayed=4, width=8, latent_dim=3)), optimizer=OptimizerRecipe(lasting=True)),
    "si": arm(plain(SynapticIntelligenceRecipe(10.0, clip=None, damping=0.1))),
    "ewc": arm(plain(EWCRecipe(10.0)), classifier=CONV),
    "online ewc": arm(plain(EWCRecipe(10.0, decay=0.9, patterns=3))),
    "ewc-e": arm(plain(EWCRecipe(10.0)), HERDED),
    "rwalk": arm(plain(RWalkRecipe(1.0, every=2)), HERDED, CONV),
    "cwr": arm(LatentReplayRecipe(HeadKind.CWR)),
    "cwr+": arm(LatentReplayRecipe(HeadKind.CWR_PLUS)),
    "lwf": arm(LwFRecipe()),
    "lwf-e": arm(LwFRecipe(weighting=Weighting.EXPERIENCES), HERDED),
    "lwf, own outputs": arm(LwFRecipe(outputs=Outputs.OWN)),
    "lwm": arm(LwMRecipe("conv3"), classifier=CONV),
    "lwm-e": arm(LwMRecipe("conv3"), HERDED, CONV),
    "icarl": arm(ICaRLRecipe(), HERDED),
    "eeil": arm(EEILRecipe(PHASE, noise=0.3), HERDED, CONV),
    "lucir": arm(LUCIRRecipe(), HERDED),
    "il2m": arm(IL2MRecipe(), HERDED),
    "bic": arm(BiCRecipe(epochs=3, validation=0.5), HERDED),
    "dgr": arm(DGRRecipe(replayed=4, width=8, latent_dim=3)),
    "dgr, distilled": arm(DGRRecipe(replayed=4, distil=True, width=8, latent_dim=3)),
    "dgr, own outputs": arm(DGRRecipe(replayed=4, outputs=Outputs.OWN, width=8, latent_dim=3)),
    "nearest mean": untrained(NearestMeanRecipe(), PIXELS),
    "slda": untrained(SLDARecipe(shrinkage=1e-2), PIXELS),
    "slda, mirrored": untrained(SLDARecipe(shrinkage=1e-2, mirrored=True), PIXELS),
    "klda": untrained(KLDARecipe(units=80), PIXELS),
    "fecam": untrained(FeCAMRecipe(), PIXELS),
    "rda": untrained(RDARecipe(rank=3), PIXELS),
    "ridge": untrained(RidgeRecipe(roots=True), PIXELS),
    "ranpac": untrained(RanPACRecipe(units=80), PIXELS),
    "ranpac, penalty chosen": untrained(RanPACRecipe(units=80, ridge=None, orthogonal=True), PIXELS),
    "ranpac, adapted": untrained(RanPACRecipe(units=80), CONV, ADAPTED),
    "slda, adapted whole": untrained(
        SLDARecipe(shrinkage=1e-2), replace(CONV, replay_layer="conv2", front=Front.FIRST), ADAPTED
    ),
}


def accuracy(scores: Tensor) -> float:
    labels = images().labels
    arrived = scores.isfinite().any(dim=0)[labels]
    return float((scores.argmax(dim=1) == labels)[arrived].float().mean())


CLOSED_FORM: dict[str, LearnerRecipe] = {
    "nearest mean": NearestMeanRecipe(),
    "slda": SLDARecipe(),
    "klda": KLDARecipe(units=300),
    "fecam": FeCAMRecipe(),
    "rda": RDARecipe(rank=8),
    "ridge": RidgeRecipe(),
    "ranpac": RanPACRecipe(units=500),
}
"""Every closed-form learner."""
