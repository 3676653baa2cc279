"""The only place where optimisation steps are taken.

`descend` is the OPTIMIZE of Algorithm 2, for classifier, generator and every stage of every learner. It is a Python
generator: its caller sees every step as it happens, without callbacks. `blocked` is the BLOCK of Algorithm 2.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from negreplay.devices import Device
from negreplay.errors import DivergedError
from negreplay.journal import Place, Stage
from negreplay.patterns import DRAWS, Batch, Sweep
from negreplay.ranks import present
from negreplay.recipe import OptimizerRecipe, PhaseRecipe


class Step(NamedTuple):
    """One optimisation step: its part (`classifier` or `generator`), how many are done of how many, and its loss."""

    part: str
    done: int
    total: int
    loss: float


@runtime_checkable
class Batches(Protocol):
    """Where minibatches come from: an epoch is drawn whole, then read (see `negreplay.patterns.Mixture`)."""

    @property
    def steps(self) -> int:
        """Minibatches in an epoch."""
        ...

    def draw(self, rng: torch.Generator) -> Sweep: ...

    def read(self, sweep: Sweep, start: int = 0) -> Iterator[Batch]: ...


Group = tuple[Iterable[nn.Parameter], float]
"""Parameters that learn, and their learning rate."""


@dataclass(frozen=True)
class Descent:
    """What learns and how: groups of parameters with their learning rates, the optimiser, and the number of steps.

    `part` is the name of what learns, for messages and displays. If `decay_every` is given, rates are multiplied by
    `decay` after every so many steps; with `cosine` they fall to 0 along half a cosine. The optimiser is a fresh one;
    with `moments` it goes on from these.
    """

    part: str
    groups: tuple[Group, ...]
    optimizer: OptimizerRecipe
    total: int
    decay_every: int | None = None
    decay: float = 1.0
    cosine: bool = False
    moments: "Moments | None" = None


def descend(
    descent: Descent, loss: Callable[[Batch], Tensor], batches: Batches, device: Device, rng: torch.Generator
) -> Iterator[Step]:
    """Takes steps, epoch after epoch, and yields after each, while its gradients are at hand.

    Each epoch is drawn by `rng` before its first step. `rng` also seeds torch's global generator, from which layers
    such as dropout draw, and the global generator is left as it was.

    Args:
        descent: what learns and how.
        loss: computes the loss of a minibatch.
        batches: draws epochs and reads them.
        device: where steps are computed.
        rng: draws all that is random.

    Raises:
        DivergedError: the loss or a parameter is not finite any more.
    """
    stage = Stage(p for parameters, _ in descent.groups for p in parameters)
    if not stage.ended:
        yield from _descend(stage, descent, loss, batches, device, rng)
        stage.end()


def _descend(
    stage: Stage,
    descent: Descent,
    loss: Callable[[Batch], Tensor],
    batches: Batches,
    device: Device,
    rng: torch.Generator,
) -> Iterator[Step]:
    groups = ((parameters, rate * stage.slowed) for parameters, rate in descent.groups)
    optimizer, total = make_optimizer(descent.optimizer, *groups), descent.total
    schedule = None
    if descent.cosine:
        schedule = CosineAnnealingLR(optimizer, total)
    elif descent.decay_every is not None:
        schedule = StepLR(optimizer, descent.decay_every, descent.decay)
    with (
        torch.random.fork_rng(devices=[]),
        descent.moments.within(optimizer) if descent.moments else nullcontext(),
    ):
        done, read, sweep = stage.go_on(optimizer, schedule)
        while done < total:
            if sweep is None:
                read, sweep = 0, batches.draw(rng)
                torch.manual_seed(_next_draw(rng) + present().rank)
            for batch in islice(batches.read(sweep, read), total - done):
                done, read = done + 1, read + 1
                with device.computing():
                    value = loss(device.place(batch))
                number, value = _mean_over_ranks(value, batch)
                if not math.isfinite(number):
                    raise _diverged(f"the {descent.part}'s loss became {number} at step {done} of {total}", optimizer)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                average_gradients(p for group in optimizer.param_groups for p in group["params"])
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                stage.place = Place(done, read, sweep)
                yield Step(descent.part, done, total, number)
            sweep = None
        optimizer.zero_grad(set_to_none=True)
        if not all(bool(p.isfinite().all()) for group in optimizer.param_groups for p in group["params"]):
            raise _diverged(f"the {descent.part}'s weights are not finite after step {done} of {total}", optimizer)


def _diverged(what: str, optimizer: torch.optim.Optimizer) -> DivergedError:
    rates = " and ".join(dict.fromkeys(f"{group['lr']:g}" for group in optimizer.param_groups))
    return DivergedError(f"{what}, which was taken at the learning rate {rates}")


def _mean_over_ranks(value: Tensor, batch: Batch) -> tuple[float, Tensor]:
    """The loss of a whole minibatch as a number, and what this rank computes of it, weighed by its patterns."""
    if present().count == 1:
        return value.item(), value
    value = value * batch.weight
    part = value.detach().double().reshape(1) if len(batch.labels) else value.new_zeros(1).double()
    return float(present().sum(part)) / present().count, value


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Gives each parameter the mean of the gradients that the ranks have for it; one without any stays without."""
    if present().count == 1:
        return
    learning = list(parameters)
    present_here = [p.new_full((1,), float(p.grad is not None)) for p in learning]
    gradients = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in learning]
    sums = present().sum(torch.cat([*present_here, *gradients]))
    ranks_with, sums = sums[: len(learning)], sums[len(learning) :]
    for p, number, mean in zip(
        learning, ranks_with, (sums / present().count).split([p.numel() for p in learning]), strict=True
    ):
        p.grad = mean.view_as(p).clone() if number else None


