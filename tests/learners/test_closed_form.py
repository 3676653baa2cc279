"""What closed-form learners promise: the order changes nothing, scores are finite, odd features are no trouble."""

from dataclasses import replace

import pytest
import torch
from arms import CLASSES, build_any, images, learn, stream_of
from systems import CLOSED_FORM, CONV, MLP, PIXELS, untrained
from torch import Tensor

from negreplay.builders.learners import build_learner
from negreplay.data.data import Tensors, example_of
from negreplay.data.digits import load_digits
from negreplay.errors import UserError
from negreplay.learners import closed_form, ridge
from negreplay.learners.closed_form import ClosedForm, best_temperature
from negreplay.learners.fecam import FeCAM
from negreplay.learners.ranpac import PENALTIES, RanPAC
from negreplay.learners.ridge import solve
from negreplay.recipe import (
    FeCAMRecipe,
    KLDARecipe,
    LearnerRecipe,
    PhaseRecipe,
    RanPACRecipe,
    SLDARecipe,
)
from negreplay.statistics import Triangle
from negreplay.streams.stream import Stream

EVERY = pytest.mark.parametrize("name", CLOSED_FORM)


def built(spec: LearnerRecipe, data: Tensors) -> ClosedForm:
    learner = build_learner(untrained(spec, PIXELS), *example_of(data), rng=torch.Generator().manual_seed(0))
    assert isinstance(learner, ClosedForm)
    return learner


def as_images(x: Tensor, labels: Tensor, classes: int = 3) -> Tensors:
    """Feature vectors of four numbers, as images of 2 x 2 pixels."""
    return Tensors(x.reshape(-1, 1, 2, 2), labels, tuple("abcdefgh"[:classes]), "test")


@EVERY
def test_the_order_changes_nothing(name: str):
    """A stream of new instances and classes, shuffled, ends as one of new classes does."""
    train, test = load_digits()
    by_class = [torch.isin(train.labels, torch.arange(c, c + 2)).nonzero().flatten() for c in range(0, 10, 2)]
    shuffled = torch.randperm(len(train.labels), generator=torch.Generator().manual_seed(1)).split(100)
    scores = []
    for rows in (by_class, shuffled):
        learner = built(CLOSED_FORM[name], train)
        learn(learner, *Stream(train, test, rows))
        scores.append(learner.predict(test.x))
    assert torch.allclose(scores[0], scores[1], atol=2e-3 * float(scores[0].std()), rtol=1e-4)
    assert (scores[0].argmax(dim=1) == test.labels).float().mean() > 0.9


@EVERY
def test_odd_features_are_no_trouble(name: str):
    """Features are constant, depend on one another, or are large; a class has one pattern; labels skip some."""
    rng = torch.Generator().manual_seed(0)
    column = torch.randn(12, 1, generator=rng)
    labels = torch.tensor([0] * 5 + [2] * 6 + [1])
    for x in (
        torch.ones(12, 4),
        column @ torch.tensor([[1.0, 2.0, 3.0, 4.0]]),
        1e12 * torch.randn(12, 4, generator=rng),
        1e-12 * torch.randn(12, 4, generator=rng),
        torch.zeros(12, 4),
    ):
        data = as_images(x, labels, 8)
        learner = built(CLOSED_FORM[name], data)
        learn(learner, *Stream(data, data, torch.arange(12).split(5)))
        scores = learner.predict(data.x)
        assert scores[:, :3].isfinite().all() and (scores[:, 3:] == -torch.inf).all()


@EVERY
def test_what_is_solved_is_neither_saved_nor_counted_as_kept(name: str):
    train, _ = load_digits()
    learner = built(CLOSED_FORM[name], train)
    learn(learner, *Stream(train, train, [torch.arange(200)]))
    state, kept = set(learner.state_dict()), learner.kept_bytes
    learner.predict(train.x[:3])
    learner.familiarity(learner.features(train.x[:3], encoded=False))
    assert set(learner.state_dict()) == state and learner.kept_bytes == kept


@EVERY
def test_one_image_is_enough(name: str):
    data = as_images(torch.rand(1, 4), torch.tensor([1]))
    learner = built(CLOSED_FORM[name], data)
    learn(learner, *Stream(data, data, [torch.tensor([0])]))
    assert learner.predict(data.x).argmax(dim=1).tolist() == [1]
    assert learner.probabilities(data.x).tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, 1e20])
def test_features_that_are_no_numbers_are_refused(wrong: float):
    x = torch.rand(6, 4)
    x[4, 2] = wrong
    data = as_images(x, torch.tensor([0, 0, 0, 1, 1, 1]))
    learner = built(SLDARecipe(), data)
    stream = Stream(data, data, torch.arange(6).split(3))
    learn(learner, stream[0])
    sentence = r"^experience 2 gives features that are not finite or larger than 1e\+15: look at its images and at the"
    with pytest.raises(UserError, match=sentence):
        learn(learner, stream[1])


