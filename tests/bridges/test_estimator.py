"""What the estimator does beside scikit-learn's conventions: classes that come later, images, pickles, mistakes."""

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import validation
from systems import CONV

from negreplay.bridges.estimator import NegreplayClassifier
from negreplay.recipe import CLOSED_FORM, KLDARecipe, RanPACRecipe, RDARecipe, SLDARecipe

SMALL = {"klda": KLDARecipe(units=300), "ranpac": RanPACRecipe(units=300)}
EVERY = pytest.mark.parametrize("name", CLOSED_FORM)
PIXELS, DIGITS = load_digits(return_X_y=True)
TRAIN, LABELS = PIXELS[::3] / 16, DIGITS[::3]
TEST, ANSWERS = PIXELS[1::3] / 16, DIGITS[1::3]
WORDS = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


def made(name: str = "rda", **parameters: Any) -> NegreplayClassifier:
    return NegreplayClassifier(SMALL.get(name, name), **parameters)


def taught(estimator: NegreplayClassifier, *digits: int) -> NegreplayClassifier:
    rows = np.isin(LABELS, digits)
    return estimator.partial_fit(TRAIN[rows], LABELS[rows])


@EVERY
def test_the_order_of_calls_changes_nothing_but_rounding(name: str):
    whole = made(name).fit(TRAIN, LABELS)
    scores = whole.decision_function(TEST)
    assert whole.score(TEST, ANSWERS) > 0.85
    shuffled = made(name)
    for rows in np.array_split(np.random.default_rng(0).permutation(len(TRAIN)), 7):
        shuffled.partial_fit(TRAIN[rows], LABELS[rows])
    for other in (
        taught(taught(made(name), 0, 1, 2, 3, 4), 5, 6, 7, 8, 9),
        taught(taught(taught(made(name), 9), 7, 3, 5), 8, 0, 6, 2, 4, 1),
        shuffled,
    ):
        assert other.classes_.tolist() == list(range(10))
        assert np.allclose(other.decision_function(TEST), scores, rtol=1e-4, atol=2e-3 * scores.std())
        assert (other.predict(TEST) == whole.predict(TEST)).mean() > 0.995


@EVERY
def test_a_copy_predicts_and_learns_on_to_the_bit(name: str, tmp_path: Path):
    first = taught(made(name, seed=3), 0, 1, 5)
    joblib.dump(first, tmp_path / "estimator")
    for other in (pickle.loads(pickle.dumps(first)), copy.deepcopy(first), joblib.load(tmp_path / "estimator")):
        assert np.array_equal(other.predict_proba(TEST), first.predict_proba(TEST))
        more, after = taught(other, 2, 5), taught(copy.deepcopy(first), 2, 5)
        assert np.array_equal(more.decision_function(TEST), after.decision_function(TEST))
    fresh: Any = clone(first)
    assert not hasattr(fresh, "classes_") and fresh.get_params() == first.get_params()


def test_a_choice_by_random_patterns_goes_on_after_a_pickle_as_without_one():
    first = taught(NegreplayClassifier(RanPACRecipe(units=100, ridge=None)), 0, 1)
    other = pickle.loads(pickle.dumps(first))
    assert np.array_equal(taught(first, 2, 3).predict_proba(TEST), taught(other, 2, 3).predict_proba(TEST))


def test_a_pickle_holds_no_tensor_but_bytes_of_safetensors():
    data = pickle.dumps(taught(made(), 0, 1))
    assert b"torch" not in data and b"means.offsets" in data


