"""Split MNIST: five experiences of two digits, in the three scenarios that the literature compares systems on.

In the class-incremental scenario the classifier says which of all digits so far an image shows. In the task-incremental
one it is told the experience, and says which of its two digits it is; read the task-aware accuracy. In the
domain-incremental one it is not told the experience, and says whether the digit is the first or the second in it. The
settings are those of van de Ven & Tolias, with the digits in order.

References:
    van de Ven & Tolias, Generative Replay with Feedback Connections as a General Strategy for Continual Learning, 2018.
    van de Ven & Tolias, Three Scenarios for Continual Learning, 2019.
    van de Ven et al., Class-Incremental Learning with Generative Classifiers, 2021 (from CWR to SLDA).
"""

from dataclasses import replace

from negreplay import recipe as r

PHASE = r.PhaseRecipe(None, 1e-3, 1e-3, iterations=2000)
DIGITS = r.StreamRecipe("mnist", r.Scenario.NC, first_classes=2, classes=2, order=tuple("0123456789"))
CLOTHES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
)
PIXELS = r.ClassifierRecipe("pixels", "input", renorm=None)

NONE = r.Recipe(
    name="class-none",
    stream=DIGITS,
    classifier=r.ClassifierRecipe("mlp", "input", renorm=None),
    first=PHASE,
    following=PHASE,
    learner=r.LatentReplayRecipe(r.HeadKind.PLAIN, outputs=r.Outputs.SEEN),
    optimizer=r.OptimizerRecipe("adam", minibatch=128, momentum=0.9, weight_decay=0.0, lasting=True),
)
REPLAY = r.ReplayRecipe(
    r.Source.ORIGINAL,
    r.Mode.POSITIVE,
    2000,
    per_minibatch=128,
    choice=r.Choice.RANDOM,
    beside=True,
    weighting=r.Weighting.EXPERIENCES,
)
EXEMPLARS = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, 2000, choice=r.Choice.HERDING)
EVERYTHING = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, choice=r.Choice.ALL)
SCENARIOS = {
    "class": (DIGITS, r.Outputs.SEEN),
    "task": (DIGITS, r.Outputs.OWN),
    "domain": (replace(DIGITS, scenario=r.Scenario.DOMAINS), r.Outputs.ALL),
}
STRENGTHS = {"class": (1e4, 1e6, 1e3), "task": (1e6, 1e6, 1e1), "domain": (1e10, 1e10, 1e4)}
"""The strengths of EWC, online EWC and SI, by scenario.

Each was the best of a search over powers of ten with one seed (benchmarks/make_strengths.py), or with three seeds where
strengths of SI were within a point of each other.
"""


def arm(name: str, learner: r.LearnerRecipe, replay: r.ReplayRecipe | None = None) -> r.Recipe:
    """The arm `NONE` with another learner or replay."""
    return replace(NONE, name=name, learner=learner, replay=replay or r.ReplayRecipe())


def within(name: str, system: str, learner: r.LearnerRecipe, replay: r.ReplayRecipe | None = None) -> r.Recipe:
    """A system in one of the scenarios."""
    return replace(arm(f"{name}-{system}", learner, replay), stream=SCENARIOS[name][0])


def penalised(name: str, ewc: float, online: float, si: float) -> tuple[r.Recipe, ...]:
    """EWC, online EWC and SI of these strengths."""
    _, outputs = SCENARIOS[name]
    penalties = {
        "ewc": r.EWCRecipe(ewc, patterns=1000),
        "online-ewc": r.EWCRecipe(online, decay=1.0, patterns=1000),
        "si": r.SynapticIntelligenceRecipe(si, clip=None, damping=0.1),  # Zenke's c is half the strength
    }
    return tuple(
        within(name, kind, r.LatentReplayRecipe(r.HeadKind.PLAIN, penalty=penalty, outputs=outputs))
        for kind, penalty in penalties.items()
    )


