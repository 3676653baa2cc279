import pytest
import torch
from torch import Tensor, nn

from negreplay import recipe
from negreplay.builders.learners import build_learner, build_penalty
from negreplay.data.data import Tensors, View, example_of
from negreplay.learners.penalties import NoPenalty, Penalty, SynapticIntelligence
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.recipe import (
    ClassifierRecipe,
    Front,
    LatentReplayRecipe,
    Mode,
    PhaseRecipe,
    Recipe,
    RenormRecipe,
    Scenario,
    StreamRecipe,
)
from negreplay.streams.stream import Stream


def quadratic(
    penalty: SynapticIntelligence, weight: nn.Parameter, minimum: float, lr: float, steps: int, decay: float = 0.0
) -> float:
    """An experience: gradient descent on (w - minimum)^2 / 2 plus the penalty. Gives its path integral."""
    optimizer = torch.optim.SGD([weight], lr=lr, weight_decay=decay)
    penalty.start()
    for _ in range(steps):
        optimizer.zero_grad()
        ((weight - minimum).square().sum() / 2 + penalty.loss()).backward()
        optimizer.step()
        penalty.integrate()
    (path,) = penalty.path
    finish(penalty)
    return path.item()


def finish(penalty: Penalty) -> None:
    """These penalties look at neither the classifier nor the data."""
    classifier = Classifier(nn.Identity(), nn.Identity(), PlainHead(1, 1, Mode.POSITIVE), blocked=False)
    penalty.finish(classifier, View(images(), torch.arange(1)))


def at(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value], dtype=torch.float64))


def held(weight: nn.Parameter, strength: float = 1.0, clip: float = 1e9, multiplier: float = 1.0):
    return SynapticIntelligence([weight], recipe.SynapticIntelligenceRecipe(strength, clip, multiplier))


def importance(penalty: SynapticIntelligence) -> float:
    (only,) = penalty.importance()
    return only.item()


def value_of(loss: Tensor | float) -> float:
    return loss.item() if isinstance(loss, Tensor) else loss


# From 0 towards 1 with a learning rate of 1/2: to 1/2 (gradient -1) and to 3/4 (gradient -1/2). The path integral is
# -1 * 1/2 - 1/2 * 1/4 = -0.625, the distance 3/4: F = 0.625 / (0.5625 + 1e-7) = 1.1111109.
ONE_EXPERIENCE = 0.625 / (0.5625 + 1e-7)


def test_path_integral_and_importance_by_hand():
    weight = at(0.0)
    penalty = held(weight)
    quadratic(penalty, weight, 1.0, 0.5, 2)
    assert weight.item() == 0.75
    assert importance(penalty) == pytest.approx(ONE_EXPERIENCE, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"clip": 1.0}, 1.0),
        ({"clip": 1.2}, ONE_EXPERIENCE),
        ({"multiplier": 0.5}, ONE_EXPERIENCE / 2),
        ({"multiplier": 4.0, "clip": 3.0}, 3.0),
    ],
)
def test_importance_is_multiplied_and_clipped(options, expected):
    weight = at(0.0)
    penalty = held(weight, **options)
    quadratic(penalty, weight, 1.0, 0.5, 2)
    assert importance(penalty) == pytest.approx(expected, rel=1e-12)


def test_loss_is_half_the_strength_times_importance_times_the_square_of_the_way():
    weight = at(0.0)
    penalty = held(weight, strength=8.0)
    quadratic(penalty, weight, 1.0, 0.5, 2)
    penalty.start()
    assert value_of(penalty.loss()) == 0.0
    weight.grad = None
    with torch.no_grad():
        weight.fill_(2.75)
    loss = penalty.loss()
    # 8 / 2 * 1.1111109 * (2.75 - 0.75)^2, and its derivative 8 * 1.1111109 * 2.
    assert value_of(loss) == pytest.approx(16 * ONE_EXPERIENCE, rel=1e-12)
    assert isinstance(loss, Tensor)
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(16 * ONE_EXPERIENCE, rel=1e-12)


def test_nothing_is_held_in_the_first_experience():
    weight = at(0.0)
    penalty = held(weight, strength=1e6)
    penalty.start()
    with torch.no_grad():
        weight.fill_(3.0)
    assert value_of(penalty.loss()) == 0.0


def test_importance_adds_up_over_experiences():
    weight = at(0.0)
    penalty = held(weight, strength=0.0)
    quadratic(penalty, weight, 1.0, 0.5, 2)
    # On from 3/4 towards -1/4: the gradient is 1, one step of 1/2 leads to 1/4; -0.5 / (0.25 + 1e-7).
    quadratic(penalty, weight, -0.25, 0.5, 1)
    assert weight.item() == 0.25
    assert importance(penalty) == pytest.approx(ONE_EXPERIENCE + 0.5 / (0.25 + 1e-7), rel=1e-12)


def test_the_gradient_of_the_penalty_is_part_of_the_path():
    weight = at(0.0)
    penalty = held(weight, strength=1.0, clip=1.0)
    quadratic(penalty, weight, 1.0, 0.5, 2)
    # F is clipped to 1. From 3/4 towards -1/4 the first gradient is 1 + 0, to 1/4; the second 1/2 - 1/2 = 0.
    path = quadratic(penalty, weight, -0.25, 0.5, 2)
    assert weight.item() == pytest.approx(0.25, abs=1e-15)
    assert path == pytest.approx(-0.5, abs=1e-15)


def test_weight_decay_moves_the_weight_but_is_no_part_of_the_gradient():
    weight = at(1.0)
    penalty = held(weight)
    # The gradient of (w - 2)^2 / 2 is -1, the decay adds 1/2 * 1: the step is 1/2 * 1/2, and the path -1 * 1/4.
    path = quadratic(penalty, weight, 2.0, 0.5, 1, decay=0.5)
    assert weight.item() == 1.25
    assert path == -0.25


