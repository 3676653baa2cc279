"""CORe50 NC: 10 objects, then 8 x 5 new ones (Tables 4, 5 and 10; results in Tables 1 and 2, Figures 1, 3, 8 and 9).

All six arms take some 4 hours a seed on two cores (estimated from the time of a step; the no-replay arm, which trains
the whole network, half of it). Expect the final accuracies of Table 2: no replay 60.99, NR-OD 68.60, NR-GD 68.87,
NR-RD 64.05, PR-OD above 70, PR-GD clearly below no replay.
"""

from dataclasses import replace

from negreplay import recipe as r
from negreplay.studies.arms import named, replay_arms

# A public training of MobileNetV1. The paper's own weights pad symmetrically, rectify with ReLU and normalise as
# torchvision does, which are the defaults of `WeightsRecipe`.
MOBILENET = r.WeightsRecipe(
    file="mobilenet_v1_1.0_imagenet.safetensors",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    activation="relu6",
    padding="right-bottom",
    eps=1e-3,
)

TABLE_4 = r.Recipe(
    name="no-replay",
    stream=r.StreamRecipe("core50", r.Scenario.NC, lists="nc"),
    classifier=r.ClassifierRecipe("mobilenet_v1", "conv5_4/dw", r.Front.TRAINED, weights=MOBILENET),
    first=r.PhaseRecipe(epochs=4, lr_features=3e-4, lr_head=3e-4),
    following=r.PhaseRecipe(epochs=4, lr_features=3e-4, lr_head=3e-4),
    learner=r.LatentReplayRecipe(penalty=r.SynapticIntelligenceRecipe(strength=8e5, clip=1e-3, multiplier=1e-6)),
    optimizer=r.OptimizerRecipe(minibatch=128, momentum=0.9, weight_decay=1e-4),
)
TABLE_5 = replace(
    TABLE_4,
    name="pr-od",
    classifier=replace(TABLE_4.classifier, front=r.Front.BLOCKED),
    first=r.PhaseRecipe(epochs=4, lr_features=3e-2, lr_head=3e-2),
    following=r.PhaseRecipe(epochs=4, lr_features=5e-5, lr_head=5e-4),
    replay=r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, memory=1500, per_minibatch=14),
    learner=replace(TABLE_4.learner, penalty=None),
)
TABLE_10 = r.GeneratorRecipe(
    body="conv",
    width=128,
    latent_dim=100,
    beta=0.1,
    eta=0.01,
    optimizer="adam",
    lr=2e-3,
    minibatch=128,
    per_minibatch=27,
    epochs=4,
)
PRINTED = replay_arms(TABLE_5, TABLE_10)
# Table 5's first rate of 3e-2 must be a misprint: with it hardly anything is learned after the first experience. With
# Table 4's 3e-4 every experience is learned (docs/departures.md).
REPLAY = replay_arms(replace(TABLE_5, first=TABLE_4.first), TABLE_10)

CORE50_NC = r.Study(
    "core50-nc",
    "CORe50 NC: 10 objects, then 8 x 5 new ones.",
    (TABLE_4, *REPLAY),
    reproduces=("table1", "table2", "figure1", "figure3", "figure8", "figure9"),
    hours=12.0,
)


def naive(base: r.Recipe) -> r.Recipe:
    """The arm with a plain head, so that negative replay is the masked loss of Appendix C.

    Nothing but replay works against forgetting. The generator has no classification loss, for a classifier that has
    forgotten would teach it to forget.
    """
    generator = base.generator and replace(base.generator, eta=0.0)
    return replace(base, learner=replace(base.learner, head=r.HeadKind.PLAIN), generator=generator)


def gradient_blocked(arms: tuple[r.Recipe, ...]) -> tuple[r.Recipe, ...]:
    """The variant at the end of Section 3.3, beside the usual one: negative patterns do not move the features."""

    def blocked(arm: r.Recipe) -> r.Recipe:
        return replace(arm, name=f"{arm.name}-blocked", replay=replace(arm.replay, through_features=False))

    usual = named(arms, "nr-od", "nr-gd", "nr-rd")
    return (*usual, *map(blocked, usual))


# The paper gives no settings for the naive arms; those of the other arms are taken, but for eta.
CORE50_NC_NAIVE = r.Study(
    "core50-nc-naive",
    "CORe50 NC with a plain head: stand-alone negative replay (Appendix C).",
    (
        naive(replace(REPLAY[0], name="no-replay", replay=r.ReplayRecipe())),
        *map(naive, named(REPLAY, "pr-od", "pr-gd", "nr-gd")),
    ),
    reproduces=("figure6",),
    hours=6.0,
)
CORE50_NC_BLOCKED = r.Study(
    "core50-nc-blocked",
    "CORe50 NC: negative patterns with and without gradient in the features (Section 3.3).",
    gradient_blocked(REPLAY),
    hours=8.0,
)