def scenario(name: str) -> tuple[r.Recipe, ...]:
    """The systems that learn in all three scenarios."""
    _, outputs = SCENARIOS[name]
    plain = r.LatentReplayRecipe(r.HeadKind.PLAIN, outputs=outputs)
    lwf = r.LwFRecipe(against_new=name != "task", averaged=True, weighting=r.Weighting.EXPERIENCES, outputs=outputs)
    return (
        within(name, "none", plain),
        *penalised(name, *STRENGTHS[name]),
        within(name, "lwf", lwf),
        within(name, "dgr", r.DGRRecipe(outputs=outputs)),
        within(name, "dgr-distil", r.DGRRecipe(distil=True, averaged=True, outputs=outputs)),
        within(name, "er", plain, REPLAY),
        within(name, "joint", plain, EVERYTHING),
    )


def only_classes() -> tuple[r.Recipe, ...]:
    """Systems for the class-incremental scenario, and generative negative replay itself."""
    frozen = replace(PHASE, lr_features=0.0)
    cwr = replace(arm("class-cwr", r.LatentReplayRecipe(r.HeadKind.CWR)), following=frozen)
    nearest = r.Recipe("class-nearest-mean", DIGITS, PIXELS, learner=r.NearestMeanRecipe())
    generator = r.GeneratorRecipe(
        "dense",
        400,
        latent_dim=100,
        beta=0.1,
        eta=0.0,  # this classifier forgets: its opinion would teach the generator to make zeros
        lr=1e-3,
        minibatch=256,
        per_minibatch=192,
        first_iterations=2000,
        iterations=2000,
    )
    pixels = replace(REPLAY, source=r.Source.GENERATED, memory=12000, choice=r.Choice.REPLACED)
    pr_gd = replace(NONE, name="class-pr-gd", learner=r.LatentReplayRecipe(), replay=pixels, generator=generator)
    return (
        arm("class-icarl", r.ICaRLRecipe(temperature=2.0), EXEMPLARS),
        arm("class-labels-trick", r.LatentReplayRecipe(r.HeadKind.PLAIN, outputs=r.Outputs.CURRENT)),
        cwr,
        replace(cwr, name="class-cwr-plus", learner=r.LatentReplayRecipe(r.HeadKind.CWR_PLUS)),
        replace(cwr, name="class-cwr-star", learner=r.LatentReplayRecipe(r.HeadKind.CWR_STAR)),
        arm(
            "class-ar1",
            r.LatentReplayRecipe(
                r.HeadKind.CWR_PLUS, penalty=r.SynapticIntelligenceRecipe(20.0, clip=0.01, damping=0.1)
            ),
        ),
        nearest,
        replace(nearest, name="class-slda", learner=r.SLDARecipe()),
        pr_gd,
        replace(
            pr_gd,
            name="class-nr-gd",
            replay=replace(pixels, mode=r.Mode.NEGATIVE),
            following=replace(PHASE, lr_features=6e-5),  # the rows of old classes stay, so features may not run away
        ),
    )


def on_clothes(arm: r.Recipe) -> r.Recipe:
    """The arm on Fashion-MNIST, whose classes also arrive in the order of their numbers."""
    return replace(arm, stream=replace(arm.arriving, data="fashion-mnist", order=CLOTHES))


SPLIT_MNIST = r.Study(
    "split-mnist",
    "MNIST in five experiences of two digits: class-, task- and domain-incremental.",
    (*scenario("class"), *only_classes(), *scenario("task"), *scenario("domain")),
    seeds=(0, 1, 2, 3, 4),
    reproduces=("split-mnist",),
    hours=4.5,
)
SPLIT_FASHION = r.Study(
    "split-fashion",
    "Fashion-MNIST in five experiences of two classes, with the systems and settings of split-mnist.",
    tuple(map(on_clothes, SPLIT_MNIST.recipes)),
    SPLIT_MNIST.seeds,
    hours=SPLIT_MNIST.hours,
)
