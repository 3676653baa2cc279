import copy

import pytest
import torch
from arms import build, images, learn, stream_of
from states import same, state_of
from systems import CONV, arm, plain
from torch import Tensor
from torch.nn import functional as F
from whole import linear

from negreplay import recipe
from negreplay.data.data import Tensors, View
from negreplay.learners.ewc import EWC, fisher
from negreplay.learners.penalties import Penalty
from negreplay.nets.classifier import Classifier
from negreplay.recipe import Outputs


def view(n: int = 7, features: int = 4, classes: int = 3, seed: int = 0) -> View:
    rng = torch.Generator().manual_seed(seed)
    x, y = torch.rand(n, 1, 1, features, generator=rng), torch.arange(n) % classes
    return View(Tensors(x, y, tuple("abcde"), "test"), torch.arange(n))


def held(classifier: Classifier, rng: torch.Generator | None = None, **options) -> EWC:
    return EWC(classifier.parameters(), recipe.EWCRecipe(**options), rng or torch.Generator().manual_seed(0))


def analytic(classifier: Classifier, data: View) -> list[Tensor]:
    """Of softmax regression: E[(1[y = c] - p_c)^2] = p_c (1 - p_c), for a weight times x^2."""
    x = data.data.read(data.rows).flatten(1)
    head = classifier.head
    p = head(x).masked_fill(~head.competing(data.labels), -torch.inf).softmax(dim=1).detach()
    spread = p * (1 - p)
    return [torch.einsum("nc,nf->cf", spread, x.square()) / len(x), spread.mean(dim=0)]


def close(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.allclose(f, e, rtol=1e-4, atol=1e-8) for f, e in zip(found, expected, strict=True))


