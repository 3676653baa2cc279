"""The closed-form learners as a classifier of scikit-learn."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load, save
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from torch.nn import functional as F

from negreplay.bridges.example import example_on
from negreplay.builders.learners import build_learner
from negreplay.devices import Device
from negreplay.errors import UserError, suggest
from negreplay.learners.closed_form import ClosedForm
from negreplay.nets.classifier import fingerprint
from negreplay.recipe import CLOSED_FORM, ClassifierRecipe, ClosedFormRecipe, Recipe
from negreplay.replay.exemplars import AT_ONCE
from negreplay.statistics import LARGEST
from negreplay.streams.stream import experience

FEATURES = ClassifierRecipe("pixels", "input", renorm=None)
"""The network that gives back what it takes."""
NETWORK = ("classifier.front.", "classifier.back.")
"""What the names of a network's state begin with; it is blocked, so that the parameters alone rebuild it."""
RANDOM_STATE = "random_state"
EXTREME = 1e38
"""The size of a score at most, so that differences of scores are finite too."""


class NegreplayClassifier(ClassifierMixin, BaseEstimator):
    """A closed-form learner with scikit-learn's conventions, which new classes may reach in any call.

    It sees each pattern once and keeps sums. So `fit` of everything, and `partial_fit` of its parts in any order, end
    the same but for rounding. Only a `RanPACRecipe` with `ridge` None depends on the order.

    X holds feature vectors (n, features), or with a `classifier` images (n, channels, height, width) with values from
    0 to 1. It is computed with in single precision: features that vary little around a large number should be centred
    first, as `StandardScaler` does. All of scikit-learn's checks of estimators pass.

    Pickles hold the parameters and the sums, as a safetensors file in bytes, but no network, which is rebuilt from the
    parameters: its file of weights must be in its place.

    Args:
        learner: `nearest-mean`, `slda`, `klda`, `fecam`, `rda`, `ridge` or `ranpac`; or a value of its recipe, such as
            `RDARecipe(rank=8)` from `negreplay.recipe`.
        seed: draws random projections, and the weights of a network that no file gives.
        classifier: a `ClassifierRecipe`: the network that makes features of images, which never learns. With None X
            holds features.
        weights: the folder of files of weights.
        device: where it computes, such as `cpu` or `cuda`.

    Attributes:
        classes_: all labels that have come or were announced, sorted; columns of scores follow them.
        n_features_in_: how many features a vector has; for images, how many channels.
        feature_names_in_: the names of columns, where X had names that are strings.
        learner_: the learner itself, whose `familiarity` tells what fits no class.
    """

    # The signature takes any value, as scikit-learn demands; `fit` refuses wrong ones.
    def __init__(
        self,
        learner: Any = "rda",
        seed: Any = 0,
        classifier: Any = None,
        weights: Any = "weights",
        device: Any = "cpu",
    ) -> None:
        self.learner = learner
        self.seed = seed
        self.classifier = classifier
        self.weights = weights
        self.device = device

    def fit(self, X: Any, y: Any) -> "NegreplayClassifier":
        """Forgets all that was learned before, and learns these patterns.

        Args:
            X: feature vectors (n, features), or images (n, channels, height, width).
            y: n labels, numbers or strings.

        Raises:
            ValueError: a parameter, X or y is wrong.
        """
        return self._learn(X, y, None, afresh=True)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> "NegreplayClassifier":
        """Learns these patterns beside those that came before; classes that are new may come.

        Args:
            X: feature vectors (n, features), or images (n, channels, height, width).
            y: n labels, numbers or strings.
            classes: labels to announce, which need not be all. Until patterns of it come, such a class has its place in
                `classes_`, the probability 0 and the score minus infinity, and is never predicted.

        Raises:
            ValueError: X or y is wrong, or a parameter is, or has changed since the first patterns came.
        """
        return self._learn(X, y, classes, afresh=not hasattr(self, "learner_"))

    def predict(self, X: Any) -> Any:
        """The label of each pattern.

        Raises:
            ValueError: X is wrong, or nothing has been learned (a `NotFittedError`).
        """
        best = self._scores(X).argmax(dim=1).numpy()
        return self.classes_[best]

    def predict_proba(self, X: Any) -> Any:
        """The probabilities of the classes, an array (n, classes), in the order of `classes_`.

        They are honest as far as the model is right, which it is least for `ridge` and `ranpac`: wrap these in a
        `CalibratedClassifierCV` where probabilities matter.

        Raises:
            ValueError: as for `predict`.
        """
        return (self._scores(X).double() / self.learner_.temperature.item()).softmax(dim=1).numpy()

    def decision_function(self, X: Any) -> Any:
        """The scores of the classes, an array (n, classes); of two classes by how much the second one's is higher (n).

        Raises:
            ValueError: as for `predict`.
        """
        scores = self._scores(X)
        return (scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores).numpy()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "learner_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.classifier is None
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # pyright: ignore[reportAssignmentType]
        if "learner_" not in state:
            return state
        plain = {name: value for name, value in state.items() if name != "learner_"}
        return plain | {"_sums": _sums_of(self.learner_), "_network": _network_of(self.learner_)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        plain = dict(state)
        sums, network = plain.pop("_sums", None), plain.pop("_network", None)
        super().__setstate__(plain)
        if sums is None:
            return
        learner = _build(self._shape, len(self.classes_), **self._parameters)
        if _network_of(learner) != network:
            raise ValueError(
                "the network is not the one with which this estimator has learned: put its file of weights back into "
                f"{self._parameters['weights']}."
            )
        _restore(learner, sums)
        self.learner_ = learner

    def _learn(self, X: Any, y: Any, classes: Any, afresh: bool) -> "NegreplayClassifier":
        parameters = self.get_params(deep=False)
        if not afresh and parameters != self._parameters:
            raise ValueError("parameters have changed since the first patterns came: set them back, or call fit.")
        x, y = self._checked(X, parameters["classifier"], afresh, y=y)
        check_classification_targets(y)
        labels = unique_labels(*([] if afresh else [self.classes_]), *([] if classes is None else [classes]), y)
        shape = tuple(x.shape[1:])
        if afresh:
            learner = _build(shape, len(labels), **parameters)
        elif len(labels) > len(self.classes_):
            places = np.searchsorted(labels, self.classes_)
            learner = self.learner_.with_classes(torch.from_numpy(places), len(labels))
        else:
            learner = self.learner_
        with _errors_of_values():
            for _ in learner.learn(experience(x, torch.from_numpy(np.searchsorted(labels, y)), len(labels))):
                pass
        self.classes_, self.learner_, self._shape, self._parameters = labels, learner, shape, parameters
        return self

    def _checked(self, X: Any, classifier: Any, reset: bool, **y: Any) -> Any:
        """X as images, and beside it y, where this is given."""
        images = classifier is not None
        checked: Any = validate_data(self, X, reset=reset, dtype=np.float32, ensure_2d=not images, allow_nd=images, **y)
        x, *labels = checked if y else (checked,)
        if not images:
            if np.abs(x).max() >= LARGEST:
                raise ValueError(f"X holds numbers of size {LARGEST:g} or more: scale it first.")
            x = x[:, np.newaxis, np.newaxis]
        elif x.ndim != 4:
            raise ValueError(
                f"X has the shape {x.shape}: give images as (n, channels, height, width), or classifier=None for "
                "feature vectors."
            )
        elif x.min() < 0 or x.max() > 1:
            raise ValueError(f"X holds values from {x.min():g} to {x.max():g}: give images with values from 0 to 1.")
        if not reset and x.shape[1:] != self._shape:
            raise ValueError(f"X holds images of the shape {x.shape[1:]}: give {self._shape}, as at first.")
        return torch.tensor(x), *labels

    def _scores(self, X: Any) -> Float[Tensor, "n classes"]:
        """Scores in main memory, in single precision; minus infinity for classes that have not come."""
        check_is_fitted(self)
        (x,) = self._checked(X, self._parameters["classifier"], reset=False)
        scores = torch.cat([self._block(part) for part in x.split(AT_ONCE)])
        # What lies beyond single precision, far from all classes, still gets a finite score.
        scores = scores.nan_to_num(nan=-EXTREME).clamp(-EXTREME, EXTREME)
        return scores.masked_fill(~self.learner_.classifier.head.seen, -torch.inf).cpu()

    def _block(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n classes"]:
        """Scores of a few patterns, from blocks of one size: rounding does not depend on how many come together."""
        features = self.learner_.features(x, encoded=False)
        return self.learner_.score(F.pad(features, (0, 0, 0, AT_ONCE - len(x))))[: len(x)]


def _build(
    shape: tuple[int, ...], classes: int, *, learner: Any, seed: Any, classifier: Any, weights: Any, device: Any
) -> ClosedForm[Any]:
    """The learner that an estimator's parameters describe, before its first pattern.

    Args:
        shape: of one image, or of one feature vector as an image.
        classes: how many classes there will be.
        learner: this and the others are as in `NegreplayClassifier`.
        seed: as there.
        classifier: as there.
        weights: as there.
        device: as there.

    Raises:
        ValueError: a parameter is wrong.
    """
    if isinstance(learner, str):
        if learner not in CLOSED_FORM:
            raise ValueError(f"there is no learner {learner!r}: {suggest(learner, list(CLOSED_FORM))}")
        learner = CLOSED_FORM[learner]()
    if not isinstance(learner, ClosedFormRecipe):
        raise ValueError(f"learner is {learner!r}: give one of {', '.join(CLOSED_FORM)}, or a value of its recipe.")
    if classifier is None and learner.mirrored:
        raise ValueError("learner.mirrored is for images: set it to false, or give a classifier.")
    if not isinstance(classifier, ClassifierRecipe | None):
        raise ValueError(f"classifier is {classifier!r}: give a ClassifierRecipe, or None for feature vectors.")
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise ValueError(f"seed is {seed!r}: give a whole number from 0 to 4294967295.")
    chosen: Any = learner  # one of the closed-form systems, which are in the union of all systems
    recipe = Recipe("estimator", None, classifier or FEATURES, learner=chosen)
    with _errors_of_values():
        example = example_on(device, shape)
        built = build_learner(
            recipe, example, classes, seed=int(seed), weights=Path(weights), device=Device(str(device))
        )
    assert isinstance(built, ClosedForm), "the recipe is of closed form"
    return built


def _sums_of(learner: ClosedForm[Any]) -> bytes:
    """What a learner has counted and the state of its random generator, as a safetensors file."""
    state = {name: value for name, value in learner.state_dict().items() if not name.startswith(NETWORK)}
    state[RANDOM_STATE] = learner.rng.get_state()
    return save({name: value.detach().cpu().contiguous() for name, value in state.items()})


def _restore(learner: ClosedForm[Any], sums: bytes) -> None:
    """Gives a learner back what `_sums_of` has written."""
    state = load(sums)
    learner.rng.set_state(state.pop(RANDOM_STATE))
    network = {name: value for name, value in learner.state_dict().items() if name.startswith(NETWORK)}
    learner.load_state_dict(state | network)


def _network_of(learner: ClosedForm[Any]) -> str:
    """A name that changes with the network that makes features."""
    return fingerprint(learner.classifier.front) + fingerprint(learner.classifier.back)


@contextmanager
def _errors_of_values() -> Iterator[None]:
    """Makes a user's mistake a ValueError, which it is by scikit-learn's conventions."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error
