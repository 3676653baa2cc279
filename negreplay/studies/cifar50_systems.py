"""The systems of Table 3 on 50 classes of small photographs, 10 then 8 x 5 new ones, with 20 exemplars of each class.

`cifar50-systems` trains a ResNet-20 from nothing on images of 32 x 32. `cifar50-systems-pooled` trains only a head, on
the pooled features of the pretrained MobileNetV1 of `cifar50-nc-pooled`.
"""

from dataclasses import replace

from negreplay import recipe as r
from negreplay.studies import cifar50
from negreplay.studies.arms import six_arms

EXEMPLARS = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, choice=r.Choice.HERDING, per_class=20)
DRAWN = replace(EXEMPLARS, choice=r.Choice.RANDOM)
EVERYTHING = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, choice=r.Choice.ALL)
PLAIN = r.LatentReplayRecipe(r.HeadKind.PLAIN, outputs=r.Outputs.SEEN)


def systems(
    base: r.Recipe, balanced: r.PhaseRecipe, strengths: dict[str, float], rates: dict[str, float]
) -> tuple[r.Recipe, ...]:
    """The systems that train, from `base`, which is fine tuning.

    Args:
        base: images, network and phases.
        balanced: the second stage of EEIL.
        strengths: the strengths of penalties and distillations, by arm.
        rates: the learning rates, by arm, where those of the base do not suit it.
    """

    def arm(name: str, learner: r.LearnerRecipe, replay: r.ReplayRecipe = EXEMPLARS) -> r.Recipe:
        return paced(replace(base, name=name, learner=learner, replay=replay), rates.get(name))

    return (
        base,
        arm("fine-tuning-e", PLAIN),
        arm("er", PLAIN, DRAWN),
        arm("ewc-e", replace(PLAIN, penalty=r.EWCRecipe(strengths["ewc-e"], decay=0.5, patterns=500, drawn=True))),
        arm("rwalk", replace(PLAIN, penalty=r.RWalkRecipe(strengths["rwalk"]))),
        arm("lwf", r.LwFRecipe(strengths["lwf"], outputs=r.Outputs.OWN), r.ReplayRecipe()),
        arm("lwf-e", r.LwFRecipe(strengths["lwf-e"])),
        arm("icarl", r.ICaRLRecipe()),
        arm("eeil", r.EEILRecipe(balanced)),
        arm("lucir", r.LUCIRRecipe()),
        arm("il2m", r.IL2MRecipe()),
        arm("bic", r.BiCRecipe()),
        arm("labels-trick", replace(PLAIN, outputs=r.Outputs.CURRENT), r.ReplayRecipe()),
    )


def paced(recipe: r.Recipe, rate: float | None) -> r.Recipe:
    """The recipe with one rate for all that learns, in all experiences; without a rate it is unchanged."""
    assert recipe.first and recipe.following, "systems that train have phases"
    if rate is None:
        return recipe
    first, following = (
        replace(phase, lr_head=rate, lr_features=rate if phase.lr_features else 0.0)
        for phase in (recipe.first, recipe.following)
    )
    return replace(recipe, first=first, following=following)


FIRST = r.PhaseRecipe(30, 0.1, 0.1, decay_every=12)
SCRATCH = r.Recipe(
    name="fine-tuning",
    stream=replace(cifar50.NC.arriving, images=r.ImageRecipe(augment=r.Augment.CROP)),
    classifier=r.ClassifierRecipe("resnet20-32", "input", renorm=None),
    first=FIRST,
    following=replace(FIRST, lr_features=0.05, lr_head=0.05),
    learner=PLAIN,
    optimizer=r.OptimizerRecipe(minibatch=128, momentum=0.9, weight_decay=2e-4),
)
ALL_AT_ONCE = replace(SCRATCH, name="joint", stream=replace(SCRATCH.arriving, first_classes=50), replay=EVERYTHING)
"""The ceiling, in one experience; to learn all classes so far in each of nine experiences takes five times as long."""
AR1 = replace(
    SCRATCH,
    name="ar1",
    learner=r.LatentReplayRecipe(penalty=r.SynapticIntelligenceRecipe(8e5, clip=4e-5, multiplier=1e-6)),
)
"""The importance of a weight is clipped where steps still converge (see `STRENGTHS`), not at the 1e-3 of Table 4. Batch
norm is plain, as on ImageNet (Table 6): here features go on changing after the first experience, when the statistics of
batch renormalisation hardly move.
"""
STRENGTHS = {"ewc-e": 20.0, "rwalk": 10.0, "lwf": 10.0, "lwf-e": 10.0}
"""The strengths of penalties and distillations, by arm.

Those of the distillations are those of Masana et al. Those of EWC and RWalk are lower: with this rate and momentum
steps diverge where the curvature of the penalty exceeds 2 (1 + momentum) / rate = 76.

EWC's curvature is strength * F. F reached 1.3 after the first experience and grows later. (After a second one of 8
epochs, a strength of 40 gave 41.1 %, 10 gave 35.7 % and 2.5 gave 30.4 %.) Masana et al. compute F from the squared
gradients of whole minibatches, and it bears their 1e4; this is about 40 here. RWalk's curvature is 2 * strength *
(F + s), up to 4 times the strength; Masana et al. do not scale F and s, which bear their 20.
"""
LATENT = replace(
    SCRATCH,
    name="no-replay",
    classifier=r.ClassifierRecipe("resnet20-32", "layer2", r.Front.FIRST, renorm=None),
    following=r.PhaseRecipe(30, lr_features=5e-3, lr_head=0.05),
    learner=r.LatentReplayRecipe(),
)
"""As on ImageNet: after the first experience only the last stage and the head learn, at the rates of Table 6."""
GENERATOR = replace(cifar50.NC_GENERATOR, first_iterations=None, iterations=None, epochs=30)
CIFAR50_SYSTEMS = r.Study(
    "cifar50-systems",
    "50 classes of photographs, 10 then 8 x 5: the systems of Table 3, ResNet-20 from nothing.",
    (
        *systems(
            SCRATCH,
            r.PhaseRecipe(15, 0.01, 0.01, decay_every=5),
            STRENGTHS,
            {"icarl": 0.02},  # its loss is a sum over outputs: the paper has a rate of 2 for the mean over 100 of them
        ),
        replace(SCRATCH, name="lwm", learner=r.LwMRecipe("layer3", strength=2.0), replay=EXEMPLARS),
        replace(AR1, name="ar1-e", replay=EXEMPLARS),
        AR1,
        ALL_AT_ONCE,
        *six_arms(LATENT, 1000, GENERATOR),
    ),
    seeds=(0,),
    hours=11.0,
)