def test_mirrored_patterns_are_counted_beside_the_others(monkeypatch: pytest.MonkeyPatch):
    data = images()
    mirrored = Tensors(torch.cat([data.x, data.x.flip(-1)]), data.labels.repeat(2), data.names, "mirrored")
    one, other = built(SLDARecipe(mirrored=True), data), built(SLDARecipe(), data)
    monkeypatch.setattr(closed_form, "AT_ONCE", 7)
    learn(one, *stream_of([0, 2], [1]))
    rows = torch.isin(mirrored.labels, torch.tensor([0, 1, 2])).nonzero().flatten()
    learn(other, *Stream(mirrored, mirrored, [rows]))
    assert torch.allclose(one.predict(data.x), other.predict(data.x), rtol=1e-3, atol=1e-2)


def test_what_is_no_map_cannot_be_mirrored():
    recipe = untrained(SLDARecipe(mirrored=True), replace(MLP, replay_layer="fc1"))
    with pytest.raises(UserError, match=r"^learner.mirrored has no effect: classifier.replay_layer gives no maps"):
        build_any(recipe)
    recipe = untrained(SLDARecipe(), replace(MLP, replay_layer="fc1"), PhaseRecipe(1, 0.1, 0.1, mirrored=True))
    with pytest.raises(UserError, match=r"^phase.mirrored has no effect: classifier.replay_layer gives no maps"):
        build_any(recipe)


def test_the_first_experience_alone_adapts_the_network():
    recipe = untrained(RanPACRecipe(units=80), CONV, PhaseRecipe(2, 0.05, 0.05))
    learner, states = build_any(recipe), []
    for experience in (None, *stream_of([0, 2], [4])):
        if experience is not None:
            learn(learner, experience)
        states.append({name: p.clone() for name, p in learner.classifier.back.named_parameters()})
    before, adapted, after = states
    assert all(not torch.equal(before[name], adapted[name]) for name in before)
    assert all(torch.equal(adapted[name], after[name]) for name in before)


def test_steps_of_adaptation_come_before_those_that_count():
    recipe = untrained(SLDARecipe(), CONV, PhaseRecipe(2, 0.05, 0.05))
    steps = learn(build_any(recipe), *stream_of([0, 2]))
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2), (12, 12)]


def test_a_temperature_makes_probabilities_honest():
    """Scores that are three times too large are as often right as they say, when divided by three."""
    rng = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 5, generator=rng).double()
    labels = torch.multinomial(honest.softmax(dim=1), 1, generator=rng).flatten()
    assert best_temperature(3 * honest, labels) == pytest.approx(3, rel=0.05)


def test_probabilities_are_calibrated_by_patterns_that_were_not_learned():
    train, test = load_digits()
    learner = built(SLDARecipe(), train)
    rows = torch.arange(len(train.labels))
    stream = Stream(train, test, [rows[:400]])
    learn(learner, *stream)
    x, y = test.x, test.labels
    before = -learner.probabilities(x)[torch.arange(len(y)), y].clamp(min=1e-12).log().mean()
    learner.calibrate(Stream(train, test, [rows[400:]])[0].data)
    probabilities = learner.probabilities(x)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(x)))
    assert -probabilities[torch.arange(len(y)), y].clamp(min=1e-12).log().mean() < before
    assert torch.equal(probabilities.argmax(dim=1), learner.predict(x).argmax(dim=1))


def test_ranpac_is_a_ridge_regression_in_double_precision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ridge, "DIRECT", 100)  # so that the refined solution is taken
    train, test = load_digits()
    learner = built(RanPACRecipe(units=600, ridge=1e-3), train)
    assert isinstance(learner, RanPAC)
    learn(learner, *Stream(train, test, torch.arange(len(train.labels)).split(300)))
    matrix = learner.map.matrix.double()
    h, g = ((data.x.flatten(1).double() @ matrix).relu() for data in (train, test))
    gram = h.T @ h
    gram.diagonal().add_(1e-3 * gram.diagonal().mean())
    expected = g @ torch.linalg.solve(gram, h.T @ torch.eye(10).double()[train.labels])
    assert torch.allclose(learner.predict(test.x).double(), expected, atol=1e-3)