@EVERY
def test_classes_of_any_labels_that_are_announced_or_not(name: str):
    few = LABELS < 3
    estimator = made(name).partial_fit(TRAIN[few], WORDS[LABELS[few]], classes=["two", "seven"])
    assert estimator.classes_.tolist() == ["one", "seven", "two", "zero"]
    chances = estimator.predict_proba(TEST)
    assert np.isfinite(chances).all() and np.allclose(chances.sum(axis=1), 1)
    assert (chances[:, 1] == 0).all() and (estimator.decision_function(TEST)[:, 1] == -np.inf).all()
    assert "seven" not in estimator.predict(TEST)
    estimator.partial_fit(TRAIN[~few], WORDS[LABELS[~few]])
    assert estimator.classes_.tolist() == sorted(WORDS)
    assert estimator.score(TEST, WORDS[ANSWERS]) > 0.85
    assert estimator.fit(TRAIN[few], LABELS[few]).classes_.tolist() == [0, 1, 2]


@EVERY
@pytest.mark.parametrize("scale", [1e-12, 1.0, 9e14])
def test_probabilities_are_finite_however_far_a_pattern_lies(name: str, scale: float):
    estimator = made(name).partial_fit(TRAIN[:50], LABELS[:50], classes=range(12))
    chances = estimator.predict_proba(scale * np.array([np.ones(64), -np.ones(64), *np.eye(64)]))
    assert np.isfinite(chances).all() and np.allclose(chances.sum(axis=1), 1)
    assert (chances[:, ~np.isin(np.arange(12), LABELS[:50])] == 0).all()


def test_one_class_and_one_sample():
    estimator = made().fit(TRAIN[:1], ["only"])
    assert estimator.predict(TEST[:2]).tolist() == ["only", "only"]
    assert estimator.predict_proba(TEST[:2]).tolist() == [[1.0], [1.0]]


def test_it_works_within_scikit_learn():
    pipeline = make_pipeline(StandardScaler(), made())
    assert cross_val_score(pipeline, TRAIN, LABELS, cv=3).mean() > 0.9
    choices = [SLDARecipe(shrinkage=1.0), RDARecipe(rank=4), "nearest-mean"]
    search: Any = GridSearchCV(pipeline, {"negreplayclassifier__learner": choices}, cv=2).fit(TRAIN, LABELS)
    assert search.best_params_["negreplayclassifier__learner"] in choices and search.score(TEST, ANSWERS) > 0.9


def test_images_go_through_a_network():
    images, answers = TRAIN.reshape(-1, 1, 8, 8), TEST.reshape(-1, 1, 8, 8)
    estimator = NegreplayClassifier("slda", classifier=CONV).fit(images, LABELS)
    assert estimator.score(answers, ANSWERS) > 0.85 and estimator.learner_.inputs == 256
    data = pickle.dumps(estimator)
    assert np.array_equal(pickle.loads(data).predict_proba(answers), estimator.predict_proba(answers))
    assert not estimator.__sklearn_tags__().input_tags.two_d_array
    for wrong, sentence in (
        (answers[:, :, :7], r"shape \(1, 7, 8\): give \(1, 8, 8\), as at first"),
        (answers * 255, r"from 0 to 255: give images with values from 0 to 1"),
        (TEST, r"give images as \(n, channels, height, width\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            estimator.predict(wrong)
        with pytest.raises(ValueError, match=sentence):
            estimator.partial_fit(wrong, ANSWERS)
    estimator._parameters["seed"] = 1
    with pytest.raises(ValueError, match=r"^the network is not the one with which this estimator has learned: put"):
        copy.deepcopy(estimator)


class Table(np.ndarray):
    """An array whose columns have names, as far as scikit-learn asks a table for them."""


def test_names_of_columns_are_kept_and_compared(monkeypatch: pytest.MonkeyPatch):
    named = TRAIN.view(Table)
    names = [f"pixel{i}" for i in range(64)]
    monkeypatch.setattr(validation, "_get_feature_names", lambda x: np.array(names) if isinstance(x, Table) else None)
    estimator: Any = made().fit(named, LABELS)
    assert estimator.feature_names_in_.tolist() == names and estimator.n_features_in_ == 64
    assert pickle.loads(pickle.dumps(estimator)).feature_names_in_.tolist() == names
    names = names[::-1]
    with pytest.raises(ValueError, match="must be in the same order"):
        estimator.partial_fit(named, LABELS)


WRONG_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"learner": "rdda"}, r"^there is no learner 'rdda': did you mean 'rda'\?$"),
    ({"learner": 3}, r"^learner is 3: give one of nearest-mean, slda, .*, or a value of its recipe\.$"),
    ({"learner": SLDARecipe(mirrored=True)}, r"^learner\.mirrored is for images: set it to false"),
    ({"seed": 1.5}, r"^seed is 1\.5: give a whole number"),
    ({"seed": -1}, r"^seed is -1: give a whole number"),
    ({"device": "gpu"}, r"^device is 'gpu', which cannot be used here: give cpu\.$"),
]


