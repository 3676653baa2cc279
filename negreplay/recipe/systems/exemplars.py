"""Systems that need exemplars, as values."""

from dataclasses import dataclass
from typing import Literal

from negreplay.recipe.checks import Strict, at_least, check, distils
from negreplay.recipe.learning import PhaseRecipe


@dataclass(frozen=True)
class ICaRLRecipe(Strict):
    """iCaRL: sigmoid outputs, distilled; the nearest mean of exemplars predicts.

    The paper's `temperature`, by which the old network's logits are divided, is 1; its results on Split MNIST were
    published with 2.
    """

    temperature: float = 1.0
    kind: Literal["icarl"] = "icarl"

    def __post_init__(self) -> None:
        distils(self)


@dataclass(frozen=True)
class EEILRecipe(Strict):
    """End-to-End Incremental Learning: distillation, then a balanced fine-tuning.

    `balanced` is the phase of fine-tuning; `noise` (eta) scales the noise added to gradients.
    """

    balanced: PhaseRecipe
    temperature: float = 2.0
    noise: float = 0.0
    kind: Literal["eeil"] = "eeil"

    def __post_init__(self) -> None:
        distils(self, "noise")


@dataclass(frozen=True)
class LUCIRRecipe(Strict):
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
class IL2MRecipe(Strict):
    """IL2M: fine tuning with exemplars; scores are rectified by what they were when a class was new."""

    kind: Literal["il2m"] = "il2m"


@dataclass(frozen=True)
class BiCRecipe(Strict):
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
        distils(self, "lr")
        at_least(1, self, "learner", "epochs")
        check(0 < self.validation < 1, f"learner.validation is {self.validation}: give a number between 0 and 1.")
