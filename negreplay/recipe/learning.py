"""How experiences are learned and what is replayed, as values."""

from dataclasses import dataclass
from enum import StrEnum

from negreplay.recipe.checks import (
    LARGEST,
    MOST_AT_ONCE,
    MOST_EPOCHS,
    MOST_PATTERNS,
    MOST_STEPS,
    Strict,
    in_range,
)


class Source(StrEnum):
    """Where replayed patterns come from (Section 4.4; statistics are ours)."""

    NONE = "none"
    ORIGINAL = "original"
    GENERATED = "generated"
    RANDOM = "random"
    STATISTICS = "statistics"


class Covariance(StrEnum):
    """How the numbers of a latent vary together, in patterns from statistics.

    `LOW_RANK` keeps the main directions of each class. `SEPARABLE` is for maps: the correlation of two numbers is that
    of their channels times that of their places, and classes share both. With `DIAGONAL` each number varies by itself.
    The variance of each number is kept for each class in all three.
    """

    LOW_RANK = "low-rank"
    SEPARABLE = "separable"
    DIAGONAL = "diagonal"


class Mode(StrEnum):
    """What a replayed pattern may change in the rows of the head (Section 3.2)."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


@dataclass(frozen=True)
class PhaseRecipe(Strict):
    """How long one experience trains the classifier, and the learning rates of phi (features) and psi (head).

    The training lasts for `epochs`, or for so many `iterations` (minibatches). With `lr_features` 0 the feature
    extractor is blocked (CWR* after its first experience). Both rates are multiplied by `decay` after every
    `decay_every` epochs (Table 6, first experience); with `cosine` they fall to 0 along half a cosine instead. Where
    `floor` is given, both rates are also multiplied by Equation 16 of the experience's number, which falls from 1 to
    `floor` (Table 6, following experiences). With `mirrored` each latent is mirrored left to right with probability one
    half, whenever it is learned.
    """

    epochs: int | None
    lr_features: float
    lr_head: float
    decay_every: int | None = None
    decay: float = 0.1
    floor: float | None = None
    iterations: int | None = None
    cosine: bool = False
    mirrored: bool = False

    def __post_init__(self) -> None:
        in_range(self, "phase", 1, MOST_EPOCHS, "epochs", "decay_every")
        in_range(self, "phase", 1, MOST_STEPS, "iterations")
        in_range(self, "phase", 0, LARGEST, "lr_features", "lr_head")
        if not 0 < self.decay <= 1:
            raise ValueError(f"phase.decay is {self.decay}: give a number above 0, up to 1.")
        if self.floor is not None and not 0 < self.floor <= 1:
            raise ValueError(f"phase.floor is {self.floor}: give a number above 0, up to 1.")
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("phase needs either epochs or iterations: give one of them, and null for the other.")
        if self.decay_every is not None and self.epochs is None:
            raise ValueError("phase.decay_every counts epochs: give phase.epochs, not phase.iterations.")
        if self.decay_every is not None and self.cosine:
            raise ValueError("phase.decay_every and phase.cosine exclude one another: remove one.")


@dataclass(frozen=True)
class OptimizerRecipe(Strict):
    """The optimiser of the classifier, and the size of its minibatches.

    `kind` is `sgd` or `adam`. `momentum` is the momentum of SGD, and beta1 of Adam, whose beta2 is 0.999. `minibatch`
    counts current and replayed patterns together. Each experience starts with a fresh optimiser; a `lasting` one keeps
    its moments from one experience to the next.
    """

    kind: str = "sgd"
    minibatch: int = 128
    momentum: float = 0.9
    weight_decay: float = 1e-4
    lasting: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("sgd", "adam"):
            raise ValueError(f"optimizer.kind is {self.kind!r}: give sgd or adam.")
        in_range(self, "optimizer", 1, MOST_AT_ONCE, "minibatch")
        in_range(self, "optimizer", 0, LARGEST, "weight_decay")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"optimizer.momentum is {self.momentum}: give a number from 0 to below 1.")


class Choice(StrEnum):
    """Which original patterns are kept.

    `REPLACED` is the paper's choice: R / i random patterns of the i-th experience take random places of the memory.
    `RANDOM` keeps equally many patterns of each class, drawn at random. `HERDING` keeps equally many patterns of each
    class, such that their mean is nearest to the mean of the class. `ALL` keeps all patterns.
    """

    REPLACED = "replaced"
    RANDOM = "random"
    HERDING = "herding"
    ALL = "all"


class Weighting(StrEnum):
    """How much replayed patterns weigh in the loss.

    With `PATTERNS` each replayed pattern weighs as much as a current one. With `EXPERIENCES` all replayed patterns of
    the N-th experience together weigh 1 - 1/N, and the current ones 1/N (van de Ven & Tolias, 2018).
    """

    PATTERNS = "patterns"
    EXPERIENCES = "experiences"


@dataclass(frozen=True)
class DegradedRecipe(Strict):
    """By how much replayed patterns are made worse, each number from 0 (not at all) to 1.

    The share `labels` of them get a label that is drawn among the classes of the memory. They move by `variety` of the
    way to their common mean. They are mixed with `noise` parts of uniform noise.
    """

    labels: float = 0.0
    variety: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        in_range(self, "degraded", 0, 1, "labels", "variety", "noise")


@dataclass(frozen=True)
class ReplayRecipe(Strict):
    """What is replayed: from which `source`, in which `mode`, and how many patterns.

    The memory holds R patterns (`memory`). `per_minibatch` of them join each minibatch. If that is None, a minibatch of
    B has round(B N / (N + R)) current patterns and the rest are replayed, so that the N patterns of the experience and
    the memory are each swept once an epoch. With `beside` the replayed patterns come on top of the B current ones.
    `through_features` False blocks the gradient of negative patterns before the feature extractor (the variant at the
    end of Section 3.3).

    `choice` says which original patterns are kept. If they are chosen class by class, `per_class` patterns of each
    class are kept, or a `memory` is divided among the classes seen. Patterns from statistics vary as their `covariance`
    says, in `rank` directions if it is of low rank. `degraded` makes patterns worse, to study what becomes of replay.
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
    covariance: Covariance = Covariance.LOW_RANK
    rank: int | None = None
    degraded: DegradedRecipe | None = None

    def __post_init__(self) -> None:
        in_range(self, "replay", 1, MOST_AT_ONCE, "per_minibatch", "per_class", "rank")
        self._check_covariance()
        if self.degraded is not None and (self.source is Source.NONE or self.choice is not Choice.REPLACED):
            raise ValueError("replay.degraded needs replayed patterns that are not chosen class by class: remove it.")
        if self.source is not Source.ORIGINAL and self.choice is not Choice.REPLACED:
            raise ValueError(f"replay.choice has no effect: replay.source is {self.source}, not original; remove it.")
        if self.per_class is not None and self.choice not in (Choice.RANDOM, Choice.HERDING):
            raise ValueError(f"replay.per_class is given, but replay.choice is {self.choice}: give random or herding.")
        if self.source is Source.NONE:
            self._check_nothing()
        else:
            self._check_memory()
        if self.beside and self.per_minibatch is None:
            raise ValueError("replay.beside is true: say how many with replay.per_minibatch.")

    def _check_covariance(self) -> None:
        """Checks that a covariance is named, and given a rank, only where it has an effect."""
        if self.source is not Source.STATISTICS:
            if self.covariance is not Covariance.LOW_RANK:
                raise ValueError(
                    f"replay.covariance has no effect: replay.source is {self.source}, not statistics; remove it."
                )
            if self.rank is not None:
                raise ValueError(f"replay.rank belongs to replay.source statistics, and it is {self.rank}: remove it.")
        elif self.covariance is Covariance.LOW_RANK:
            if self.rank is None:
                raise ValueError(
                    "replay.rank belongs to replay.source statistics, and it is None: "
                    "say in how many directions patterns vary."
                )
        elif self.rank is not None:
            raise ValueError(f"replay.rank has no effect: replay.covariance is {self.covariance}; remove it.")

    def _check_nothing(self) -> None:
        """Checks that no number of patterns is given where nothing is replayed."""
        if self.memory != 0:
            raise ValueError("replay.memory is given, but replay.source is none: name a source or set it to 0.")
        if self.per_minibatch is not None:
            raise ValueError("replay.per_minibatch is given, but replay.source is none: name a source or remove it.")
        if self.weighting is not Weighting.PATTERNS:
            raise ValueError("replay.weighting has no effect: replay.source is none; name a source or remove it.")

    def _check_memory(self) -> None:
        """Checks that the size of the memory is given once: by `choice`, by `per_class`, or by `memory`."""
        if self.choice is Choice.ALL:
            if self.memory != 0:
                raise ValueError("replay.memory has no effect: replay.choice is all; set it to 0.")
        elif self.per_class is not None:
            if self.memory != 0:
                raise ValueError("replay.memory and replay.per_class exclude one another: set memory to 0.")
        elif self.memory < 1:
            raise ValueError(f"replay.memory is {self.memory}: give 1 pattern or more, or source none.")
        in_range(self, "replay", 0, MOST_PATTERNS, "memory")
