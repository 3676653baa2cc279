"""How it learns and what it replays, as values."""

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


class Mean(StrEnum):
    """The mean subtracted from a row before it is consolidated.

    `PER_CLASS` is the paper's (Section 3.3), `GLOBAL` the one scalar of the authors' released code.
    """

    PER_CLASS = "per-class"
    GLOBAL = "global"


class HeadKind(StrEnum):
    """`CWR` consolidates its rows (Algorithm 1); `PLAIN` is a linear layer (Appendix C)."""

    CWR = "cwr*"
    PLAIN = "plain"


@dataclass(frozen=True)
class Phase(Strict):
    """How one experience trains the classifier: epochs, and the learning rates of phi (features) and psi (head).

    With `lr_features` 0 the feature extractor is blocked (CWR* after its first experience). Both rates are multiplied
    by `decay` after every `decay_every` epochs (Table 6, first experience), and by Equation 16 of the experience's
    number, which falls from 1 to its `floor`, where that is given (Table 6, following experiences).
    """

    epochs: int
    lr_features: float
    lr_head: float
    decay_every: int | None = None
    decay: float = 0.1
    floor: float | None = None

    def __post_init__(self) -> None:
        at_least(1, self, "phase", "epochs", "decay_every")
        at_least(0, self, "phase", "lr_features", "lr_head")
        check(0 < self.decay <= 1, f"phase.decay is {self.decay}: give a number above 0, up to 1.")
        falls = self.floor is None or 0 < self.floor <= 1
        check(falls, f"phase.floor is {self.floor}: give a number above 0, up to 1.")


@dataclass(frozen=True)
class ReplayRecipe(Strict):
    """What is replayed: the source, the mode, R patterns of `memory`, and how many join each minibatch.

    `per_minibatch` None splits a minibatch of B as round(B N / (N + R)) current patterns and the rest replayed, so that
    data and memory are each swept once an epoch. `through_features` False blocks the gradient of negative patterns
    before the feature extractor (the variant at the end of Section 3.3).
    """

    source: Source = Source.NONE
    mode: Mode = Mode.NEGATIVE
    memory: int = 0
    per_minibatch: int | None = None
    through_features: bool = True

    def __post_init__(self) -> None:
        if self.source is Source.NONE:
            check(self.memory == 0, "replay.memory is given, but replay.source is none: name a source or set it to 0.")
            idle = "replay.per_minibatch is given, but replay.source is none: name a source or remove it."
            check(self.per_minibatch is None, idle)
        else:
            check(self.memory >= 1, f"replay.memory is {self.memory}: give 1 pattern or more, or source none.")
        at_least(1, self, "replay", "per_minibatch")


@dataclass(frozen=True)
class SynapticIntelligence(Strict):
    """The penalty that holds the feature extractor back (Tables 4 and 8)."""

    strength: float
    clip: float = 1e-3
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        at_least(0, self, "penalty", "strength", "clip", "multiplier")


@dataclass(frozen=True)
class LearnerRecipe(Strict):
    """How it learns: the head, the penalty on the feature extractor, and SGD's constants (Tables 4 to 9).

    CWR* head and SI: AR1; CWR* head without a penalty: AR1free; plain head: naive.
    """

    head: HeadKind = HeadKind.CWR
    mean: Mean = Mean.PER_CLASS
    penalty: SynapticIntelligence | None = None
    minibatch: int = 128
    momentum: float = 0.9
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        at_least(1, self, "learner", "minibatch")
        at_least(0, self, "learner", "weight_decay")
        check(0 <= self.momentum < 1, f"learner.momentum is {self.momentum}: give a number from 0 to below 1.")
        plain_mean = self.head is HeadKind.CWR or self.mean is Mean.PER_CLASS
        check(plain_mean, "learner.mean has no effect with the plain head: remove it, or take the cwr* head.")
