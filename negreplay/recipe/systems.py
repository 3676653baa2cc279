"""How a system learns and what holds it back from forgetting, as values: one class for each system.

Each has a `kind`, by which it is known in a study.json.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from negreplay.recipe.checks import Strict, at_least, check
from negreplay.recipe.learning import Phase, Weighting


class Mean(StrEnum):
    """The mean subtracted from a row before it is consolidated.

    `PER_CLASS` is the paper's (Section 3.3), `GLOBAL` the one scalar of the authors' released code.
    """

    PER_CLASS = "per-class"
    GLOBAL = "global"


class HeadKind(StrEnum):
    """`CWR_STAR` consolidates its rows (Algorithm 1), its forerunners copy them; `PLAIN` is a linear layer."""

    CWR = "cwr"
    CWR_PLUS = "cwr+"
    CWR_STAR = "cwr*"
    PLAIN = "plain"


class Outputs(StrEnum):
    """Which outputs of a plain head take part in the softmax of a training pattern.

    `ALL`; those of the classes `SEEN` so far; those of the `CURRENT` experience only (the labels trick); or those that
    arrived in the pattern's `OWN` experience, which is then to be known when the classifier is asked, too
    (task-incremental learning).
    """

    ALL = "all"
    SEEN = "seen"
    CURRENT = "current"
    OWN = "own-experience"


@dataclass(frozen=True)
class SynapticIntelligence(Strict):
    """Weights that lowered the loss much are held where they were (Tables 4 and 8)."""

    strength: float
    clip: float | None = 1e-3
    multiplier: float = 1.0
    damping: float = 1e-7
    kind: Literal["si"] = "si"

    def __post_init__(self) -> None:
        at_least(0, self, "penalty", "strength", "clip", "multiplier")
        check(self.damping > 0, f"penalty.damping is {self.damping}: give a number above 0.")


@dataclass(frozen=True)
class EWC(Strict):
    """Weights that the predictions depend on are held where they were.

    With `decay` (gamma, 0 to 1) the importances of all experiences are added up in one, the earlier ones multiplied by
    it each time (online EWC); without, each experience keeps its own. `patterns` bounds how many of an experience are
    looked at; for each of them all answers that the classifier may give count, or one that is `drawn`, which takes less
    time where classes are many.
    """

    strength: float
    decay: float | None = None
    patterns: int | None = None
    drawn: bool = False
    kind: Literal["ewc"] = "ewc"

    def __post_init__(self) -> None:
        at_least(0, self, "penalty", "strength")
        at_least(1, self, "penalty", "patterns")
        inside = self.decay is None or 0 <= self.decay <= 1
        check(inside, f"penalty.decay is {self.decay}: give a number from 0 to 1.")


@dataclass(frozen=True)
class RWalk(Strict):
    """Riemannian Walk: importances by how the predictions, and how the loss, depended on the weights.

    The Fisher information is averaged along the way, `decay` (alpha) being the weight of the newest minibatch, and the
    scores of the path are added up `every` so many steps.
    """

    strength: float
    decay: float = 0.9
    every: int = 50
    kind: Literal["rwalk"] = "rwalk"

    def __post_init__(self) -> None:
        at_least(0, self, "penalty", "strength")
        at_least(1, self, "penalty", "every")
        check(0 < self.decay <= 1, f"penalty.decay is {self.decay}: give a number above 0, up to 1.")


PenaltyRecipe = SynapticIntelligence | EWC | RWalk


@dataclass(frozen=True)
class LatentReplay(Strict):
    """Algorithm 2: its head, and the penalty on what it learns.

    CWR* head and SI: AR1; CWR* head without a penalty: AR1free; plain head: naive, or with a penalty SI, EWC and RWalk.
    """

    head: HeadKind = HeadKind.CWR_STAR
    mean: Mean = Mean.PER_CLASS
    penalty: PenaltyRecipe | None = None
    outputs: Outputs = Outputs.ALL
    kind: Literal["latent-replay"] = "latent-replay"

    def __post_init__(self) -> None:
        star, plain = self.head is HeadKind.CWR_STAR, self.head is HeadKind.PLAIN
        check(star or self.mean is Mean.PER_CLASS, f"learner.mean has no effect with head {self.head}: remove it.")
        idle = f"learner.outputs has no effect with head {self.head}: remove it, or take the plain head."
        check(plain or self.outputs is Outputs.ALL, idle)


def _distils(values: object, *names: str) -> None:
    """Checks strengths and a temperature."""
    at_least(0, values, "learner", *names)
    temperature = getattr(values, "temperature", 1.0)
    check(0 < temperature < math.inf, f"learner.temperature is {temperature}: give a number above 0.")


@dataclass(frozen=True)
class LwF(Strict):
    """Learning without Forgetting: what the old classifier says of the new patterns is kept.

    `weighting` by experiences gives the loss of the new labels 1/N and the distillation 1 - 1/N in the N-th one. With
    `against_new` the new outputs compete in the distillation, where the old classifier says 0 of them; `averaged`
    multiplies it by T^2 and divides it by the number of competing outputs.
    """

    strength: float = 1.0
    temperature: float = 2.0
    weighting: Weighting = Weighting.PATTERNS
    outputs: Outputs = Outputs.SEEN
    against_new: bool = False
    averaged: bool = False
    kind: Literal["lwf"] = "lwf"

    def __post_init__(self) -> None:
        _distils(self, "strength")
        told = self.against_new and self.outputs is Outputs.OWN
        check(not told, "learner.against_new has no effect: with own outputs the new ones never compete; remove it.")
        fits = self.outputs is not Outputs.CURRENT
        check(fits, "learner.outputs is current: LwF also trains the old ones; give all, seen or own-experience.")


@dataclass(frozen=True)
class LwM(Strict):
    """Learning without Memorizing: LwF, and where the old classifier looked is kept too.

    `layer` of the network, whose maps the attention is taken over; `attention` is the weight of their distance (gamma),
    `strength` that of the distillation (beta).
    """

    layer: str
    strength: float = 1.0
    attention: float = 1.0
    temperature: float = 2.0
    kind: Literal["lwm"] = "lwm"

    def __post_init__(self) -> None:
        _distils(self, "strength", "attention")


@dataclass(frozen=True)
class ICaRL(Strict):
    """iCaRL: sigmoid outputs, distilled; the nearest mean of exemplars predicts.

    The paper's `temperature`, by which the old network's logits are divided, is 1; its results on Split MNIST were
    published with 2.
    """

    temperature: float = 1.0
    kind: Literal["icarl"] = "icarl"

    def __post_init__(self) -> None:
        _distils(self)


@dataclass(frozen=True)
class EEIL(Strict):
    """End-to-End Incremental Learning: distillation, then a balanced fine-tuning.

    `balanced` is the phase of fine-tuning; `noise` (eta) scales the noise added to gradients.
    """

    balanced: Phase
    temperature: float = 2.0
    noise: float = 0.0
    kind: Literal["eeil"] = "eeil"

    def __post_init__(self) -> None:
        _distils(self, "noise")


@dataclass(frozen=True)
class LUCIR(Strict):
    """Learning a Unified Classifier Incrementally via Rebalancing: a cosine head, less-forget and margin ranking.

    `strength` is lambda_base of the less-forget constraint; an exemplar's true class is to be ahead of the
    `negatives` nearest new ones by `margin`.
    """

    strength: float = 5.0
    margin: float = 0.5
    negatives: int = 2
    kind: Literal["lucir"] = "lucir"

    def __post_init__(self) -> None:
        at_least(0, self, "learner", "strength", "margin")
        at_least(1, self, "learner", "negatives")


@dataclass(frozen=True)
class IL2M(Strict):
    """IL2M: fine tuning with exemplars; scores are rectified by what they were when a class was new."""

    kind: Literal["il2m"] = "il2m"


@dataclass(frozen=True)
class BiC(Strict):
    """Bias Correction: distillation, then two numbers that undo the bias towards the newest classes.

    `validation` is the share of exemplars that only teaches these two; they are learned with Adam, for so many
    `epochs` with the learning rate `lr`.
    """

    temperature: float = 2.0
    validation: float = 0.1
    epochs: int = 200
    lr: float = 1e-2
    kind: Literal["bic"] = "bic"

    def __post_init__(self) -> None:
        _distils(self, "lr")
        at_least(1, self, "learner", "epochs")
        check(0 < self.validation < 1, f"learner.validation is {self.validation}: give a number between 0 and 1.")


@dataclass(frozen=True)
class DGR(Strict):
    """Deep Generative Replay: a VAE of images, whose patterns the old classifier labels.

    `replayed` generated patterns join each minibatch, of the VAE's too. With `distil` a pattern keeps all that the old
    classifier says of it, at a `temperature`, instead of one class; `averaged` multiplies this loss by T^2 and divides
    it by the number of outputs. `width` is that of the VAE's two hidden layers.
    """

    replayed: int = 128
    distil: bool = False
    temperature: float = 2.0
    outputs: Outputs = Outputs.SEEN
    width: int = 400
    latent_dim: int = 100
    averaged: bool = False
    kind: Literal["dgr"] = "dgr"

    def __post_init__(self) -> None:
        _distils(self)
        at_least(1, self, "learner", "replayed", "width", "latent_dim")
        check(self.distil or not self.averaged, "learner.averaged has no effect: learner.distil is false; remove it.")
        plain = self.distil or self.temperature == 2.0
        check(plain, "learner.temperature has no effect: learner.distil is false; remove it.")
        fits = self.outputs is not Outputs.CURRENT
        check(fits, "learner.outputs is current: DGR also trains the old ones; give all, seen or own-experience.")


@dataclass(frozen=True)
class NearestMean(Strict):
    """The class whose mean of features is nearest; nothing is trained."""

    kind: Literal["nearest-mean"] = "nearest-mean"


@dataclass(frozen=True)
class SLDA(Strict):
    """Deep streaming linear discriminant analysis: class means and one covariance, updated pattern by pattern."""

    shrinkage: float = 1e-4
    kind: Literal["slda"] = "slda"

    def __post_init__(self) -> None:
        check(0 < self.shrinkage <= 1, f"learner.shrinkage is {self.shrinkage}: give a number above 0, up to 1.")


LearnerRecipe = LatentReplay | LwF | LwM | ICaRL | EEIL | LUCIR | IL2M | BiC | DGR | NearestMean | SLDA
