"""What a run is made of, as plain values.

A `Study` is what `negreplay run` takes: a few `Recipe`s (arms) and the seeds. A recipe names the stream, the
classifier, how long and how fast an experience is learned, and what is replayed in which mode. Nothing here knows
torch, so listing and showing recipes is instant; `negreplay.build` turns these values into objects.

Every class validates itself: a wrong value raises `ValueError` with a sentence that names the field and the remedy.
"""

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


class Scenario(StrEnum):
    """Which labels arrive when (Section 2, Appendix A)."""

    NI = "new-instances"
    NC = "new-classes"
    NIC = "new-instances-and-classes"


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


class Front(StrEnum):
    """When the layers up to the replay layer learn: never, in the first experience only, or always."""

    BLOCKED = "blocked"
    FIRST = "first-experience"
    TRAINED = "trained"


def _check(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def _at_least(low: int, values: object, part: str, *names: str) -> None:
    for name in names:
        value = getattr(values, name)
        _check(value is None or low <= value < math.inf, f"{part}.{name} is {value}: give {low} or more.")


class _Strict:
    """A field that a class does not know is an error when a recipe is read from JSON (see `negreplay.build`)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class StreamRecipe(_Strict):
    """What arrives. `data` is `digits` or the name of a folder or zip of images, `<split>/<class>/<image>`.

    New Classes: `first_classes` in the first experience, then `classes` at a time. New Instances: all classes, each cut
    into `parts`. New Instances and Classes: one part of `first_classes` classes, then the remaining (class, part) pairs
    one at a time. `image_size` is the side in pixels to which images are resized (None: as they are).
    """

    data: str
    scenario: Scenario
    first_classes: int = 1
    classes: int = 1
    parts: int = 1
    image_size: int | None = None

    def __post_init__(self) -> None:
        _at_least(1, self, "stream", "first_classes", "classes", "parts")
        many_parts = self.scenario is Scenario.NC or self.parts >= 2
        _check(many_parts, f"stream.parts is {self.parts}: {self.scenario} needs 2 or more.")
        _at_least(8, self, "stream", "image_size")


@dataclass(frozen=True)
class Weights(_Strict):
    """A file of pretrained weights with what belongs to it: how its network normalised, padded and activated.

    `mean` and `std` are per colour channel on images in [0, 1]; `padding` is `symmetric` or `right-bottom` (where
    stride-2 convolutions pad); `eps` is the batch norm's.
    """

    file: str
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    activation: str = "relu"
    padding: str = "symmetric"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        activations, paddings = ("relu", "relu6"), ("symmetric", "right-bottom")
        _check(self.activation in activations, f"weights.activation is {self.activation!r}: give one of {activations}.")
        _check(self.padding in paddings, f"weights.padding is {self.padding!r}: give one of {paddings}.")
        _check(min(self.std) > 0, f"weights.std is {self.std}: give three numbers above 0.")
        _check(self.eps > 0, f"weights.eps is {self.eps}: give a number above 0.")


@dataclass(frozen=True)
class Renorm(_Strict):
    """The batch-renormalisation schedule: the released AR1* values, for the paper gives none.

    In the first experience r and d open from (1, 0) to (`r_max`, `d_max`) by `opening` per pattern seen.
    """

    first_momentum: float = 0.01
    momentum: float = 5e-5
    r_max: float = 1.25
    d_max: float = 0.5
    opening: float = 4.1e-5

    def __post_init__(self) -> None:
        for name in ("first_momentum", "momentum"):
            value = getattr(self, name)
            _check(0 <= value <= 1, f"renorm.{name} is {value}: give a number from 0 to 1.")
        _at_least(1, self, "renorm", "r_max")
        _at_least(0, self, "renorm", "d_max", "opening")


@dataclass(frozen=True)
class ClassifierRecipe(_Strict):
    """The network: `backbone` (`mobilenet_v1` or `small`), cut after its layer named `replay_layer`."""

    backbone: str
    replay_layer: str
    front: Front = Front.BLOCKED
    width: float = 1.0
    weights: Weights | None = None
    renorm: Renorm | None = field(default_factory=Renorm)

    def __post_init__(self) -> None:
        _check(self.width > 0, f"classifier.width is {self.width}: give a number above 0.")


@dataclass(frozen=True)
class Phase(_Strict):
    """How one experience trains the classifier: epochs, and the learning rates of phi (features) and psi (head).

    With `lr_features` 0 the feature extractor is blocked (CWR* after its first experience).
    """

    epochs: int
    lr_features: float
    lr_head: float

    def __post_init__(self) -> None:
        _at_least(1, self, "phase", "epochs")
        _at_least(0, self, "phase", "lr_features", "lr_head")


@dataclass(frozen=True)
class ReplayRecipe(_Strict):
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
            _check(self.memory == 0, "replay.memory is given, but replay.source is none: name a source or set it to 0.")
        else:
            _check(self.memory >= 1, f"replay.memory is {self.memory}: give 1 pattern or more, or source none.")
        _at_least(1, self, "replay", "per_minibatch")


@dataclass(frozen=True)
class GeneratorRecipe(_Strict):
    """The conditional VAE (Section 4.1, Appendices D and G) and how long an experience trains it.

    Either `epochs`, or `first_iterations` and `iterations` (the first experience and each later one), with minibatches
    of `minibatch` patterns of which `per_minibatch` are replayed (None: in proportion, as for the classifier).
    `body` is `conv` or `dense`, `width` its number of channels or units.
    """

    body: str = "dense"
    width: int = 512
    latent_dim: int = 100
    beta: float = 0.1
    eta: float = 0.01
    lr: float = 2e-3
    minibatch: int = 128
    per_minibatch: int | None = None
    epochs: int | None = None
    first_iterations: int | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        _check(self.body in ("conv", "dense"), f"generator.body is {self.body!r}: give conv or dense.")
        _at_least(1, self, "generator", "width", "latent_dim", "minibatch", "epochs", "first_iterations", "iterations")
        _at_least(0, self, "generator", "beta", "eta", "lr")
        counted = self.first_iterations is not None and self.iterations is not None
        _check(
            counted != (self.epochs is not None) and (counted or self.first_iterations is self.iterations),
            "generator needs either epochs, or both first_iterations and iterations.",
        )
        share = self.per_minibatch
        _check(
            share is None or 1 <= share < self.minibatch,
            f"generator.per_minibatch is {share}: give 1 to {self.minibatch - 1}, fewer than generator.minibatch.",
        )


@dataclass(frozen=True)
class SynapticIntelligence(_Strict):
    """The penalty that holds the feature extractor back (Tables 4 and 8)."""

    strength: float
    clip: float = 1e-3
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        _at_least(0, self, "penalty", "strength", "clip", "multiplier")


@dataclass(frozen=True)
class LearnerRecipe(_Strict):
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
        _at_least(1, self, "learner", "minibatch")
        _at_least(0, self, "learner", "weight_decay")
        _check(0 <= self.momentum < 1, f"learner.momentum is {self.momentum}: give a number from 0 to below 1.")
        plain_mean = self.head is HeadKind.CWR or self.mean is Mean.PER_CLASS
        _check(plain_mean, "learner.mean has no effect with the plain head: remove it, or take the cwr* head.")


@dataclass(frozen=True)
class Recipe(_Strict):
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
        _check(plain, f"{arm}name: give letters, digits, '.', '-' and '_' only, a letter or digit first.")
        _at_least(1, self, f"arm {self.name!r}", "evaluate_every")
        generated = self.replay.source is Source.GENERATED
        _check(generated or self.generator is None, f"{arm}generator has no effect: replay.source is not generated.")
        _check(not generated or self.generator is not None, f"{arm}replay.source is generated: describe the generator.")
        _check(
            share is None or share < self.learner.minibatch,
            f"{arm}replay.per_minibatch is {share}: give fewer than learner.minibatch ({self.learner.minibatch}).",
        )
        moving = self.classifier.front is Front.TRAINED and self.replay.source is not Source.NONE
        _check(not moving, f"{arm}classifier.front is trained: replayed latents would go stale; block the front.")
        positive = self.replay.mode is Mode.POSITIVE and not self.replay.through_features
        _check(not positive, f"{arm}replay.through_features is false: this holds for negative replay only.")


@dataclass(frozen=True)
class Study(_Strict):
    """What `negreplay run` takes: arms that are compared, and the seeds that each is repeated with."""

    name: str
    summary: str
    recipes: tuple[Recipe, ...]
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        _check(len(self.recipes) >= 1, "study.recipes is empty: give at least one arm.")
        _check(len(self.seeds) >= 1, "study.seeds is empty: give at least one seed.")
        inside = all(0 <= seed < 2**32 for seed in self.seeds)  # what NumPy takes
        _check(inside, f"study.seeds is {self.seeds}: give numbers from 0 to 4294967295.")
        _check(len(set(self.seeds)) == len(self.seeds), f"study.seeds is {self.seeds}: give each seed once.")
        names = [recipe.name for recipe in self.recipes]
        _check(len(set(names)) == len(names), f"study.recipes has two arms of one name: {names}.")