def moved(classifier: Classifier, seed: int) -> None:
    """As if it had learned: every weight goes somewhere else."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter += torch.randn(parameter.shape, generator=rng)


def value(penalty: Penalty) -> float:
    penalty.start()
    loss = penalty.loss()
    return loss.item() if isinstance(loss, Tensor) else loss


def gradients(penalty: Penalty, classifier: Classifier) -> list[Tensor]:
    penalty.start()
    loss = penalty.loss()
    assert isinstance(loss, Tensor)
    return list(torch.autograd.grad(loss, list(classifier.parameters())))


@pytest.mark.parametrize("n", [1, 7, 130], ids=["one", "a few", "more than fit at once"])
def test_the_fisher_diagonal_of_softmax_regression(n):
    classifier, data = linear(4, 3, 0, 1, 2), view(n)
    found = fisher(classifier, data, list(classifier.parameters()))
    assert close(found, analytic(classifier, data))


def test_outputs_that_do_not_compete_are_left_out():
    classifier, data = linear(4, 5, 0, 1, 2), view()
    weights, biases = fisher(classifier, data, list(classifier.parameters()))
    assert not weights[3:].any() and not biases[3:].any()
    assert close([weights, biases], analytic(classifier, data))


def test_with_own_outputs_each_pattern_has_competitors_of_its_own():
    classifier, data = linear(4, 4, 0, 1, 2, 3, outputs=Outputs.OWN), view(8, classes=4)
    classifier.get_buffer("head.arrived").copy_(torch.tensor([0, 0, 1, 1]))
    found = fisher(classifier, data, list(classifier.parameters()))
    assert close(found, analytic(classifier, data))
    # Within a pair p and 1 - p spread equally; among all four they would not.
    assert found[1][0].item() == pytest.approx(found[1][1].item(), rel=1e-5)


def test_the_fisher_diagonal_of_a_deep_network_pattern_by_pattern():
    learner = build(arm(plain(), classifier=CONV))
    stream = stream_of([0, 2], [4])
    learn(learner, stream[0])
    classifier, data = learner.classifier, View(images(), torch.tensor([0, 7, 13]))
    parameters = list(classifier.parameters())
    before = state_of(classifier)
    found = fisher(classifier.train(), data, parameters)
    # Batch norm in evaluation: patterns do not see one another, and the statistics stay.
    assert same(state_of(classifier), before)
    expected = [torch.zeros_like(parameter) for parameter in parameters]
    for x in images().x[data.rows]:
        log_p = classifier.eval().decide(x.unsqueeze(0))[:, [0, 2]].log_softmax(dim=1)[0]
        for likelihood in log_p:
            each = torch.autograd.grad(likelihood, parameters, retain_graph=True)
            for total, gradient in zip(expected, each, strict=True):
                total += likelihood.exp().detach() * gradient.square() / len(data)
    assert close(found, expected)


def test_one_drawn_answer_of_each_pattern_gives_the_same_on_average():
    classifier, data = linear(4, 3, 0, 1, 2), view(8)
    rng = torch.Generator().manual_seed(0)
    parameters, often = list(classifier.parameters()), 400
    draws = [fisher(classifier, data, parameters, rng) for _ in range(often)]
    assert not all(close(draws[0], draw) for draw in draws[1:5])
    for each, expected in zip(zip(*draws, strict=True), analytic(classifier, data), strict=True):
        found = torch.stack(each)
        assert ((found.mean(dim=0) - expected).abs() < 4 * found.std(dim=0) / often**0.5).all()


def test_of_one_pattern_one_drawn_answer_is_the_square_of_its_gradient():
    classifier, data = linear(4, 3, 0, 1, 2), view(1)
    weights, biases = fisher(classifier, data, list(classifier.parameters()), torch.Generator().manual_seed(0))
    x = data.data.read(data.rows).flatten(1)
    p = classifier.head(x).softmax(dim=1)[0]
    possible = [(F.one_hot(torch.tensor(y), 3) - p).square() for y in range(3)]
    (drawn,) = [square for square in possible if torch.allclose(square, biases, rtol=1e-4)]
    assert torch.allclose(weights, drawn.outer(x[0].square()), rtol=1e-4)


def test_a_recipe_may_have_answers_drawn():
    classifier, data = linear(4, 3, 0, 1, 2), view()
    penalty = held(classifier, torch.Generator().manual_seed(5), strength=1.0, drawn=True)
    rng = torch.Generator().manual_seed(5)
    rows = torch.randperm(len(data), generator=rng)
    penalty.finish(classifier, data)
    parameters = list(classifier.parameters())
    assert close(list(penalty.total), fisher(classifier, View(data.data, data.rows[rows]), parameters, rng))


def test_only_the_weights_that_are_asked_for_are_looked_at():
    classifier, data = linear(4, 3, 0, 1, 2), view()
    (bias,) = fisher(classifier, data, list(classifier.parameters())[1:])
    assert close([bias], analytic(classifier, data)[1:])


def test_one_quadratic_pulls_like_the_sum_of_one_for_each_experience():
    classifier = linear(4, 5, 0, 1, 2)  # two outputs never compete: nothing is known of their rows
    penalty, terms = held(classifier, strength=3.0), []
    for k in range(3):
        moved(classifier, k)
        data = view(seed=k)
        terms.append((analytic(classifier, data), copy.deepcopy(list(classifier.parameters()))))
        penalty.finish(classifier, data)
    moved(classifier, 9)
    pulls = gradients(penalty, classifier)
    for i, (pull, weight) in enumerate(zip(pulls, classifier.parameters(), strict=True)):
        expected = sum(3.0 * f[i] * (weight - then[i]) for f, then in terms)
        assert torch.allclose(pull, torch.as_tensor(expected), rtol=1e-3, atol=1e-6)
        assert pull.abs().max() > 0.1


def test_online_ewc_lets_earlier_importances_decay_and_keeps_the_newest_weights():
    classifier, data, other = linear(4, 3, 0, 1, 2), view(), view(5, seed=1)
    penalty = held(classifier, strength=3.0, decay=0.25)
    first = analytic(classifier, data)
    penalty.finish(classifier, data)
    moved(classifier, 0)
    second, then = analytic(classifier, other), copy.deepcopy(list(classifier.parameters()))
    penalty.finish(classifier, other)
    assert close(list(penalty.total), [0.25 * f + s for f, s in zip(first, second, strict=True)])
    assert all(torch.equal(a, w) for a, w in zip(penalty.anchor, then, strict=True))


def test_the_loss_is_half_the_strength_times_importance_times_the_square_of_the_way():
    classifier = linear(1, 1, 0)
    penalty = held(classifier, strength=8.0)
    assert value(penalty) == 0.0
    with torch.no_grad():
        for total, anchor, weight in zip(penalty.total, penalty.anchor, classifier.parameters(), strict=True):
            for tensor, number in ((total, 0.5), (anchor, 1.0), (weight, 4.0)):
                tensor.fill_(number)
    # Two weights: 8 / 2 * 0.5 * 3^2 each.
    assert value(penalty) == 36.0


def test_a_bound_on_patterns_draws_some_of_them():
    classifier, data = linear(4, 3, 0, 1, 2), view()
    singly = [analytic(classifier, View(data.data, data.rows[i : i + 1])) for i in range(len(data))]
    drawn = set()
    for seed in range(8):
        penalty = held(classifier, torch.Generator().manual_seed(seed), strength=1.0, patterns=1)
        penalty.finish(classifier, data)
        (row,) = [i for i, each in enumerate(singly) if close(list(penalty.total), each)]
        drawn.add(row)
    assert len(drawn) > 1


def test_in_a_learner_the_weights_that_matter_move_less():
    way = {}
    for strength in (0.0, 100.0):
        learner = build(arm(plain(recipe.EWCRecipe(strength))))
        stream = stream_of([0, 2], [4])
        learn(learner, stream[0])
        penalty = learner.penalty
        assert isinstance(penalty, EWC)
        before = [(f.clone(), a.clone()) for f, a in zip(penalty.total, penalty.anchor, strict=True)]
        learn(learner, stream[1])
        moves = zip(before, penalty.protected, strict=True)
        way[strength] = sum((f * (w - a).square()).sum().item() for (f, a), w in moves)
    assert 0 < way[100.0] < 0.3 * way[0.0]
