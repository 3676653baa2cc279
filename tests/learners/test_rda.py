"""Regularised discriminant analysis against a plain computation with whole matrices."""

import pytest
import torch
from arms import learn
from systems import PIXELS, untrained
from torch import Tensor

from negreplay.builders.learners import build_learner
from negreplay.data.data import Tensors, example_of
from negreplay.data.digits import load_digits
from negreplay.learners.rda import RDA
from negreplay.recipe import RDARecipe
from negreplay.streams.stream import Stream


def built(spec: RDARecipe, data: Tensors) -> RDA:
    learner = build_learner(untrained(spec, PIXELS), *example_of(data), rng=torch.Generator().manual_seed(0))
    assert isinstance(learner, RDA)
    return learner


def log_densities(spec: RDARecipe, x: Tensor, labels: Tensor, of: Tensor) -> Tensor:
    """The densities under whole covariances, of which the best approximation of the rank is taken by eigenvectors."""
    classes = labels.unique().tolist()
    means = torch.stack([x[labels == c].mean(dim=0) for c in classes])
    own, rest = [], []
    for c, mean in zip(classes, means, strict=True):
        deviations = x[labels == c] - mean
        covariance = deviations.T @ deviations / len(deviations)
        values, vectors = torch.linalg.eigh(covariance)
        factor = vectors[:, -spec.rank :] * values[-spec.rank :].clamp(min=0).sqrt()
        own.append(factor @ factor.T)
        rest.append((covariance - own[-1]).diagonal().clamp(min=0))
    within = torch.cat([x[labels == c] - mean for c, mean in zip(classes, means, strict=True)])
    common = spec.shared * within.T @ within / len(x)
    common.diagonal().add_((1 - spec.shared) * torch.stack(rest).mean(dim=0))
    variance = common.diagonal().mean() + (1 - spec.shared) * torch.stack([o.diagonal() for o in own]).mean()
    common.diagonal().add_(spec.variance * variance)
    covariances = [common + (1 - spec.shared) * o for o in own]
    densities = [
        torch.distributions.MultivariateNormal(mean, covariance).log_prob(of)
        for mean, covariance in zip(means, covariances, strict=True)
    ]
    return torch.stack(densities, dim=1)


@pytest.mark.parametrize("shared", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_scores_are_log_densities(shared: float, shift: float):
    """All directions of a class are kept, and the last ones are noise, so the sketch adds next to no error."""
    spec = RDARecipe(shared, 64, 0.2, roots=False)
    train, test = (Tensors(d.x * 16 + shift, d.labels, d.names, "moved") for d in load_digits())
    learner = built(spec, train)
    learn(learner, *Stream(train, test, torch.arange(len(train.labels)).split(400)))
    expected = log_densities(spec, train.x.flatten(1).double(), train.labels, test.x.flatten(1).double())
    scores = learner.predict(test.x).double()
    # What all densities have in common is left out: one number.
    assert torch.allclose(scores - scores[0, 0], expected - expected[0, 0], atol=2e-3 * float(expected.std()))
    assert (scores.argmax(dim=1) == test.labels).float().mean() > 0.95


def test_few_directions_are_nearly_the_best_ones():
    spec = RDARecipe(0.3, 8, 0.2, roots=False)
    train, test = load_digits()
    learner = built(spec, train)
    learn(learner, *Stream(train, test, torch.arange(len(train.labels)).split(400)))
    expected = log_densities(spec, train.x.flatten(1).double(), train.labels, test.x.flatten(1).double())
    scores = learner.predict(test.x).double()
    assert torch.corrcoef(torch.stack([scores.flatten(), expected.flatten()]))[0, 1] > 0.995
    assert (scores.argmax(dim=1) == expected.argmax(dim=1)).float().mean() > 0.99
