"""Systems that keep statistics of features and train nothing, as values."""

from dataclasses import dataclass
from typing import Literal

from negreplay.recipe.checks import Strict, check


@dataclass(frozen=True)
class NearestMeanRecipe(Strict):
    """The class whose mean of features is nearest; nothing is trained."""

    kind: Literal["nearest-mean"] = "nearest-mean"


@dataclass(frozen=True)
class SLDARecipe(Strict):
    """Deep streaming linear discriminant analysis: class means and one covariance, updated pattern by pattern."""

    shrinkage: float = 1e-4
    kind: Literal["slda"] = "slda"

    def __post_init__(self) -> None:
        check(0 < self.shrinkage <= 1, f"learner.shrinkage is {self.shrinkage}: give a number above 0, up to 1.")
