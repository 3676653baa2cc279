import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.optimize import Descent, Moments, Step, blocked, descend, descent_of, equation_16, make_optimizer
from negreplay.patterns import Batch, Order, Sweep
from negreplay.recipe import OptimizerRecipe, PhaseRecipe


class Epochs(NamedTuple):
    """Epochs that are always the same: minibatches of one latent each, these numbers."""

    numbers: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.numbers)

    def draw(self, rng: torch.Generator) -> Sweep:
        nothing = Order(torch.empty(0, dtype=torch.long), None)
        return Sweep(nothing, nothing)

    def read(self, sweep: Sweep, start: int = 0) -> Iterator[Batch]:
        for number in self.numbers[start:]:
            x = torch.tensor([[number]])
            yield Batch(x, True, torch.empty(0), torch.tensor([0]), torch.tensor([False]))


def steps(
    weight: nn.Parameter, *numbers: float, part: str = "classifier", total: int = 0, rate: float = 1.0
) -> Iterator[Step]:
    """Descent on weight * number."""

    def loss(batch: Batch) -> Tensor:
        return (weight * batch.current).sum()

    plain = OptimizerRecipe(momentum=0.0, weight_decay=0.0)
    descent = Descent(part, (([weight], rate),), plain, total or len(numbers))
    return descend(descent, loss, Epochs(numbers), Device(), torch.Generator())


def test_one_step_a_minibatch():
    weight = nn.Parameter(torch.tensor(10.0))
    # The loss is 10 * 1; the gradient 1 leads to 9, whose loss is 9 * 2; the gradient 2 leads to 7.
    running = steps(weight, 1.0, 2.0, part="generator", total=5)
    assert [next(running), next(running)] == [Step("generator", 1, 5, 10.0), Step("generator", 2, 5, 18.0)]
    assert weight.item() == 7.0


def test_epochs_follow_one_another_until_all_steps_are_taken():
    weight = nn.Parameter(torch.tensor(10.0))
    assert [step.done for step in steps(weight, 1.0, 2.0, total=5)] == [1, 2, 3, 4, 5]
    assert weight.item() == 10.0 - (1 + 2 + 1 + 2 + 1)


def test_gradients_are_at_hand_after_each_step_and_do_not_add_up():
    weight = nn.Parameter(torch.tensor(10.0))
    gradients = []
    for _ in steps(weight, 1.0, 2.0, 3.0):
        assert weight.grad is not None
        gradients.append(weight.grad.item())
    assert gradients == [1.0, 2.0, 3.0]


def test_nothing_happens_before_it_is_asked_for():
    weight = nn.Parameter(torch.tensor(10.0))
    running = steps(weight, 1.0, 2.0)
    assert weight.item() == 10.0
    next(running)
    assert weight.item() == 9.0