@pytest.mark.parametrize("penalty", [10.0, 1e-3, 1e-9])
def test_a_large_system_is_solved_as_in_double_precision(penalty: float, monkeypatch: pytest.MonkeyPatch):
    """At the smallest penalty single precision fails, and double precision steps in."""
    monkeypatch.setattr(ridge, "DIRECT", 10)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(50, 30, generator=rng).double() @ torch.diag(torch.logspace(0, -4, 30).double())
    gram, sums = Triangle(30), torch.randn(30, 2, generator=rng).double()
    gram.add(x)
    whole = gram.whole() + penalty * torch.eye(30)
    assert torch.allclose(solve(gram, sums, penalty), torch.linalg.solve(whole, sums), rtol=1e-6)


def test_the_papers_penalty_has_the_least_error_on_a_fifth():
    train, test = load_digits()
    learner = built(RanPACRecipe(units=300, ridge=None), train)
    assert isinstance(learner, RanPAC)
    drawn, rows = learner.rng.clone_state(), torch.arange(200)
    learn(learner, *Stream(train, test, [rows]))
    h = (train.x[torch.randperm(200, generator=drawn)].flatten(1) @ learner.map.matrix).relu().double()
    drawn = torch.Generator().manual_seed(0)
    torch.randint(2**62, (), generator=drawn)
    y = torch.eye(10).double()[train.labels[torch.randperm(200, generator=drawn)]]
    errors = []
    for penalty in PENALTIES:
        gram = h[:160].T @ h[:160] + penalty * torch.eye(300)
        weights = torch.linalg.lstsq(gram, h[:160].T @ y[:160], driver="gelsd").solution
        errors.append(float((h[160:] @ weights - y[160:]).square().sum()))
    assert learner.penalty() == PENALTIES[min(range(17), key=errors.__getitem__)]


def test_more_units_than_memory_are_refused_before_anything_is_learned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ridge, "free_bytes", lambda _: 5_000_000)
    with pytest.raises(
        UserError,
        match=r"^learner.units is 3000: this needs 90 MB of memory, of which 5 MB are free; give fewer units.$",
    ):
        built(RanPACRecipe(units=3000), images())


def test_products_of_random_fourier_features_are_a_gaussian_kernel():
    learner = built(KLDARecipe(units=20_000, gamma=1.5), images())
    x = torch.nn.functional.normalize(torch.rand(6, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    lifted = learner.lift(x)
    kernel = torch.exp(-1.5 * torch.cdist(x, x).square())
    assert torch.allclose(lifted @ lifted.T, kernel, atol=0.03)
    assert torch.allclose(learner.lift(7 * x), lifted, atol=1e-5), "only directions count"


def test_fecam_by_hand():
    """Two features; a class whose features vary along the diagonal reaches further along it."""
    spec = FeCAMRecipe(variance=0.5, covariance=0.25, roots=False)
    data = Tensors(
        torch.tensor([[1.0, 1], [-1, -1], [1, -1], [-1, 1], [1, 1], [-1, -1]]).reshape(6, 1, 1, 2),
        torch.tensor([0, 0, 0, 0, 1, 1]),
        ("round", "long"),
        "test",
    )
    learner = built(spec, data)
    learn(learner, *Stream(data, data, [torch.arange(6)]))
    # Round: covariance I, shrunk 1.5 I, correlations I. Long: all 1; V1 = V2 = 1, so 1.5 and 1.25; correlation 5/6.
    scores = learner.predict(torch.tensor([[[[3.0, 3.0]]], [[[3.0, -3.0]]]]))
    assert scores[:, 0].tolist() == pytest.approx([-9.0, -9.0])
    assert scores[:, 1].tolist() == pytest.approx([-9 / (1 + 5 / 6), -9 / (1 - 5 / 6)], rel=1e-5)


def test_fecam_scores_by_distances_in_double_precision():
    train, test = load_digits()
    learner = built(FeCAMRecipe(), train)
    assert isinstance(learner, FeCAM)
    learn(learner, *Stream(train, test, (train.labels != 4).nonzero().flatten().split(500)))
    scores, x = learner.predict(test.x).double(), test.x.flatten(1).sqrt().double()
    for c in (0, 3, 5, 9):
        deviations = x - train.x.flatten(1).sqrt().double()[train.labels == c].mean(dim=0)
        solved = torch.linalg.solve(learner.correlations(c), deviations.T).T
        assert torch.allclose(scores[:, c], -(deviations * solved).sum(dim=1) / 2, rtol=1e-5)
    assert (scores[:, 4] == -torch.inf).all()


def test_all_classes_seen_are_scored():
    learner = build_any(untrained(FeCAMRecipe(), PIXELS))
    learn(learner, *stream_of([0, 2], [4]))
    assert learner.predict(images().x).isfinite().sum(dim=0).tolist() == [30 * (c in (0, 2, 4)) for c in range(CLASSES)]
