"""Arms and studies, as values."""

import re
from dataclasses import dataclass, field

from negreplay.recipe.checks import Strict, at_least, check
from negreplay.recipe.learning import LearnerRecipe, Mode, Phase, ReplayRecipe, Source
from negreplay.recipe.nets import ClassifierRecipe, Front, GeneratorRecipe
from negreplay.recipe.stream import StreamRecipe


@dataclass(frozen=True)
class Recipe(Strict):
    """One arm: everything that decides a run but its seed."""

    name: str
    stream: StreamRecipe
    classifier: ClassifierRecipe
    first: Phase
    following: Phase
    replay: ReplayRecipe = field(default_factory=ReplayRecipe)
    generator: GeneratorRecipe | None = None
    learner: LearnerRecipe = field(default_factory=LearnerRecipe)
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        arm, share = f"arm {self.name!r}: ", self.replay.per_minibatch
        plain = re.fullmatch(r"\w[\w.-]*", self.name) is not None  # it becomes the name of a file
        check(plain, f"{arm}name: give letters, digits, '.', '-' and '_' only, a letter or digit first.")
        at_least(1, self, f"arm {self.name!r}", "evaluate_every")
        generated = self.replay.source is Source.GENERATED
        check(generated or self.generator is None, f"{arm}generator has no effect: replay.source is not generated.")
        check(not generated or self.generator is not None, f"{arm}replay.source is generated: describe the generator.")
        check(
            share is None or share < self.learner.minibatch,
            f"{arm}replay.per_minibatch is {share}: give fewer than learner.minibatch ({self.learner.minibatch}).",
        )
        moving = self.classifier.front is Front.TRAINED and self.replay.source is not Source.NONE
        check(not moving, f"{arm}classifier.front is trained: replayed latents would go stale; block the front.")
        positive = self.replay.mode is Mode.POSITIVE and not self.replay.through_features
        check(not positive, f"{arm}replay.through_features is false: this holds for negative replay only.")


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
        check(len(self.recipes) >= 1, "study.recipes is empty: give at least one arm.")
        check(len(self.seeds) >= 1, "study.seeds is empty: give at least one seed.")
        at_least(0, self, "study", "hours")
        inside = all(0 <= seed < 2**32 for seed in self.seeds)  # what NumPy takes
        check(inside, f"study.seeds is {self.seeds}: give numbers from 0 to 4294967295.")
        check(len(set(self.seeds)) == len(self.seeds), f"study.seeds is {self.seeds}: give each seed once.")
        names = [recipe.name for recipe in self.recipes]
        check(len(set(names)) == len(names), f"study.recipes has two arms of one name: {names}.")
