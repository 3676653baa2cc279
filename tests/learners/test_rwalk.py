import pytest
import torch
from arms import build, images, learn, stream_of
from systems import arm, plain
from torch import Tensor, nn
from whole import linear

from negreplay import recipe
from negreplay.data.data import View
from negreplay.learners.penalties import Buffers
from negreplay.learners.rwalk import DAMPING, RWalk


def weights(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def held(*each: nn.Parameter, strength: float = 1.0, decay: float = 0.9, every: int = 1) -> RWalk:
    return RWalk(each, recipe.RWalkRecipe(strength, decay, every))


def walk(penalty: RWalk, *steps: tuple[list[float], list[float]]) -> None:
    """An experience of given gradients of the loss, that of the penalty on top, and given movements."""
    (weight,) = penalty.protected
    penalty.start()
    for gradient, movement in steps:
        weight.grad = None
        loss = (weight * weight.new_tensor(gradient)).sum() + penalty.loss()
        loss.backward()
        with torch.no_grad():
            weight += weight.new_tensor(movement)
        penalty.integrate()
    finish(penalty)


def finish(penalty: RWalk) -> None:
    """It looks at neither the classifier nor the data."""
    penalty.finish(linear(64, 5), View(images(), torch.arange(1)))


def only(values: Buffers) -> list[float]:
    (value,) = values
    return value.tolist()


def stretch(gain: float, fisher: float, way: float) -> float:
    """Equation 7, for one stretch of the path."""
    return max(0.0, gain / (fisher / 2 * way**2 + DAMPING))


def test_the_fisher_information_is_a_moving_average_of_squared_gradients():
    penalty = held(weights(0.0))
    walk(penalty, ([1.0], [0.0]), ([2.0], [0.0]))
    # 0.9 * 1 at first; then 0.1 * 0.9 + 0.9 * 4.
    assert only(penalty.fisher) == pytest.approx([3.69], rel=1e-12)


def test_the_fisher_information_goes_on_from_experience_to_experience():
    penalty = held(weights(0.0), strength=0.0)
    walk(penalty, ([1.0], [0.0]))
    walk(penalty, ([2.0], [0.0]))
    assert only(penalty.fisher) == pytest.approx([3.69], rel=1e-12)


def test_the_score_of_a_stretch_by_hand():
    penalty = held(weights(0.0), every=2)
    walk(penalty, ([-1.0], [0.5]), ([-0.5], [0.25]))
    # The loss fell by 1 * 0.5 + 0.5 * 0.25; F is 0.1 * 0.9 + 0.9 * 0.25; the weight went 0.75 in all.
    assert only(penalty.score) == pytest.approx([stretch(0.625, 0.315, 0.75)], rel=1e-12)


def test_stretches_are_added_up_each_by_its_own_way():
    penalty = held(weights(0.0))
    walk(penalty, ([-1.0], [0.5]), ([-0.5], [0.25]))
    expected = stretch(0.5, 0.9, 0.5) + stretch(0.125, 0.315, 0.25)
    assert only(penalty.score) == pytest.approx([expected], rel=1e-12)


def test_a_stretch_in_which_the_loss_rose_is_left_out():
    penalty = held(weights(0.0))
    walk(penalty, ([1.0], [0.5]), ([-0.5], [0.25]))
    # Not taken from the gain of the second stretch.
    assert only(penalty.score) == pytest.approx([stretch(0.125, 0.315, 0.25)], rel=1e-12)


def test_the_last_stretch_may_be_short():
    penalty = held(weights(0.0), every=2)
    walk(penalty, ([-1.0], [0.5]), ([-0.5], [0.25]), ([-1.0], [0.1]))
    fisher = 0.1 * 0.315 + 0.9
    assert only(penalty.score) == pytest.approx([stretch(0.625, 0.315, 0.75) + stretch(0.1, fisher, 0.1)], rel=1e-12)


def test_scores_are_averaged_with_those_before_but_for_the_first_ones():
    penalty = held(weights(0.0), strength=0.0)
    walk(penalty, ([-1.0], [0.5]))
    first = only(penalty.score)
    assert first == pytest.approx([stretch(0.5, 0.9, 0.5)], rel=1e-12)
    walk(penalty, ([1.0], [0.5]))  # uphill: a score of 0
    assert only(penalty.score) == pytest.approx([first[0] / 2], rel=1e-12)
    walk(penalty, ([-1.0], [0.5]))
    third = stretch(0.5, only(penalty.fisher)[0], 0.5)
    assert only(penalty.score) == pytest.approx([(first[0] / 2 + third) / 2], rel=1e-12)


def test_both_importances_are_scaled_over_all_weights_together():
    one, two = weights(0.0, 0.0), weights(0.0)
    penalty = held(one, two)
    penalty.start()
    # The Fisher information becomes 0.9 times 4, 1, 0; the scores are made here, of stretches with no way.
    one.grad, two.grad = one.new_tensor([2.0, 1.0]), two.new_tensor([0.0])
    penalty.integrate()
    for gathered, scores in zip(penalty.gathered, ([1.0, 6.0], [5.0]), strict=True):
        gathered.copy_(gathered.new_tensor(scores))
    finish(penalty)
    # F: 1, 1/4, 0. s, from 1 to 6: 0, 1, 4/5.
    first, second = penalty.importance
    assert first.tolist() == pytest.approx([1.0, 1.25], rel=1e-12)
    assert second.tolist() == pytest.approx([0.8], rel=1e-12)


def test_the_loss_is_the_strength_times_importance_times_the_square_of_the_way():
    weight = weights(0.0, 1.0)
    penalty = held(weight, strength=8.0)
    penalty.start()
    assert penalty.loss() == 0.0
    walk(penalty, ([-2.0, -1.0], [0.5, 0.0]))
    # The first weight has all the importance, 1 + 1; it is held at 0.5. There is no half.
    with torch.no_grad():
        weight += weight.new_tensor([3.0, 7.0])
    loss = penalty.loss()
    assert isinstance(loss, Tensor)
    assert loss.item() == pytest.approx(8 * 2 * 9, rel=1e-12)


def test_the_gradient_of_the_penalty_itself_is_not_counted():
    weight = weights(0.0, 0.0)
    penalty = held(weight, strength=5.0)
    walk(penalty, ([-1.0, 0.0], [0.5, 0.0]))
    (fisher,), score = [value.clone() for value in penalty.fisher], only(penalty.score)
    # A loss that is flat: the first step away is against the penalty's pull, the second one follows it.
    walk(penalty, ([0.0, 0.0], [1.0, 0.0]), ([0.0, 0.0], [-0.75, 0.0]))
    assert only(penalty.fisher) == pytest.approx((0.01 * fisher).tolist(), rel=1e-9)
    assert only(penalty.score) == pytest.approx([s / 2 for s in score], rel=1e-9)


def test_weights_are_held_where_the_last_experience_left_them():
    weight = weights(0.0, 0.0)
    penalty = held(weight)
    walk(penalty, ([-1.0, 0.0], [0.5, 0.0]))
    walk(penalty, ([-1.0, 0.0], [0.25, -1.0]))
    assert only(penalty.anchor) == [0.75, -1.0]


def test_a_weight_without_a_gradient_has_no_importance():
    one, two = weights(0.0), weights(0.0)
    penalty = held(one, two)
    penalty.start()
    one.grad = one.new_tensor([1.0])
    with torch.no_grad():
        one -= 0.5
    penalty.integrate()
    finish(penalty)
    assert [value.tolist() for value in penalty.importance] == [[2.0], [0.0]]


def test_in_a_learner_the_weights_that_matter_move_less():
    way = {}
    for strength in (0.0, 3.0):
        learner = build(arm(plain(recipe.RWalkRecipe(strength, every=2))))
        stream = stream_of([0, 2], [4])
        learn(learner, stream[0])
        penalty = learner.penalty
        assert isinstance(penalty, RWalk)
        before = [(h.clone(), a.clone()) for h, a in zip(penalty.importance, penalty.anchor, strict=True)]
        learn(learner, stream[1])
        moves = zip(before, penalty.protected, strict=True)
        way[strength] = sum((h * (w - a).square()).sum().item() for (h, a), w in moves)
    assert 0 < way[3.0] < 0.5 * way[0.0]
