"""How experiences are learned and what is replayed, as values."""

from dataclasses import dataclass
from enum import StrEnum

from negreplay.recipe.checks import Strict, at_least, check


class Source(StrEnum):
    """Where replayed patterns come from (Section 4.4)."""

    NONE = "none"
    ORIGINAL = "original"
    GENERATED = "generated"
    RANDOM = "random"


class Mode(StrEnum):
    """What a replayed pattern may change in the head's rows (Section 3.2)."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


@dataclass(frozen=True)
class PhaseRecipe(Strict):
    """How one experience trains the classifier: how long, and the learning rates of phi (features) and psi (head).

    It lasts for `epochs`, or for so many `iterations` (minibatches). With `lr_features` 0 the feature extractor is
    blocked (CWR* after its first experience). Both rates are multiplied by `decay` after every `decay_every` epochs
    (Table 6, first experience), and by Equation 16 of the experience's number, which falls from 1 to its `floor`, where
    that is given (Table 6, following experiences).
    """

    epochs: int | None
    lr_features: float
    lr_head: float
    decay_every: int | None = None
    decay: float = 0.1
    floor: float | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        at_least(1, self, "phase", "epochs", "decay_every", "iterations")
        at_least(0, self, "phase", "lr_features", "lr_head")
        check(0 < self.decay <= 1, f"phase.decay is {self.decay}: give a number above 0, up to 1.")
        falls = self.floor is None or 0 < self.floor <= 1
        check(falls, f"phase.floor is {self.floor}: give a number above 0, up to 1.")
        check(
            (self.epochs is None) != (self.iterations is None),
            "phase needs either epochs or iterations: give one of them, and null for the other.",
        )
        swept = self.decay_every is None or self.epochs is not None
        check(swept, "phase.decay_every counts epochs: give phase.epochs, not phase.iterations.")


@dataclass(frozen=True)
class OptimizerRecipe(Strict):
    """Who takes the steps: `sgd` with `momentum`, or `adam`, whose beta1 it is (beta2 is 0.999).

    `minibatch` counts current and replayed patterns together. Each experience has a fresh optimiser, unless it is
    `lasting`: then its moments outlive experiences.
    """

    kind: str = "sgd"
    minibatch: int = 128
    momentum: float = 0.9
    weight_decay: float = 1e-4
    lasting: bool = False

    def __post_init__(self) -> None:
        check(self.kind in ("sgd", "adam"), f"optimizer.kind is {self.kind!r}: give sgd or adam.")
        at_least(1, self, "optimizer", "minibatch")
        at_least(0, self, "optimizer", "weight_decay")
        check(0 <= self.momentum < 1, f"optimizer.momentum is {self.momentum}: give a number from 0 to below 1.")


class Choice(StrEnum):
    """Which original patterns are kept.

    `REPLACED`: of the i-th experience R / i random ones, in random places of the memory (the paper's). `RANDOM` and
    `HERDING`: equally many of each class, drawn, or those whose mean is nearest to the class's. `ALL` of them.
    """

    REPLACED = "replaced"
    RANDOM = "random"
    HERDING = "herding"
    ALL = "all"


class Weighting(StrEnum):
    """How much replayed patterns weigh in the loss.

    `PATTERNS`: each as much as a current one. `EXPERIENCES`: in the N-th experience all together 1 - 1/N, and the
    current ones 1/N (van de Ven & Tolias, 2018).
    """

    PATTERNS = "patterns"
    EXPERIENCES = "experiences"


@dataclass(frozen=True)
class ReplayRecipe(Strict):
    """What is replayed: the source, the mode, R patterns of `memory`, and how many join each minibatch.

    `per_minibatch` None splits a minibatch of B as round(B N / (N + R)) current patterns and the rest replayed, so that
    data and memory are each swept once an epoch. With `beside` the replayed ones come on top of B. `through_features`
    False blocks the gradient of negative patterns before the feature extractor (the variant at the end of Section 3.3).

    Of original patterns `choice` says which are kept; chosen class by class, their number is `per_class` or a `memory`
    that is divided among the classes seen.
    """

    source: Source = Source.NONE
    mode: Mode = Mode.NEGATIVE
    memory: int = 0
    per_minibatch: int | None = None
    through_features: bool = True
    choice: Choice = Choice.REPLACED
    per_class: int | None = None
    beside: bool = False
    weighting: Weighting = Weighting.PATTERNS

    def __post_init__(self) -> None:
        at_least(1, self, "replay", "per_minibatch", "per_class")
        original, chosen = self.source is Source.ORIGINAL, self.choice in (Choice.RANDOM, Choice.HERDING)
        usual = original or self.choice is Choice.REPLACED
        check(usual, f"replay.choice has no effect: replay.source is {self.source}, not original; remove it.")
        fits = self.per_class is None or chosen
        check(fits, f"replay.per_class is given, but replay.choice is {self.choice}: give random or herding.")
        if self.source is Source.NONE:
            check(self.memory == 0, "replay.memory is given, but replay.source is none: name a source or set it to 0.")
            idle = "replay.per_minibatch is given, but replay.source is none: name a source or remove it."
            check(self.per_minibatch is None, idle)
            weighted = self.weighting is Weighting.PATTERNS
            check(weighted, "replay.weighting has no effect: replay.source is none; name a source or remove it.")
        elif self.choice is Choice.ALL:
            check(self.memory == 0, "replay.memory has no effect: replay.choice is all; set it to 0.")
        elif self.per_class is None:
            check(self.memory >= 1, f"replay.memory is {self.memory}: give 1 pattern or more, or source none.")
        else:
            check(self.memory == 0, "replay.memory and replay.per_class exclude one another: set memory to 0.")
        counted = self.per_minibatch is not None or not self.beside
        check(counted, "replay.beside is true: say how many with replay.per_minibatch.")
