import numpy as np
import pytest
import torch
from arms import build_any, images, learn, stream_of
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from systems import PIXELS, untrained

from negreplay.builders.learners import build_learner
from negreplay.data.data import Tensors, example_of
from negreplay.data.digits import load_digits
from negreplay.learners import closed_form
from negreplay.learners.nearest_mean import NearestMean
from negreplay.learners.slda import SLDA
from negreplay.recipe import FeCAMRecipe, NearestMeanRecipe, SLDARecipe
from negreplay.streams.stream import Stream

CLASSES, FEATURES = 3, 4


def gaussian(n: int, seed: int) -> Tensors:
    """Three classes of one covariance, which overlap, as images of 2 x 2 pixels."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=rng)
    spread = torch.tensor([[1.0, 0.8, 0.0, 0.0], [0.0, 0.6, 0.0, 0.3], [0.0, 0.0, 0.5, -0.4], [0.0, 0.0, 0.0, 0.7]])
    means = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 0.5, 0.0], [-1.0, 1.0, 0.5, 1.0]])
    x = torch.randn(n, FEATURES, generator=rng) @ spread + means[labels]
    return Tensors(x.reshape(n, 1, 2, 2), labels, ("a", "b", "c"), "test")


def system(data: Tensors, shrinkage: float = 1e-4, seed: int = 0) -> SLDA:
    rng = torch.Generator().manual_seed(seed)
    learner = build_learner(untrained(SLDARecipe(shrinkage), PIXELS), *example_of(data), rng=rng)
    assert isinstance(learner, SLDA)
    return learner


def all_of(data: Tensors) -> Stream:
    return Stream(data, data, [torch.arange(len(data.labels))])


def test_the_covariance_is_that_around_the_means_of_classes(monkeypatch):
    data, x, y = gaussian(40, 0), gaussian(40, 0).x.flatten(1).double(), gaussian(40, 0).labels
    means = torch.stack([x[y == c].mean(dim=0) for c in range(CLASSES)])
    covariance = (x - means[y]).T @ (x - means[y]) / 40
    for at_once in (3, 250):
        monkeypatch.setattr(closed_form, "AT_ONCE", at_once)
        learner = system(data)
        learn(learner, *Stream(data, data, torch.arange(40).split(15)))
        assert torch.allclose(learner.means.means, means, atol=1e-6)
        assert torch.allclose(learner.covariance, covariance, atol=1e-6)


def test_the_first_pattern_of_a_class_says_nothing_of_the_covariance():
    data = gaussian(40, 0)
    learner = system(data)
    first = torch.tensor([int((data.labels == c).nonzero()[0]) for c in range(CLASSES)])
    learn(learner, *Stream(data, data, [first]))
    assert learner.means.counts.tolist() == [1, 1, 1] and not learner.covariance.any()


def test_it_is_linear_discriminant_analysis():
    """Of scikit-learn, in a stream of three experiences. Differences of scores are log odds."""
    train, test = gaussian(600, 1), gaussian(500, 2)
    learner = system(train, shrinkage=1e-9)
    learn(learner, *Stream(train, train, torch.arange(600).split(250)))
    y = train.labels.numpy()
    priors = np.bincount(y) / len(y)
    known = LinearDiscriminantAnalysis("lsqr", priors=priors).fit(train.x.flatten(1).numpy(), y)
    odds = torch.from_numpy(known.predict_log_proba(test.x.flatten(1).numpy())) - torch.from_numpy(priors).log()
    scores = learner.predict(test.x)
    scores, odds = scores - scores[:, :1], odds - odds[:, :1]
    assert torch.allclose(scores.double(), odds, atol=1e-3)
    # The covariance matters: without it another class is nearest more often.
    nearest = torch.cdist(test.x.flatten(1).double(), learner.means.means).argmin(dim=1)
    assert (nearest == odds.argmax(dim=1)).float().mean() < 0.95


def test_scores_by_hand():
    data = gaussian(4, 0)
    learner = system(data, shrinkage=0.5)
    learner.classifier.head.seen[:2] = True
    learner.means.counts[:2] = 1
    learner.means.offsets[0] = torch.tensor([2.0, 0.0, 0.0, 0.0])
    learner.means.offsets[1] = torch.tensor([0.0, 6.0, 0.0, 0.0])
    learner.scatter.add(torch.diag(torch.tensor([6.0, 10.0, 2.0, 2.0]).sqrt()))  # of two patterns
    # The precision is 1 / ((3 + 1) / 2) = 1/2 and 1 / ((5 + 1) / 2) = 1/3: rows (1, 0) and (0, 2), biases -1 and -6.
    # The scores of (1.5, 4) are then 0.5 and 2.
    scores = learner.predict(torch.tensor([[[[1.5, 4.0], [9.0, 9.0]]]]))
    assert float(scores[0, 1] - scores[0, 0]) == pytest.approx(1.5) and scores[0, 2] == -torch.inf


def test_with_full_shrinkage_it_is_the_nearest_mean():
    plain = build_any(untrained(NearestMeanRecipe(), PIXELS))
    assert isinstance(plain, NearestMean)
    learner = build_any(untrained(SLDARecipe(shrinkage=1.0), PIXELS))
    for each in (plain, learner):
        learn(each, *stream_of([0, 2], [4], [1, 3]))
    x = images().x
    # -|x - m|^2 = 2 (x m - m^2 / 2) - x^2, in which x and m may be relative to the mean of all patterns.
    centre = plain.means.mean.float()
    expected = 2 * learner.predict(x) - (x.flatten(1) - centre).square().sum(dim=1, keepdim=True)
    assert torch.allclose(plain.predict(x), expected, atol=1e-4)


@pytest.mark.parametrize("spec", [SLDARecipe(), NearestMeanRecipe(), FeCAMRecipe(roots=False)])
@pytest.mark.parametrize("shift", [10, 1000, -100000])
def test_features_may_lie_anywhere(spec, shift):
    """The pixels of digits are whole numbers, to which a shift adds no rounding of its own."""
    scores = []
    for moved in (0, shift):
        train, test = (Tensors(d.x * 16 + moved, d.labels, d.names, "moved") for d in load_digits())
        rng = torch.Generator().manual_seed(0)
        learner = build_learner(untrained(spec, PIXELS), *example_of(train), rng=rng)
        learn(learner, *Stream(train, test, torch.arange(len(train.labels)).split(500)))
        scores.append(learner.predict(test.x))
        assert (scores[-1].argmax(dim=1) == test.labels).float().mean() > 0.9
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-3)