def test_importance_is_clipped_from_above_only():
    weight = at(0.0)
    penalty = held(weight, clip=1e-3)
    # Too large a learning rate: from 0 with gradient -1 to 3, which is two beyond the minimum; with gradient 2 to -3.
    quadratic(penalty, weight, 1.0, 3.0, 2)
    # Path: -1 * 3 + 2 * -6 = -15 while the way is -3; F = 15 / 9 before it is clipped.
    assert weight.item() == -3.0 and importance(penalty) == 1e-3
    other = at(0.0)
    penalty = held(other, clip=1e-3)
    penalty.start()
    # Uphill: the gradient of w is 1 and the weight is pushed from 0 to 2; F = -2 / (4 + 1e-7).
    other.sum().backward()
    with torch.no_grad():
        other.fill_(2.0)
    penalty.integrate()
    finish(penalty)
    assert importance(penalty) == pytest.approx(-2 / (4 + 1e-7), rel=1e-12)


def test_a_strong_penalty_holds_the_weight():
    ends = {}
    for strength in (0.0, 1.5):
        weight = at(0.0)
        quadratic(penalty := held(weight, strength), weight, 1.0, 0.5, 2)
        quadratic(penalty, weight, -3.0, 0.5, 30)
        ends[strength] = weight.item()
    # Free, the weight comes to -3. Held, to the minimum of (w + 3)^2 / 2 + 1.5 / 2 * 1.1111109 (w - 0.75)^2:
    # (-3 + 1.6666664 * 0.75) / 2.6666664 = -0.65625.
    assert ends[0.0] == pytest.approx(-3.0, abs=1e-6)
    assert ends[1.5] == pytest.approx(-0.65625, abs=1e-5)


def test_a_weight_that_never_moves_has_no_importance():
    weight = at(0.5)
    penalty = held(weight)
    quadratic(penalty, weight, 0.5, 0.5, 3)
    assert importance(penalty) == 0.0
    unused = at(1.0)
    penalty = held(unused)
    penalty.start()
    penalty.integrate()
    finish(penalty)
    assert importance(penalty) == 0.0


def test_the_penalty_goes_on_from_its_state():
    weight, twin = at(0.0), at(0.0)
    penalty, other = held(weight), held(twin)
    quadratic(penalty, weight, 1.0, 0.5, 2)
    other.load_state_dict(penalty.state_dict())
    with torch.no_grad():
        twin.copy_(weight)
    quadratic(penalty, weight, -2.0, 0.1, 3)
    quadratic(other, twin, -2.0, 0.1, 3)
    assert torch.equal(weight, twin)
    assert importance(penalty) == importance(other)


def test_no_penalty_adds_nothing():
    penalty = NoPenalty()
    penalty.start()
    penalty.integrate()
    finish(penalty)
    assert penalty.loss() == 0.0
    assert penalty.state_dict() == {}


# Which weights are protected.


def ar1(front: Front = Front.TRAINED, renorm: RenormRecipe | None = None, strength: float | None = 1.0) -> Recipe:
    return Recipe(
        "ar1",
        StreamRecipe("digits", Scenario.NC),
        ClassifierRecipe("small", "conv2", front, renorm=renorm),
        first=PhaseRecipe(4, 0.05, 0.05),
        following=PhaseRecipe(4, 0.05, 0.05),
        learner=LatentReplayRecipe(
            penalty=strength if strength is None else recipe.SynapticIntelligenceRecipe(strength)
        ),
    )


def images() -> Tensors:
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Tensors(x, torch.arange(12) // 4, ("a", "b", "c"), "test")


def build(spec: Recipe, tmp_path):
    return build_learner(spec, *example_of(images()), weights=tmp_path)


@pytest.mark.parametrize("renorm", [None, RenormRecipe()], ids=["batch norm", "batch renorm"])
@pytest.mark.parametrize(
    ("front", "expected"),
    [
        (Front.TRAINED, {"front.conv1.conv.weight", "front.conv2.conv.weight", "back.conv3.conv.weight"}),
        (Front.FIRST, {"front.conv1.conv.weight", "front.conv2.conv.weight", "back.conv3.conv.weight"}),
        (Front.BLOCKED, {"back.conv3.conv.weight"}),
    ],
)
def test_normalisation_and_head_are_left_free(front, expected, renorm, tmp_path):
    learner = build(ar1(front, renorm), tmp_path)
    assert isinstance(learner.penalty, SynapticIntelligence)
    protected = {id(weight) for weight in learner.penalty.protected}
    names = {name for name, weight in learner.classifier.named_parameters() if id(weight) in protected}
    assert names == expected and len(learner.penalty.protected) == len(expected)


def test_without_a_penalty_in_the_recipe_there_is_none(tmp_path):
    spec = ar1(strength=None)
    assert isinstance(build_penalty(spec, build(spec, tmp_path).classifier, torch.Generator()), NoPenalty)


def test_in_a_learner_the_penalty_holds_protected_weights(tmp_path):
    data, moved = images(), {}
    stream = Stream(data, data, [torch.arange(8), torch.arange(8, 12)])
    for strength in (0.0, 2e4):
        learner = build(ar1(strength=strength), tmp_path)
        list(learner.learn(stream[0]))
        weight = learner.classifier.get_parameter("back.conv3.conv.weight")
        before = weight.detach().clone()
        list(learner.learn(stream[1]))
        moved[strength] = (weight - before).norm().item()
    assert 0 < moved[2e4] < 0.2 * moved[0.0]
