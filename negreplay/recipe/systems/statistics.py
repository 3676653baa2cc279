"""Systems that keep statistics of features and train nothing, as values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from negreplay.recipe.systems.system import Replays, SystemRecipe


@dataclass(frozen=True)
class NearestMeanRecipe(SystemRecipe):
    """The nearest class mean: nothing is trained, and the class with the nearest mean of features is predicted."""

    explains: ClassVar[str] = "Nothing is trained: the class with the nearest mean of features is predicted."
    replays: ClassVar[Replays] = Replays.NOTHING
    trains: ClassVar[bool] = False
    kind: Literal["nearest-mean"] = "nearest-mean"


@dataclass(frozen=True)
class SLDARecipe(SystemRecipe):
    """Deep streaming linear discriminant analysis: class means and one covariance are updated pattern by pattern.

    `shrinkage` is the weight of the identity in the covariance before it is inverted.
    """

    explains: ClassVar[str] = "Nothing is trained but the means of classes and how features vary around them."
    replays: ClassVar[Replays] = Replays.NOTHING
    trains: ClassVar[bool] = False
    shrinkage: float = 1e-4
    kind: Literal["slda"] = "slda"

    def __post_init__(self) -> None:
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"learner.shrinkage is {self.shrinkage}: give a number above 0, up to 1.")
