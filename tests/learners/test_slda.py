import numpy as np
import pytest
import torch
from arms import build_any, images, learn, stream_of
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from systems import PIXELS, untrained
from torch import Tensor

from negreplay.builders.learners import build_learner
from negreplay.data.data import Tensors, example_of
from negreplay.data.digits import load_digits
from negreplay.learners import learner as learner_module
from negreplay.learners.nearest_mean import NearestMean
from negreplay.learners.slda import SLDA
from negreplay.recipe import NearestMeanRecipe, SLDARecipe
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


ROUNDING = 1e-6
"""The covariance is rounded to single precision after every minibatch."""


def all_of(data: Tensors) -> Stream:
    return Stream(data, data, [torch.arange(len(data.labels))])


def streamed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means, counts and covariance, updated by one pattern after the other."""
    means, counts = torch.zeros(CLASSES, FEATURES, dtype=torch.float64), torch.zeros(CLASSES, dtype=torch.long)
    covariance = torch.zeros(FEATURES, FEATURES, dtype=torch.float64)
    for t, (z, c) in enumerate(zip(x.double(), y.tolist(), strict=True)):
        d = z - means[c] if counts[c] else torch.zeros_like(z)
        covariance = (t * covariance + t / (t + 1) * torch.outer(d, d)) / (t + 1)
        means[c] += (z - means[c]) / (counts[c] + 1)
        counts[c] += 1
    return means, counts, covariance


@pytest.mark.parametrize("at_once", [1, 7, 40])
def test_minibatches_come_to_the_same_as_one_pattern_after_the_other(at_once):
    data = gaussian(40, 0)
    learner, x, y = system(data), data.x.flatten(1), data.labels
    for rows in torch.arange(40).split(at_once):
        learner._update(x[rows].double(), y[rows])
    means, counts, covariance = streamed(x, y)
    assert torch.equal(learner.counts, counts)
    assert torch.allclose(learner.means, means, rtol=0, atol=1e-12)
    assert torch.allclose(learner.covariance, covariance.float(), atol=ROUNDING)


def test_learning_does_not_depend_on_how_many_are_looked_at_together(monkeypatch):
    data, found = gaussian(40, 0), []
    for at_once in (3, 250):
        monkeypatch.setattr(learner_module, "AT_ONCE", at_once)
        learner = system(data)
        learn(learner, *all_of(data))
        found.append((learner.means, learner.covariance))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=ROUNDING) and one.any()


def test_it_goes_on_over_experiences():
    data = gaussian(40, 0)
    learner, parts = system(data), torch.arange(40).split(15)
    for k, experience in enumerate(Stream(data, data, parts)):
        learn(learner, experience)
        assert learner.counts.sum() == min(15 * (k + 1), 40)
    x, y = data.x.flatten(1).double(), data.labels
    means = torch.stack([x[y == c].mean(dim=0) for c in range(CLASSES)])
    assert torch.allclose(learner.means, means, rtol=0, atol=1e-12)


def test_the_first_pattern_of_a_class_says_nothing_of_the_covariance():
    data = gaussian(40, 0)
    learner = system(data)
    first = torch.tensor([int((data.labels == c).nonzero()[0]) for c in range(CLASSES)])
    learn(learner, *Stream(data, data, [first]))
    assert learner.counts.tolist() == [1, 1, 1] and not learner.covariance.any()


def test_it_is_close_to_linear_discriminant_analysis():
    train, test = gaussian(600, 1), gaussian(500, 2)
    learner = system(train, shrinkage=1e-6)
    learn(learner, *all_of(train))
    known = LinearDiscriminantAnalysis("lsqr", priors=np.full(CLASSES, 1 / CLASSES))
    known.fit(train.x.flatten(1).numpy(), train.labels.numpy())
    expected = torch.from_numpy(known.predict(test.x.flatten(1).numpy()))
    scores = learner.predict(test.x)
    assert (scores.argmax(dim=1) == expected).float().mean() > 0.98
    # Differences of scores are log odds. Early means are off, which widens the covariance by a few percent.
    odds = torch.from_numpy(known.predict_log_proba(test.x.flatten(1).numpy()))
    scores, odds = scores - scores[:, :1], odds - odds[:, :1]
    assert (scores - odds).abs().mean() < 0.05 * odds.abs().mean()
    # The covariance matters: without it another class is nearest more often.
    nearest = torch.cdist(test.x.flatten(1).double(), learner.means).argmin(dim=1)
    assert (nearest == expected).float().mean() < 0.95


def test_scores_by_hand():
    data = gaussian(4, 0)
    learner = system(data, shrinkage=0.5)
    learner.classifier.head.seen[:2] = True
    learner.means[0] = torch.tensor([2.0, 0.0, 0.0, 0.0])
    learner.means[1] = torch.tensor([0.0, 6.0, 0.0, 0.0])
    learner.covariance.copy_(torch.diag(torch.tensor([3.0, 5.0, 1.0, 1.0])))
    # The precision is 1 / ((3 + 1) / 2) = 1/2 and 1 / ((5 + 1) / 2) = 1/3: rows (1, 0) and (0, 2), biases -1 and -6.
    scores = learner.predict(torch.tensor([[[[1.5, 4.0], [9.0, 9.0]]]]))
    assert scores[0].tolist() == pytest.approx([0.5, 2.0, -torch.inf])


def test_with_full_shrinkage_it_is_the_nearest_mean():
    plain = build_any(untrained(NearestMeanRecipe(), PIXELS))
    assert isinstance(plain, NearestMean)
    learner = build_any(untrained(SLDARecipe(shrinkage=1.0), PIXELS))
    for each in (plain, learner):
        learn(each, *stream_of([0, 2], [4], [1, 3]))
    x = images().x
    # -|x - m|^2 = 2 (x m - m^2 / 2) - x^2, in which x and m may be relative to the mean of all patterns.
    centre = (plain.total.sum(dim=0) / plain.counts.sum()).float()
    expected = 2 * learner.predict(x) - (x.flatten(1) - centre).square().sum(dim=1, keepdim=True)
    assert torch.allclose(plain.predict(x), expected, atol=1e-4)


@pytest.mark.parametrize("spec", [SLDARecipe(), NearestMeanRecipe()])
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
