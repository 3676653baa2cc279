"""The paper's further experiments on cifar50, which is small enough for any machine.

There are studies for the settings as printed (Tables 4, 5, 8, 9, 10 and 12), the naive arms (Appendix C, Figure 6),
blocked gradients (Section 3.3), the share of replay (Appendix F.4), and the recipe of ImageNet on small images (Figures
3 and 10). Hours are estimates for two cores; all but those of `cifar50-nc-blocked` follow from the time of one seed.
Expect the paper's order of arms, not its accuracies: the images are others, and 6 times fewer.
"""

from dataclasses import replace

from negreplay.recipe import Augment, ClassifierRecipe, Front, ImageRecipe, Recipe, StreamRecipe, Study
from negreplay.studies import cifar50, core50_nc, core50_nic, imagenet_nc
from negreplay.studies.arms import named
from negreplay.studies.core50_nc import gradient_blocked, naive

SHARES = (10, 20, 30, 50, 70)
"""Percentages of a minibatch that are replayed, in the sweep of Appendix F.4."""


def on_other_images(arms: tuple[Recipe, ...], stream: StreamRecipe, memory: int) -> tuple[Recipe, ...]:
    """The paper's arms and settings on other images; only the memory is scaled with the data."""

    def moved(arm: Recipe) -> Recipe:
        replay = replace(arm.replay, memory=memory) if arm.replay.memory else arm.replay
        return replace(arm, stream=stream, replay=replay)

    return tuple(map(moved, arms))


def with_share(arm: Recipe, percent: int) -> Recipe:
    """The arm with this percentage of each minibatch replayed; epochs take more steps with a larger one."""
    replay = replace(arm.replay, per_minibatch=round(arm.optimizer.minibatch * percent / 100))
    return replace(arm, name=f"{arm.name}-{percent}", replay=replay)


def shortened(arm: Recipe) -> Recipe:
    """The arm with a quarter of the epochs, and with a rate at which its generator is stable."""
    assert arm.first is not None and arm.following is not None, "an arm that trains has phases"
    first, following, generator = arm.first, arm.following, arm.generator
    assert first.epochs and first.decay_every and following.epochs, "Table 6 counts epochs"
    return replace(
        arm,
        first=replace(first, epochs=first.epochs // 4, decay_every=first.decay_every // 4),
        following=replace(following, epochs=following.epochs // 4),
        generator=generator and replace(generator, epochs=(generator.epochs or 0) // 4, lr=0.1),
    )


def small_imagenet() -> tuple[Recipe, ...]:
    """The recipe of ImageNet at 32 x 32: its rates, schedules and shares, and its 20 patterns a class.

    These things had to be scaled:

    - The network has another stem, with which the latents of layer3 are 256 x 8 x 8 instead of 256 x 14 x 14.
    - Crops are moved by up to an eighth instead of being resized.
    - An experience has 2 classes and 800 images, so an epoch has 7 to 9 steps where the paper's has 400 to 560.
    - The classifier and the generator have a quarter of the paper's epochs.
    - The generator's rate is 0.1. At the printed 1 its loss is not finite after four steps, for a network that is
      trained this little makes latents of up to 40.

    The share stays at the printed 36 of 128, although here the memory is larger than an experience.
    """
    stream = replace(cifar50.NC.arriving, first_classes=2, classes=2, images=ImageRecipe(32, augment=Augment.CROP))
    classifier = ClassifierRecipe("resnet18-32", "layer3", Front.FIRST, renorm=None)
    arms = (replace(shortened(arm), classifier=classifier) for arm in imagenet_nc.IMAGENET_NC.recipes)
    return on_other_images(tuple(arms), stream, 1000)


CIFAR50_NC_PRINTED = Study(
    "cifar50-nc-printed",
    "cifar50-nc with the settings of Tables 4, 5 and 10 as printed.",
    on_other_images((core50_nc.TABLE_4, *core50_nc.PRINTED), cifar50.NC.arriving, 250),
    hours=3.0,
)
CIFAR50_NIC_PRINTED = Study(
    "cifar50-nic-printed",
    "cifar50-nic with the settings of Tables 8, 9 and 12 as printed.",
    on_other_images(core50_nic.CORE50_NIC.recipes, cifar50.NIC.arriving, 50),
    hours=4.0,
)
CIFAR50_NC_BLOCKED = Study(
    "cifar50-nc-blocked",
    "cifar50-nc: negative patterns with and without gradient in the features (Section 3.3).",
    gradient_blocked(cifar50.CIFAR50_NC.recipes),
    hours=4.0,
)
CIFAR50_NC_NAIVE = Study(
    "cifar50-nc-naive",
    "cifar50-nc-pooled with a plain head: stand-alone negative replay (Appendix C).",
    tuple(map(naive, named(cifar50.CIFAR50_NC_POOLED.recipes, "no-replay", "pr-od", "pr-gd", "nr-gd"))),
    hours=0.1,
)
CIFAR50_NC_SHARE = Study(
    "cifar50-nc-share",
    "cifar50-nc-pooled with other shares of replay in a minibatch (Appendix F.4).",
    (
        *named(cifar50.CIFAR50_NC_POOLED.recipes, "no-replay"),
        *(
            with_share(arm, percent)
            for arm in named(cifar50.CIFAR50_NC_POOLED.recipes, "pr-od", "nr-od", "pr-gd", "nr-gd", "nr-rd")
            for percent in SHARES
        ),
    ),
    hours=0.5,
)
CIFAR50_25X2 = Study(
    "cifar50-25x2",
    "cifar50 in 25 experiences of 2 classes, ResNet-18 from nothing, as on ImageNet-1000.",
    small_imagenet(),
    hours=6.0,
)