def larger(arm: r.Recipe) -> r.Recipe:
    """The arm with a ResNet-18, which has four stages."""
    layer = {"input": "input", "layer2": "layer3"}[arm.classifier.replay_layer]
    learner = replace(arm.learner, layer="layer4") if isinstance(arm.learner, r.LwMRecipe) else arm.learner
    return replace(arm, learner=learner, classifier=replace(arm.classifier, backbone="resnet18-32", replay_layer=layer))


CIFAR50_SYSTEMS_RESNET18 = r.Study(
    "cifar50-systems-resnet18",
    "cifar50-systems with a ResNet-18.",
    tuple(map(larger, CIFAR50_SYSTEMS.recipes)),
    seeds=(0,),
    hours=1.0,
    on="one GPU",
)

POOLED = cifar50.pooled(cifar50.NC)
HEAD = replace(POOLED, name="fine-tuning", learner=PLAIN)
RATES = {
    "fine-tuning-e": 0.01,
    "ewc-e": 0.02,
    "rwalk": 0.02,
    "lwf": 0.005,
    "eeil": 0.002,
    "lucir": 5.0,
    "il2m": 0.002,
    "bic": 0.01,
    "labels-trick": 0.005,
    "joint": 0.002,
    "cwr": 0.1,
    "cwr-plus": 0.0005,
    "cwr-star": 0.001,
    "cwr-star-e": 0.02,
    "pr-od": 0.01,
    "pr-gd": 0.005,
    "nr-od": 0.02,
    "nr-gd": 0.01,
    "nr-rd": 0.001,
}
"""The learning rates of the head, by arm; arms that are not here learn at 0.05.

Each rate was the best of about seven from 0.0005 to 0.2 (LUCIR: 0.5 to 10), with a seed that the study does not use.
"""


def untrained(name: str, learner: r.LearnerRecipe) -> r.Recipe:
    """A learner that trains nothing, on the same stored features."""
    return r.Recipe(name, POOLED.stream, POOLED.classifier, learner=learner)


CIFAR50_SYSTEMS_POOLED = r.Study(
    "cifar50-systems-pooled",
    "50 classes of photographs, 10 then 8 x 5: the systems of Table 3 on pretrained features.",
    (
        *systems(HEAD, r.PhaseRecipe(6, 0.0, 4e-4), {"ewc-e": 1e2, "rwalk": 1.0, "lwf": 1.0, "lwf-e": 0.3}, RATES),
        paced(replace(HEAD, name="joint", replay=EVERYTHING), RATES["joint"]),
        untrained("nearest-mean", r.NearestMeanRecipe()),
        untrained("slda", r.SLDARecipe()),
        *(
            paced(arm, RATES[arm.name])
            for arm in (
                replace(HEAD, name="cwr", learner=r.LatentReplayRecipe(r.HeadKind.CWR)),
                replace(HEAD, name="cwr-plus", learner=r.LatentReplayRecipe(r.HeadKind.CWR_PLUS)),
                replace(HEAD, name="cwr-star", learner=r.LatentReplayRecipe()),
                replace(HEAD, name="cwr-star-e", learner=r.LatentReplayRecipe(), replay=EXEMPLARS),
                *cifar50.CIFAR50_NC_POOLED.recipes[1:],
            )
        ),
    ),
    hours=0.8,
)
