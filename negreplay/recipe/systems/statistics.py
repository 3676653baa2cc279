"""Systems that keep statistics of features and train nothing, or in the first experience only, as values."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from negreplay.recipe.checks import LARGEST, above_zero, in_range
from negreplay.recipe.systems.system import Replays, SystemRecipe

MOST_UNITS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ClosedFormRecipe(SystemRecipe):
    """What is done with features before they are counted.

    With `roots` their square roots are taken (of the size of a number, whose sign stays). With `mirrored` each pattern
    is counted twice, the second time mirrored left to right; patterns must be images or maps for this.

    If the arm has a `first` phase, the network is trained in the first experience and blocked then.
    """

    replays: ClassVar[Replays] = Replays.NOTHING
    trains: ClassVar[bool] = False
    adapts: ClassVar[bool] = True
    stays: ClassVar[str] = "Nothing of it stays."
    front_learns: ClassVar[bool] = True
    roots: bool = False
    mirrored: bool = False


@dataclass(frozen=True)
class NearestMeanRecipe(ClosedFormRecipe):
    """The class whose mean of features is nearest is predicted."""

    explains: ClassVar[str] = "The nearest mean of a class's features decides."
    kind: Literal["nearest-mean"] = "nearest-mean"


@dataclass(frozen=True)
class SLDARecipe(ClosedFormRecipe):
    """Streaming linear discriminant analysis: the mean of each class, and one covariance around them.

    `shrinkage` is the weight of the identity in the covariance before it is inverted.
    """

    stays: ClassVar[str] = "Only in the covariance that all classes share does something of it stay."
    explains: ClassVar[str] = "Means of classes and how features vary around them are kept, and decide."
    shrinkage: float = 1e-4
    kind: Literal["slda"] = "slda"

    def __post_init__(self) -> None:
        _check_shrinkage(self.shrinkage)


@dataclass(frozen=True)
class KLDARecipe(ClosedFormRecipe):
    """Kernel LDA: linear discriminant analysis of `units` random Fourier features.

    These stand for a Gaussian kernel exp(-`gamma` |x - y|^2) of feature vectors of length 1. `shrinkage` is the weight
    of the identity, times the mean of the covariance's diagonal, before the covariance is inverted.
    """

    stays: ClassVar[str] = "Only in the covariance that all classes share does something of it stay."
    explains: ClassVar[str] = "Means of random Fourier features and how these vary around them are kept, and decide."
    units: int = 5000
    gamma: float = 2.0
    shrinkage: float = 0.01
    kind: Literal["klda"] = "klda"

    def __post_init__(self) -> None:
        _check_shrinkage(self.shrinkage)
        in_range(self, "learner", 1, MOST_UNITS, "units")
        above_zero(self, "learner", "gamma")


@dataclass(frozen=True)
class FeCAMRecipe(ClosedFormRecipe):
    """The class whose normal distribution of features fits best, each class with a covariance of its own.

    `variance` and `covariance` are the paper's gamma_1 and gamma_2: so many times the mean variance are added to the
    diagonal, and so many times the mean covariance beside it. With `roots` features are Tukey's, their square roots.
    """

    explains: ClassVar[str] = "The mean and the covariance of each class's features are kept, and decide."
    variance: float = 1.0
    covariance: float = 1.0
    roots: bool = field(default=True, kw_only=True)
    kind: Literal["fecam"] = "fecam"

    def __post_init__(self) -> None:
        above_zero(self, "learner", "variance")
        in_range(self, "learner", 0, LARGEST, "covariance")


@dataclass(frozen=True)
class RDARecipe(ClosedFormRecipe):
    """Regularised discriminant analysis: each class has a covariance that is partly its own, of low rank.

    The share `shared` of it is the mean covariance of all classes. The rest is the class's own one in `rank`
    directions. `variance` + f / n times the mean variance is added to the diagonal, f being the numbers of a feature
    vector and n how many have come. With `roots` square roots of features are taken.
    """

    stays: ClassVar[str] = "Only in the covariance that all classes share does something of it stay."
    explains: ClassVar[str] = (
        "Means of classes, how features vary around all of them and in which directions around each, are kept, and "
        "decide."
    )
    shared: float = 0.75
    rank: int = 32
    variance: float = 0.1
    roots: bool = field(default=True, kw_only=True)
    kind: Literal["rda"] = "rda"

    def __post_init__(self) -> None:
        in_range(self, "learner", 0, 1, "shared")
        in_range(self, "learner", 1, MOST_UNITS, "rank")
        above_zero(self, "learner", "variance")


@dataclass(frozen=True)
class RidgeRecipe(ClosedFormRecipe):
    """Ridge regression of features on the classes' indicators.

    The penalty is `ridge` times the mean of the Gram matrix's diagonal, so that it grows with what has been counted.
    """

    stays: ClassVar[str] = "Only in the sums of products that all classes share does something of it stay."
    explains: ClassVar[str] = "A regression of the classes on features decides; sums of products are kept for it."
    ridge: float = 0.01
    kind: Literal["ridge"] = "ridge"

    def __post_init__(self) -> None:
        above_zero(self, "learner", "ridge")


@dataclass(frozen=True)
class RanPACRecipe(ClosedFormRecipe):
    """Ridge regression of the classes on `units` random projections of features, of which negative ones are set to 0.

    The penalty is `ridge` times the mean of the Gram matrix's diagonal. With `ridge` None it is chosen as in the paper,
    anew in each experience, from powers of ten by the error on a fifth of the experience's patterns; then the order in
    which patterns come matters. With `orthogonal` the directions of projection are orthogonal.
    """

    stays: ClassVar[str] = "Only in the sums of products that all classes share does something of it stay."
    explains: ClassVar[str] = (
        "A regression of the classes on random projections of features decides; sums of products are kept for it."
    )
    units: int = 10_000
    ridge: float | None = 0.01
    orthogonal: bool = False
    kind: Literal["ranpac"] = "ranpac"

    def __post_init__(self) -> None:
        in_range(self, "learner", 1, MOST_UNITS, "units")
        if self.ridge is not None:
            above_zero(self, "learner", "ridge")


CLOSED_FORM = {
    system.kind: system
    for system in (NearestMeanRecipe, SLDARecipe, KLDARecipe, FeCAMRecipe, RDARecipe, RidgeRecipe, RanPACRecipe)
}
"""These systems by their names."""


def _check_shrinkage(shrinkage: float) -> None:
    if not 0 < shrinkage <= 1:
        raise ValueError(f"learner.shrinkage is {shrinkage}: give a number above 0, up to 1.")