@pytest.mark.parametrize(
    ("bad", "shown"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")], ids=["nan", "inf", "-inf"]
)
@pytest.mark.parametrize("part", ["classifier", "generator"])
def test_a_loss_that_is_no_number_names_the_part_and_the_remedy(part, bad, shown):
    weight = nn.Parameter(torch.tensor(1.0))
    sentence = (
        rf"^the {part}'s loss became {shown} at step 2 of 3, which was taken at the learning rate 1: "
        r"lower its learning rate\.$"
    )
    with pytest.raises(UserError, match=sentence):
        list(steps(weight, 0.5, bad, 1.0, part=part))
    # 1 - 0.5: the step with the bad loss was not taken.
    assert weight.item() == 0.5


def test_weights_that_are_not_finite_after_the_last_step_are_noticed():
    weight = nn.Parameter(torch.tensor(1.0))
    sentence = (
        r"^the classifier's weights are not finite after step 1 of 1, which was taken at the learning rate 1e\+30: "
    )
    with pytest.raises(UserError, match=sentence):
        list(steps(weight, 1e30, rate=1e30))


class Net(nn.Module):
    """Features and a head of one weight each."""

    def __init__(self) -> None:
        super().__init__()
        self.back, self.head = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        for p in self.parameters():
            nn.init.constant_(p, 2.0)


def optimizer_of(net: Net, phase: PhaseRecipe, recipe: OptimizerRecipe) -> torch.optim.Optimizer:
    return make_optimizer(recipe, *descent_of(net, net.head, phase, recipe, 0, steps=1).groups)


def test_the_optimizer_has_a_learning_rate_for_features_and_one_for_the_head():
    net = Net()
    optimizer = optimizer_of(net, PhaseRecipe(1, 0.1, 0.5), OptimizerRecipe(momentum=0.5, weight_decay=0.25))
    for _ in range(2):
        for p in net.parameters():
            p.grad = torch.full_like(p, 1.0)
        optimizer.step()
    # With decay the gradient is 1 + 0.25 * 2 = 1.5. Features: 2 - 0.1 * 1.5 = 1.85; then the momentum is
    # 0.5 * 1.5 + 1 + 0.25 * 1.85 = 2.2125, and 1.85 - 0.1 * 2.2125 = 1.62875.
    assert net.back.weight.item() == pytest.approx(1.62875)
    # Head: 2 - 0.5 * 1.5 = 1.25; 0.5 * 1.5 + 1 + 0.25 * 1.25 = 2.0625; 1.25 - 0.5 * 2.0625 = 0.21875.
    assert net.head.weight.item() == pytest.approx(0.21875)


def test_adam_has_a_learning_rate_for_features_and_one_for_the_head():
    net = Net()
    recipe = OptimizerRecipe("adam", momentum=0.5, weight_decay=0.25)
    optimizer = optimizer_of(net, PhaseRecipe(1, 0.1, 0.5), recipe)
    for gradient in (1.0, 0.0):
        for p in net.parameters():
            p.grad = torch.full_like(p, gradient)
        optimizer.step()
    for p, rate in ((net.back.weight, 0.1), (net.head.weight, 0.5)):
        # A first step of Adam has the length of the rate. With decay the gradient was 1 + 0.25 * 2 = 1.5.
        weight = 2.0 - rate
        # Then it is 0.25 of the weight; its mean, with beta1 0.5, and that of its square, with beta2 0.999, are
        # corrected for their start at zero.
        now = 0.25 * weight
        mean = (0.5 * 0.5 * 1.5 + 0.5 * now) / 0.75
        square = (0.999 * 0.001 * 1.5**2 + 0.001 * now**2) / (1 - 0.999**2)
        assert p.item() == pytest.approx(weight - rate * mean / math.sqrt(square), rel=1e-5)


def test_a_phase_says_how_long_and_when_rates_fall():
    net, phase = Net(), PhaseRecipe(5, 0.1, 0.5, decay_every=2, decay=0.1, floor=1 / 11)
    descent = descent_of(net, net.head, phase, OptimizerRecipe("adam"), 11, steps=3)
    assert (descent.total, descent.decay_every, descent.decay) == (15, 6, 0.1)
    factor = equation_16(11, 1 / 11)
    assert [rate for _, rate in descent.groups] == pytest.approx([0.1 * factor, 0.5 * factor])
    assert not descent.cosine
    assert descent_of(net, net.head, PhaseRecipe(5, 0.1, 0.5, cosine=True), OptimizerRecipe(), 0, steps=3).cosine
    counted = descent_of(net, net.head, PhaseRecipe(None, 0.1, 0.5, iterations=7), OptimizerRecipe(), 0, steps=3)
    assert (counted.total, counted.decay_every) == (7, None)


def test_adam_leaves_alone_what_is_blocked():
    net = Net()
    with blocked(net.back):
        optimizer = optimizer_of(net, PhaseRecipe(1, 0.0, 0.5), OptimizerRecipe("adam", weight_decay=0.0))
        net.head(net.back(torch.ones(1, 1))).sum().backward()
        optimizer.step()
    assert net.back.weight.item() == 2.0
    assert net.head.weight.item() == pytest.approx(1.5)


def test_the_optimizer_leaves_out_what_does_not_learn():
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 3)])
    front, back, head = net
    front.requires_grad_(False)
    (phi, _), (psi, _) = descent_of(net, head, PhaseRecipe(1, 0.1, 0.5), OptimizerRecipe(), 0, steps=1).groups
    assert [id(p) for p in phi] == [id(p) for p in back.parameters()]
    assert [id(p) for p in psi] == [id(p) for p in head.parameters()]


