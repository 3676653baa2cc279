"""Taking optimisation steps: the only place that does.

`optimize` is a generator: whoever runs it sees every step as it happens, and nothing is called back. `blocked` is the
BLOCK of Algorithm 2.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, StepLR

from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.patterns import Batch
from negreplay.recipe import OptimizerRecipe, PhaseRecipe


class Step(NamedTuple):
    """One optimisation step: its part (`classifier` or `generator`), how many are done of how many, and its loss."""

    part: str
    done: int
    total: int
    loss: float


def optimize(
    part: str,
    loss: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    total: int,
    optimizer: torch.optim.Optimizer,
    device: Device,
    schedule: LRScheduler | None = None,
) -> Iterator[Step]:
    """One step a batch, also of the `schedule` of learning rates; yields after each, while gradients are at hand.

    Raises:
        UserError: the loss is not a number any more.
    """
    for done, batch in enumerate(batches, start=1):
        with device.computing():
            value = loss(device.place(batch))
        number = value.item()
        if not math.isfinite(number):
            raise UserError(f"the {part}'s loss became {number} at step {done} of {total}: lower its learning rate.")
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        yield Step(part, done, total, number)


def make_optimizer(
    classifier: nn.Module, head: nn.Module, phase: PhaseRecipe, recipe: OptimizerRecipe, index: int
) -> torch.optim.Optimizer:
    """A fresh optimiser with the learning rates of Tables 4 to 9: psi for the head, phi for all else that learns.

    `index` is that of the experience, from 0.
    """
    slower = equation_16(index, phase.floor)
    psi = list(head.parameters())
    held = {id(p) for p in psi}
    phi = [p for p in classifier.parameters() if p.requires_grad and id(p) not in held]
    groups = [{"params": phi, "lr": slower * phase.lr_features}, {"params": psi, "lr": slower * phase.lr_head}]
    if recipe.kind == "adam":
        return torch.optim.Adam(groups, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(groups, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


class Moments(nn.Module):
    """What an optimiser remembers of a module's parameters, kept from one experience to the next.

    With Adam this is also what makes it forget more: the second moments of an experience that ends with small gradients
    make the first steps of the next one large.
    """

    def __init__(self, module: nn.Module, kind: str) -> None:
        super().__init__()
        self.learning = list(module.parameters())
        self.names = ("exp_avg", "exp_avg_sq", "step") if kind == "adam" else ("momentum_buffer",)
        for i, parameter in enumerate(self.learning):
            for name in self.names:
                kept = parameter.new_zeros(()) if name == "step" else torch.zeros_like(parameter)
                self.register_buffer(f"{name}_{i}", kept.detach())

    @contextmanager
    def within(self, optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Within, the optimiser goes on from these moments; then they are what it has made of them."""
        steps = {id(p) for group in optimizer.param_groups for p in group["params"]}
        kept = dict(self.named_buffers())
        moved = [(i, parameter) for i, parameter in enumerate(self.learning) if id(parameter) in steps]
        for i, parameter in moved:
            optimizer.state[parameter] = {name: kept[f"{name}_{i}"].clone() for name in self.names}
        yield
        for i, parameter in moved:
            for name in self.names:
                kept[f"{name}_{i}"].copy_(optimizer.state[parameter][name])


def equation_16(index: int, floor: float | None) -> float:
    """The factor by which learning slows down from experience to experience, from 1 to `floor`; 1 where it is None.

    With i = `index` + 1: 1 - (1 - floor) / (1 + exp(-1.5 i + 8)), half way down between the fifth and the sixth.

    Departure:
        The equation is printed illegibly. Its one certain part, the fraction, rises; the text says that rates fall.
    """
    return 1.0 if floor is None else 1 - (1 - floor) / (1 + math.exp(-1.5 * (index + 1) + 8))


def make_schedule(optimizer: torch.optim.Optimizer, phase: PhaseRecipe, steps_per_epoch: int) -> LRScheduler | None:
    """The schedule that multiplies the rates by `decay` after every `decay_every` epochs (Table 6); None without."""
    if phase.decay_every is None:
        return None
    return StepLR(optimizer, phase.decay_every * steps_per_epoch, phase.decay)


@contextmanager
def blocked(*modules: nn.Module) -> Iterator[None]:
    """Within, the modules' parameters learn nothing and all their layers stay in evaluation mode."""
    learning = [p for module in modules for p in module.parameters() if p.requires_grad]
    training = [layer for module in modules for layer in module.modules() if layer.training]
    for parameter in learning:
        parameter.requires_grad_(False)
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        for layer in training:
            layer.training = True
