"""Arms and studies, as values."""

import re
from dataclasses import dataclass, field

from negreplay.recipe.checks import Strict, at_least, check
from negreplay.recipe.learning import Choice, Mode, OptimizerRecipe, PhaseRecipe, ReplayRecipe, Source
from negreplay.recipe.nets import ClassifierRecipe, Front, GeneratorRecipe, Outputs
from negreplay.recipe.stream import StreamRecipe
from negreplay.recipe.systems import (
    BiCRecipe,
    DGRRecipe,
    EEILRecipe,
    ICaRLRecipe,
    IL2MRecipe,
    LatentReplayRecipe,
    LearnerRecipe,
    LUCIRRecipe,
    LwFRecipe,
    LwMRecipe,
    NearestMeanRecipe,
    SLDARecipe,
)


@dataclass(frozen=True)
class Recipe(Strict):
    """One arm: everything that decides a run but its seed.

    `first` and `following` are how the first experience and each later one train the classifier; learners that train
    nothing have none.
    """

    name: str
    stream: StreamRecipe
    classifier: ClassifierRecipe
    first: PhaseRecipe | None = None
    following: PhaseRecipe | None = None
    replay: ReplayRecipe = field(default_factory=ReplayRecipe)
    generator: GeneratorRecipe | None = None
    learner: LearnerRecipe = field(default_factory=LatentReplayRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    evaluate_every: int = 1

    @property
    def keeps_data(self) -> bool:
        """Whether training data, images or their latents, are kept between experiences."""
        return self.replay.source is Source.ORIGINAL

    def __post_init__(self) -> None:
        arm, share = f"arm {self.name!r}: ", self.replay.per_minibatch
        _check_name(self.name, f"{arm}name")
        at_least(1, self, f"arm {self.name!r}", "evaluate_every")
        generated = self.replay.source is Source.GENERATED
        check(generated or self.generator is None, f"{arm}generator has no effect: replay.source is not generated.")
        check(not generated or self.generator is not None, f"{arm}replay.source is generated: describe the generator.")
        check(
            share is None or self.replay.beside or share < self.optimizer.minibatch,
            f"{arm}replay.per_minibatch is {share}: give fewer than optimizer.minibatch ({self.optimizer.minibatch}).",
        )
        moving = self.classifier.front is Front.TRAINED and self.replay.source is not Source.NONE
        check(not moving, f"{arm}classifier.front is trained: replayed latents would go stale; block the front.")
        positive = self.replay.mode is Mode.POSITIVE and not self.replay.through_features
        check(not positive, f"{arm}replay.through_features is false: this holds for negative replay only.")
        _check_system(arm, self)


def _check_name(name: str, place: str) -> None:
    """It becomes the name of a file or a folder."""
    plain = re.fullmatch(r"\w[\w.-]*", name) is not None
    check(plain, f"{place}: give letters, digits, '.', '-' and '_' only, a letter or digit first.")


def _check_system(arm: str, recipe: Recipe) -> None:
    """What the system needs is there, and what it cannot use is not."""
    learner, replay = recipe.learner, recipe.replay
    trains = not isinstance(learner, NearestMeanRecipe | SLDARecipe)
    for name in ("first", "following"):
        given = getattr(recipe, name) is not None
        check(given or not trains, f"{arm}{name} is missing: say how long and how fast experiences are learned.")
        check(trains or not given, f"{arm}{name} has no effect: {learner.kind} trains nothing; remove it.")
    idle = f"{arm}optimizer has no effect: {learner.kind} trains nothing; remove it."
    check(trains or recipe.optimizer == OptimizerRecipe(), idle)
    if isinstance(learner, LatentReplayRecipe):
        trick = learner.outputs is Outputs.CURRENT and replay.source is not Source.NONE
        check(not trick, f"{arm}learner.outputs is current: replayed patterns have no output then; set source none.")
        return
    blocked = recipe.classifier.front is Front.BLOCKED
    check(blocked, f"{arm}classifier.front learns: {learner.kind} learns above the replay layer only; block it.")
    images = not isinstance(learner, DGRRecipe) or recipe.classifier.replay_layer == "input"
    check(images, f"{arm}classifier.replay_layer is {recipe.classifier.replay_layer}: dgr makes images; take input.")
    exemplars = replay.source is Source.ORIGINAL and replay.choice in (Choice.RANDOM, Choice.HERDING)
    forbidden = isinstance(learner, DGRRecipe | NearestMeanRecipe | SLDARecipe)
    needed = isinstance(learner, ICaRLRecipe | EEILRecipe | LUCIRRecipe | IL2MRecipe | BiCRecipe)
    check(not forbidden or replay == ReplayRecipe(), f"{arm}replay has no effect on {learner.kind}: remove it.")
    check(not needed or exemplars, f"{arm}{learner.kind} needs exemplars: replay.source original, choice herding.")
    optional = isinstance(learner, LwFRecipe | LwMRecipe) and replay.source is Source.NONE
    fits = forbidden or optional or (exemplars and replay.mode is Mode.POSITIVE)
    check(fits, f"{arm}{learner.kind} replays exemplars: source original, mode positive, choice random or herding.")
    weighted = replay == ReplayRecipe() or replay.weighting is ReplayRecipe().weighting
    check(weighted, f"{arm}replay.weighting has no effect on {learner.kind}: remove it.")


@dataclass(frozen=True)
class Study(Strict):
    """What `negreplay run` takes: arms that are compared, and the seeds that each is repeated with.

    `reproduces` names the paper's tables and figures that it gives numbers for, such as `table1`; `hours` is what the
    whole of it takes, measured or estimated, on the machine `on`.
    """

    name: str
    summary: str
    recipes: tuple[Recipe, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    reproduces: tuple[str, ...] = ()
    hours: float | None = None
    on: str = "two cores"

    def __post_init__(self) -> None:
        _check_name(self.name, f"study.name is {self.name!r}")
        check(len(self.recipes) >= 1, "study.recipes is empty: give at least one arm.")
        check(len(self.seeds) >= 1, "study.seeds is empty: give at least one seed.")
        at_least(0, self, "study", "hours")
        inside = all(0 <= seed < 2**32 for seed in self.seeds)  # what NumPy takes
        check(inside, f"study.seeds is {self.seeds}: give numbers from 0 to 4294967295.")
        check(len(set(self.seeds)) == len(self.seeds), f"study.seeds is {self.seeds}: give each seed once.")
        names = [recipe.name for recipe in self.recipes]
        check(len(set(names)) == len(names), f"study.recipes has two arms of one name: {names}.")