@pytest.mark.parametrize(("parameters", "sentence"), WRONG_PARAMETERS)
def test_a_wrong_parameter_is_refused_by_fit(parameters: dict[str, Any], sentence: str):
    estimator = NegreplayClassifier(**parameters)
    with pytest.raises(ValueError, match=sentence):
        estimator.fit(TRAIN, LABELS)
    with pytest.raises(NotFittedError):
        estimator.predict(TEST)


def test_a_wrong_network_is_refused_by_fit():
    images = TRAIN.reshape(-1, 1, 8, 8)
    for classifier, sentence in (
        ("small", r"^classifier is 'small': give a ClassifierRecipe, or None for feature vectors\.$"),
        (replace(CONV, backbone="smal"), r"^classifier\.backbone is 'smal': give "),
        (replace(CONV, replay_layer="conv9"), "conv9"),
    ):
        with pytest.raises(ValueError, match=sentence):
            NegreplayClassifier(classifier=classifier).fit(images, LABELS)


def test_parameters_that_change_between_calls_are_refused():
    estimator = taught(made(), 0, 1).set_params(learner="slda")
    before = estimator.predict_proba(TEST)
    with pytest.raises(ValueError, match=r"^parameters have changed since the first patterns came: set them back, or"):
        taught(estimator, 2)
    assert np.array_equal(estimator.predict_proba(TEST), before)
    assert np.array_equal(pickle.loads(pickle.dumps(estimator)).predict_proba(TEST), before)
    assert estimator.fit(TRAIN, LABELS).score(TEST, ANSWERS) > 0.9


def test_wrong_patterns_are_refused_and_change_nothing():
    estimator = taught(made(), 0, 1, 2)
    before = estimator.predict_proba(TEST)
    holes, large = TRAIN.copy(), TRAIN.copy()
    holes[3, 4], large[3, 4] = np.nan, 1e16
    for x, y, sentence in (
        (holes, LABELS, "contains NaN"),
        (large, LABELS, r"^X holds numbers of size 1e\+15 or more: scale it first"),
        (csr_array(TRAIN), LABELS, "parse|dense"),
        (TRAIN[:, :9], LABELS, "9 features, but NegreplayClassifier is expecting 64"),
        (TRAIN, WORDS[LABELS], "Mix of label input types"),
        (TRAIN, LABELS + 0.5, "Unknown label type"),
        (TRAIN, LABELS[:-1], "inconsistent numbers of samples"),
        (TRAIN.reshape(-1, 1, 8, 8), LABELS, "dim 4"),
    ):
        with pytest.raises((ValueError, TypeError), match=sentence):
            estimator.partial_fit(x, y)
    assert np.array_equal(estimator.predict_proba(TEST), before)


def test_what_fits_no_class_is_unfamiliar():
    estimator = made().fit(TRAIN, LABELS)
    odd = np.random.default_rng(0).random((50, 64))
    known, unknown = (
        estimator.learner_.familiarity(estimator.learner_.features(torch.tensor(x).float(), encoded=False))
        for x in (TEST, odd)
    )
    assert known.median() > unknown.median()
