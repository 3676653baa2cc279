import torch
from arms import build_any, images, learn, stream_of
from sklearn.neighbors import NearestCentroid
from systems import PIXELS, untrained
from torch import Tensor

from negreplay.learners import closed_form
from negreplay.learners.nearest_mean import NearestMean
from negreplay.recipe import NearestMeanRecipe as Spec
from negreplay.streams.stream import Stream


def system(*experiences) -> NearestMean:
    learner = build_any(untrained(Spec(), PIXELS))
    assert isinstance(learner, NearestMean)
    learn(learner, *experiences)
    return learner


def noisy() -> Tensor:
    return images().x + torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_it_is_the_nearest_centroid_whatever_the_experiences():
    x, y = images().x.flatten(1), images().labels
    for stream in (stream_of([0, 1, 2, 3, 4]), stream_of([3], [0, 4], [1, 2])):
        expected = NearestCentroid().fit(x.numpy(), y.numpy()).predict(noisy().flatten(1).numpy())
        assert system(*stream).predict(noisy()).argmax(dim=1).tolist() == expected.tolist()
    assert set(expected.tolist()) == {0, 1, 2, 3, 4}


def test_a_score_is_minus_the_squared_distance_to_the_mean():
    learner = system(*stream_of([0, 2]))
    scores = learner.predict(noisy())
    for c in (0, 2):
        mean = images().x[images().labels == c].mean(dim=0)
        expected = -(noisy() - mean).square().flatten(1).sum(dim=1)
        assert torch.allclose(scores[:, c], expected, rtol=1e-4)


def test_all_patterns_of_a_class_weigh_the_same_in_whatever_experience_they_come():
    data = images()
    rows = (data.labels == 1).nonzero().flatten()
    learner = system(*Stream(data, data, [rows[:1], rows[1:4]]))
    expected = -(noisy() - data.x[rows[:4]].mean(dim=0)).square().flatten(1).sum(dim=1)
    assert torch.allclose(learner.predict(noisy())[:, 1], expected, rtol=1e-4)


def test_it_does_not_depend_on_how_many_are_looked_at_together(monkeypatch):
    states = []
    for at_once in (1, 4, 250):
        monkeypatch.setattr(closed_form, "AT_ONCE", at_once)
        states.append(system(*stream_of([0, 2], [4])).means.means[[0, 2, 4]])
    assert torch.allclose(states[0], states[2], rtol=1e-6) and torch.allclose(states[1], states[2], rtol=1e-6)


def test_steps_count_patterns():
    steps = learn(system(), *stream_of([0, 2], [4]))
    assert [(step.done, step.total) for step in steps] == [(12, 12), (6, 6)]