def make_optimizer(recipe: OptimizerRecipe, *groups: Group) -> torch.optim.Optimizer:
    """A fresh optimiser of groups of parameters, each with its learning rate."""
    param_groups = [{"params": list(parameters), "lr": rate} for parameters, rate in groups]
    if recipe.kind == "adam":
        return torch.optim.Adam(
            param_groups, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.SGD(param_groups, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def _next_draw(rng: torch.Generator) -> int:
    """The number that the generator would draw next; the generator itself does not move on."""
    return int(torch.randint(DRAWS, (), generator=rng.clone_state()))


def descent_of(
    classifier: nn.Module, head: nn.Module, phase: PhaseRecipe, optimizer: OptimizerRecipe, index: int, steps: int
) -> Descent:
    """How a phase trains a classifier: phi, its features, and psi, the head's rows, each at its rate (Tables 4 to 9).

    Args:
        classifier: what learns; its blocked parameters do not.
        head: the classifier's head.
        phase: how long it trains, and at which rates.
        optimizer: the settings of the optimiser.
        index: the number of the experience, from 0.
        steps: the number of minibatches in an epoch.
    """
    psi = list(head.parameters())
    rows = {id(p) for p in psi}
    phi = [p for p in classifier.parameters() if p.requires_grad and id(p) not in rows]
    factor = equation_16(index, phase.floor)
    return Descent(
        part="classifier",
        groups=((phi, factor * phase.lr_features), (psi, factor * phase.lr_head)),
        optimizer=optimizer,
        total=phase.iterations or (phase.epochs or 0) * steps,
        decay_every=phase.decay_every and phase.decay_every * steps,
        decay=phase.decay,
        cosine=phase.cosine,
    )


class Moments(nn.Module):
    """The moments of an optimiser for a module's parameters, kept from one experience to the next.

    With Adam they also make the module forget more: if an experience ends with small gradients, its second moments make
    the first steps of the next experience large.
    """

    def __init__(self, module: nn.Module, kind: str) -> None:
        super().__init__()
        self.learning = list(module.parameters())
        self.names = ("exp_avg", "exp_avg_sq", "step") if kind == "adam" else ("momentum_buffer",)
        for i, parameter in enumerate(self.learning):
            for name in self.names:
                moment = parameter.new_zeros(()) if name == "step" else torch.zeros_like(parameter)
                self.register_buffer(f"{name}_{i}", moment.detach())

    @contextmanager
    def within(self, optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Lends the moments to an optimiser, and takes them over from it when the context ends."""
        ids = {id(p) for group in optimizer.param_groups for p in group["params"]}
        buffers = dict(self.named_buffers())
        optimized = [(i, parameter) for i, parameter in enumerate(self.learning) if id(parameter) in ids]
        for i, parameter in optimized:
            optimizer.state[parameter] = {name: buffers[f"{name}_{i}"].clone() for name in self.names}
        yield
        for i, parameter in optimized:
            for name in self.names:
                buffers[f"{name}_{i}"].copy_(optimizer.state[parameter][name])


def equation_16(index: int, floor: float | None) -> float:
    """The factor by which learning slows down from experience to experience, from 1 to `floor`; 1 where it is None.

    With i = `index` + 1 it is 1 - (1 - floor) / (1 + exp(-1.5 i + 8)), which is halfway down between the fifth and the
    sixth experience.

    Departure:
        The equation is printed illegibly. Its one certain part, the fraction, rises; the text says that rates fall.
    """
    return 1.0 if floor is None else 1 - (1 - floor) / (1 + math.exp(-1.5 * (index + 1) + 8))


@contextmanager
def blocked(*modules: nn.Module) -> Iterator[None]:
    """A context in which the modules' parameters do not learn and all their layers are in evaluation mode."""
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
