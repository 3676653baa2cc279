"""Arms and studies, as values."""

import re
from dataclasses import dataclass, field

from negreplay.recipe.checks import LARGEST, MOST_AT_ONCE, Strict, in_range
from negreplay.recipe.learning import Choice, Mode, OptimizerRecipe, PhaseRecipe, ReplayRecipe, Source, Weighting
from negreplay.recipe.nets import ClassifierRecipe, Front, GeneratorRecipe
from negreplay.recipe.stream import StreamRecipe
from negreplay.recipe.systems import LatentReplayRecipe, LearnerRecipe
from negreplay.recipe.systems.system import Replays


@dataclass(frozen=True)
class Recipe(Strict):
    """One arm: everything that decides a run but its seed.

    `stream` says what arrives; it is None in a recipe that only says how to learn, which no study takes. `first` and
    `following` are the phases in which the first experience and each later one train the classifier; they are None for
    a system that trains nothing. A system that only adapts to the first experience may have a `first` one. Every
    `evaluate_every`-th experience is evaluated, and the last.
    """

    name: str
    stream: StreamRecipe | None
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

    @property
    def arriving(self) -> StreamRecipe:
        """The stream, which a recipe that is to be learned has.

        Raises:
            ValueError: there is none.
        """
        if self.stream is None:
            raise ValueError(f"arm {self.name!r} has no stream: say what arrives.")
        return self.stream

    def __post_init__(self) -> None:
        arm, share = f"arm {self.name!r}: ", self.replay.per_minibatch
        _check_name(self.name, f"{arm}name")
        in_range(self, f"arm {self.name!r}", 1, MOST_AT_ONCE, "evaluate_every")
        generated = self.replay.source is Source.GENERATED
        if self.generator is not None and not generated:
            raise ValueError(f"{arm}generator has no effect: replay.source is not generated.")
        if self.generator is None and generated:
            raise ValueError(f"{arm}replay.source is generated: describe the generator.")
        minibatch = self.optimizer.minibatch
        if share is not None and share >= minibatch and not self.replay.beside:
            raise ValueError(
                f"{arm}replay.per_minibatch is {share}: give fewer than optimizer.minibatch ({minibatch})."
            )
        if self.classifier.front is Front.TRAINED and self.replay.source is not Source.NONE:
            raise ValueError(f"{arm}classifier.front is trained: replayed latents would go stale; block the front.")
        if self.replay.mode is Mode.POSITIVE and not self.replay.through_features:
            raise ValueError(f"{arm}replay.through_features is false: this holds for negative replay only.")
        _check_training(arm, self)
        _check_layers(arm, self)
        _check_replay(arm, self.learner, self.replay)


def _check_name(name: str, place: str) -> None:
    """Refuses a name that cannot be the name of a file or a folder."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"{place}: give letters, digits, '.', '-' and '_' only, a letter or digit first.")


def _check_training(arm: str, recipe: Recipe) -> None:
    """Checks that a system that trains has phases, and that any other has neither phases nor an optimiser."""
    learner = recipe.learner
    for name in ("first", "following"):
        given, may = getattr(recipe, name) is not None, learner.trains or (learner.adapts and name == "first")
        if learner.trains and not given:
            raise ValueError(f"{arm}{name} is missing: say how long and how fast experiences are learned.")
        if given and not may:
            limit = "in the first experience only" if learner.adapts else "nothing"
            raise ValueError(f"{arm}{name} has no effect: {learner.kind} trains {limit}; remove it.")
    idle = not learner.trains and recipe.first is None
    if recipe.optimizer != OptimizerRecipe() and idle:
        raise ValueError(f"{arm}optimizer has no effect: {learner.kind} trains nothing; remove it.")
    front = recipe.classifier.front
    if learner.adapts and (front is Front.TRAINED or (front is Front.FIRST and idle)):
        remedy = "block it." if idle else "let it learn in the first experience, or block it."
        raise ValueError(f"{arm}classifier.front is {front}, but {learner.kind} counts features once: {remedy}")


def _check_layers(arm: str, recipe: Recipe) -> None:
    """Checks that the network is cut where the system can work, and that only layers learn that may."""
    learner, layer = recipe.learner, recipe.classifier.replay_layer
    if recipe.classifier.front is not Front.BLOCKED and not learner.front_learns:
        raise ValueError(f"{arm}classifier.front learns: {learner.kind} learns above the replay layer only; block it.")
    if learner.makes_images and layer != "input":
        raise ValueError(f"{arm}classifier.replay_layer is {layer}: {learner.kind} makes images; take input.")


def _check_replay(arm: str, learner: LearnerRecipe, replay: ReplayRecipe) -> None:
    """Checks that the system can replay this."""
    objection = learner.objection(replay)
    if objection is not None:
        raise ValueError(f"{arm}{objection}")
    if learner.replays is Replays.ANYTHING:
        return
    if learner.replays is Replays.NOTHING:
        if replay != ReplayRecipe():
            raise ValueError(f"{arm}replay has no effect on {learner.kind}: remove it.")
        return
    exemplars = replay.source is Source.ORIGINAL and replay.choice in (Choice.RANDOM, Choice.HERDING)
    if learner.replays is Replays.EXEMPLARS and not exemplars:
        raise ValueError(f"{arm}{learner.kind} needs exemplars: replay.source original, choice herding.")
    if replay.source is Source.NONE:
        return
    if not exemplars or replay.mode is not Mode.POSITIVE:
        raise ValueError(
            f"{arm}{learner.kind} replays exemplars: source original, mode positive, choice random or herding."
        )
    if replay.weighting is not Weighting.PATTERNS:
        raise ValueError(f"{arm}replay.weighting has no effect on {learner.kind}: remove it.")


@dataclass(frozen=True)
class Study(Strict):
    """What `negreplay run` takes: arms that are compared, and the seeds that each is repeated with.

    `reproduces` names the tables and figures of the paper that the study gives numbers for, such as `table1`. `hours`
    is the time that the whole study takes on the machine `on`, measured or estimated.
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
        if not self.recipes:
            raise ValueError("study.recipes is empty: give at least one arm.")
        if not self.seeds:
            raise ValueError("study.seeds is empty: give at least one seed.")
        in_range(self, "study", 0, LARGEST, "hours")
        if not all(0 <= seed < 2**32 for seed in self.seeds):  # what NumPy takes
            raise ValueError(f"study.seeds is {self.seeds}: give numbers from 0 to 4294967295.")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"study.seeds is {self.seeds}: give each seed once.")
        names = [recipe.name for recipe in self.recipes]
        if len(set(names)) != len(names):
            raise ValueError(f"study.recipes has two arms of one name: {names}.")
        for recipe in self.recipes:
            _ = recipe.arriving  # refuses an arm without a stream
