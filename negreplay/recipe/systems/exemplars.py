"""Systems that need exemplars, as values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from negreplay.recipe.checks import LARGEST, MOST_AT_ONCE, MOST_EPOCHS, above_zero, in_range
from negreplay.recipe.learning import PhaseRecipe
from negreplay.recipe.systems.system import SystemRecipe


@dataclass(frozen=True)
class ICaRLRecipe(SystemRecipe):
    """iCaRL: sigmoid outputs are distilled, and the nearest mean of exemplars predicts.

    `temperature` divides the logits of the old network. It is 1 in the paper. The results on Split MNIST in the
    literature were obtained with 2.
    """

    explains: ClassVar[str] = (
        "Earlier outputs are preserved; the class with the nearest mean of kept patterns is predicted."
    )
    temperature: float = 1.0
    kind: Literal["icarl"] = "icarl"

    def __post_init__(self) -> None:
        above_zero(self, "learner", "temperature")


@dataclass(frozen=True)
class EEILRecipe(SystemRecipe):
    """End-to-End Incremental Learning: distillation, then a balanced fine-tuning.

    `balanced` is the phase of fine-tuning. `temperature` divides the logits in the distillation. `noise` (eta) scales
    the noise that is added to gradients.
    """

    explains: ClassVar[str] = "Earlier outputs are preserved, then equally many patterns of each class are learned."
    balanced: PhaseRecipe
    temperature: float = 2.0
    noise: float = 0.0
    kind: Literal["eeil"] = "eeil"

    def __post_init__(self) -> None:
        in_range(self, "learner", 0, LARGEST, "noise")
        above_zero(self, "learner", "temperature")


@dataclass(frozen=True)
class LUCIRRecipe(SystemRecipe):
    """Learning a Unified Classifier Incrementally via Rebalancing: a cosine head, less-forget and margin ranking.

    `strength` is lambda_base of the less-forget constraint. The margin ranking asks that the true class of an exemplar
    is ahead of the `negatives` nearest new classes by `margin`.
    """

    explains: ClassVar[str] = "Features keep their direction, and old classes are held apart from new ones."
    rectified: ClassVar[bool] = False
    strength: float = 5.0
    margin: float = 0.5
    negatives: int = 2
    kind: Literal["lucir"] = "lucir"

    def __post_init__(self) -> None:
        in_range(self, "learner", 0, LARGEST, "strength", "margin")
        in_range(self, "learner", 1, MOST_AT_ONCE, "negatives")


@dataclass(frozen=True)
class IL2MRecipe(SystemRecipe):
    """IL2M: fine tuning with exemplars, then the scores of a class are scaled to those that it had when it was new."""

    explains: ClassVar[str] = "Scores of old classes are scaled to what they were when the class was new."
    kind: Literal["il2m"] = "il2m"


@dataclass(frozen=True)
class BiCRecipe(SystemRecipe):
    """Bias Correction: distillation, then two numbers that undo the bias towards the newest classes.

    `temperature` divides the logits in the distillation. The two numbers are learned with Adam, for `epochs` with the
    learning rate `lr`, from the share `validation` of the exemplars, from which nothing else is learned.
    """

    explains: ClassVar[str] = (
        "Earlier outputs are preserved, then two numbers undo the bias towards the newest classes."
    )
    temperature: float = 2.0
    validation: float = 0.1
    epochs: int = 200
    lr: float = 1e-2
    kind: Literal["bic"] = "bic"

    def __post_init__(self) -> None:
        in_range(self, "learner", 0, LARGEST, "lr")
        above_zero(self, "learner", "temperature")
        in_range(self, "learner", 1, MOST_EPOCHS, "epochs")
        if not 0 < self.validation < 1:
            raise ValueError(f"learner.validation is {self.validation}: give a number between 0 and 1.")