def test_the_head_learns_where_nothing_else_does():
    net = Net()
    with blocked(net.back):
        optimizer = optimizer_of(net, PhaseRecipe(1, 0.0, 0.5), OptimizerRecipe(momentum=0.0, weight_decay=0.25))
        net.head(net.back(torch.ones(1, 1))).sum().backward()
        optimizer.step()
    assert net.back.weight.item() == 2.0
    # The gradient is the feature, 2; with decay 2 + 0.25 * 2 = 2.5; 2 - 0.5 * 2.5 = 0.75.
    assert net.head.weight.item() == 0.75


def test_a_device_places_all_tensors_of_a_minibatch():
    batch = Batch(torch.rand(2, 3), True, torch.rand(1, 3), torch.tensor([0, 1, 1]), torch.tensor([False, False, True]))
    placed = Device("meta").place(batch)
    assert placed.encoded
    assert all(t.device.type == "meta" for t in (placed.current, placed.replay, placed.labels, placed.replayed))
    same = Device().place(batch)
    assert all(a is b for a, b in zip(same, batch, strict=True))


def test_equation_16_falls_from_one_to_its_floor():
    worked_out = {1: 0.9986, 2: 0.9939, 3: 0.9734, 5: 0.6568, 8: 0.1073, 12: 0.0910, 25: 0.0909}
    for i, factor in worked_out.items():
        assert equation_16(i - 1, 1 / 11) == pytest.approx(factor, abs=5e-5)
    assert equation_16(24, None) == equation_16(24, 1.0) == 1.0


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"decay_every": 6, "decay": 0.1}, [0.5] * 6 + [0.05] * 6 + [0.005] * 3),
        ({"cosine": True}, [0.25 * (1 + math.cos(math.pi * step / 15)) for step in range(15)]),
    ],
    ids=["steps", "cosine"],
)
def test_rates_fall(kind: str, how: dict[str, Any], expected: list[float]):
    """With a gradient that is always 1 and without momentum, a step is as long as its rate."""
    net, lengths = Net(), []
    optimizer = OptimizerRecipe(kind, momentum=0.0, weight_decay=0.0)
    descent = Descent("x", ((net.head.parameters(), 0.5),), optimizer, total=15, **how)
    before = 2.0
    for _ in descend(descent, lambda _: net.head.weight.sum(), Epochs((1.0,) * 3), Device(), torch.Generator()):
        lengths.append(before - net.head.weight.item())
        before = net.head.weight.item()
    assert lengths == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_with_moments_two_experiences_are_one(kind: str):
    """Two optimisers that hand over their moments step as a single one does."""
    weights = []
    for parts in ((6,), (2, 4)):
        net = nn.Linear(3, 1)
        nn.init.constant_(net.weight, 0.5)
        nn.init.zeros_(net.bias)
        moments, x = Moments(net, kind), torch.arange(3.0)
        for steps in parts:
            optimizer = make_optimizer(OptimizerRecipe(kind), (net.parameters(), 0.05))
            with moments.within(optimizer):
                for _ in range(steps):
                    optimizer.zero_grad()
                    net(x).square().sum().backward()
                    optimizer.step()
        weights.append(net.weight.detach())
    assert torch.equal(*weights)


class Noisy(nn.Module):
    """One weight behind dropout, whose noise comes from torch's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(64))

    def forward(self) -> Tensor:
        return nn.functional.dropout(self.weight, 0.5, training=True).sum()


def test_the_noise_of_layers_is_decided_by_the_one_generator_and_the_global_one_stays_as_it_was():
    learned = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        net, before = Noisy(), torch.get_rng_state()
        descent = Descent("x", ((net.parameters(), 0.1),), OptimizerRecipe(), total=5)
        list(descend(descent, lambda _, net=net: net(), Epochs((1.0,) * 2), Device(), torch.Generator().manual_seed(7)))
        assert torch.equal(torch.get_rng_state(), before)
        learned.append(net.weight.detach())
    assert torch.equal(*learned)
    assert len(learned[0].unique()) > 1, "some of it was dropped"
