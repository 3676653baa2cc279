"""ImageNet-1000 in 25 experiences of 40 classes (Tables 6, 7 and 11; results in Tables 1 and 3, Figures 1, 3 and 10).

ResNet-18 from nothing, trained whole in the first experience and above conv4_x in the following ones. All six arms take
some 25 hours a seed on one GPU with 16 cores to decode (estimated, not run). Expect the averages of Table 1: no replay
31.91, PR-OD 38.02, PR-GD 18.29, NR-GD 32.74; AR1 of Table 3 (`imagenet-25x40`, PR-OD with its 20,000 patterns) ends at
33.1. A memory of 20,000 latents takes 4.0 GB.
"""

from dataclasses import replace

from negreplay import recipe as r
from negreplay.studies.arms import replay_arms

FLOOR = 1 / 11
"""Where Equation 16 ends; the exact number cannot be read in the paper."""

TABLE_6 = r.Recipe(
    name="no-replay",
    stream=r.StreamRecipe(
        "imagenet",
        r.Scenario.NC,
        first_classes=40,
        classes=40,
        images=r.ImageRecipe(224, shorter_side=234, augment=r.Augment.RESIZED_CROP),
    ),
    classifier=r.ClassifierRecipe("resnet18", "layer3", r.Front.FIRST, renorm=None),
    first=r.PhaseRecipe(epochs=45, lr_features=0.1, lr_head=0.1, decay_every=15, decay=0.1),
    following=r.PhaseRecipe(epochs=32, lr_features=5e-3, lr_head=5e-2, floor=FLOOR),
    optimizer=r.OptimizerRecipe(minibatch=128, momentum=0.9, weight_decay=1e-4),
)
TABLE_7 = replace(
    TABLE_6,
    name="pr-od",
    replay=r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, memory=20_000, per_minibatch=36),
)
TABLE_11 = r.GeneratorRecipe(
    body="conv",
    width=128,
    latent_dim=100,
    beta=0.25,
    eta=0.01,
    optimizer="sgd",
    lr=1.0,
    floor=FLOOR,
    minibatch=128,
    per_minibatch=36,
    epochs=32,
)
REPLAY = replay_arms(TABLE_7, TABLE_11)
SEEDS = (1993, 60, 827)
"""The seeds of the authors' three class orders."""

IMAGENET_NC = r.Study(
    "imagenet-nc",
    "ImageNet-1000 in 25 experiences of 40 classes, ResNet-18 from nothing.",
    (TABLE_6, *REPLAY),
    SEEDS,
    reproduces=("table1", "figure1", "figure3", "figure10"),
    hours=75.0,
    on="one GPU",
)
IMAGENET_25X40 = r.Study(
    "imagenet-25x40",
    "ImageNet-1000, 25 x 40: AR1 with 20,000 patterns, beside what Masana et al. measured.",
    (replace(TABLE_7, name="ar1"),),
    SEEDS,
    reproduces=("table3",),
    hours=9.0,
    on="one GPU",
)
