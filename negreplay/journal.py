"""Where learning can go on inside an experience.

`Learner.learn` is code between stages. A stage is a loop of steps: a descent, or one pass over patterns. A journal of
the experience has the state at its start, at the end of each stage that has ended, and at the present step of the stage
that has not. To go on, `learn` runs anew from the state at the start. The code between the stages runs as it did, since
it depends on the learner's state and on its draws only. A stage that had ended takes no step and leaves the state that
it left, and the last one goes on after its last recorded step. So no learner needs to know of it.

The end of a stage that took next to no time is not recorded: the stage is run again. In a stream of many small
experiences copies of the state would otherwise take longer than what they spare.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from negreplay.patterns import Order, Sweep


class Mark(NamedTuple):
    """A recorded state of a stage, as a file can hold it: tensors by name, and what JSON can say."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class Place(NamedTuple):
    """Where a stage is: the steps taken, the minibatches read of the present epoch, and that epoch, if it is drawn."""

    done: int = 0
    read: int = 0
    sweep: Sweep | None = None


Yielded = TypeVar("Yielded")


class Journal:
    """The journal of one experience of a learner.

    Args:
        learner: at the start of the experience.
        rng: the generator of all its draws.
        constant: names of state that does not change.
        marks: of an earlier attempt at the same experience, the stages in their order.
        slowed: by which all learning rates are multiplied.
        worth: seconds that a stage must take for its end to be recorded.
    """

    def __init__(
        self,
        learner: nn.Module,
        rng: torch.Generator,
        constant: Collection[str] = (),
        marks: Sequence[Mark] = (),
        slowed: float = 1.0,
        worth: float = 0.0,
    ) -> None:
        self.learner, self.rng, self.marks, self.slowed, self.worth = learner, rng, list(marks), slowed, worth
        self.start = {name: clone(of) for name, of in learner.state_dict().items() if name not in constant}
        self.random = rng.get_state()
        self.stages: list[Stage] = []
        self.taken = 0

    @property
    def again(self) -> int:
        """How many steps of the earlier attempt are taken again, for the end of their stage was not recorded."""
        return sum(mark.numbers.get("again", 0) for mark in self.marks)

    def watch(self, steps: Iterator[Yielded]) -> Iterator[Yielded]:
        """Passes steps on; stages that begin meanwhile are recorded here."""
        while True:
            token = _present.set(self)
            try:
                step = next(steps)
            except StopIteration:
                return
            finally:
                _present.reset(token)
            self.taken += 1
            yield step

    def record(self) -> list[Mark]:
        """All stages so far; to be called between two steps."""
        return [stage.end_mark or stage.mark() for stage in self.stages]

    def state(self) -> dict[str, Tensor]:
        """The learner's present state as far as it is not that of the start; what is in no `state_dict`, whole."""
        lasting = self.learner.state_dict()
        changed = {name: lasting[name] for name, of in self.start.items() if not same(of, lasting[name])}
        return {name: clone(of) for name, of in (changed | self._passing(lasting)).items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Gives the learner a state that `state` has returned."""
        lasting = self.learner.state_dict()
        for name, of in self.start.items():
            lasting[name].copy_(state.get(name, of))
        for name, tensor in self._passing(lasting).items():
            tensor.copy_(state[name])

    def _passing(self, lasting: Collection[str]) -> dict[str, Tensor]:
        derived = {
            f"{place}.{name}".removeprefix(".")
            for place, module in self.learner.named_modules()
            for name in getattr(module, "derived", ())
        }
        passing = dict(self.learner.named_buffers())
        return {name: passing[name] for name in passing.keys() - set(lasting) - derived}


_present: ContextVar[Journal | None] = ContextVar("_present", default=None)


class Stage:
    """One stage of an experience, begun by whoever takes its steps; without a journal it is recorded nowhere.

    `place` is to be told after each step; a stage that has `ended` before takes none.

    Args:
        parameters: that the stage trains, for those outside the learner are recorded too.
    """

    def __init__(self, parameters: Iterable[Tensor] = ()) -> None:
        self.journal, self.place = _present.get(), Place()
        self.end_mark: Mark | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.schedule: LRScheduler | None = None
        self._earlier: Mark | None = None
        if self.journal is None:
            return
        self._begun = time.monotonic(), self.journal.taken
        own = {id(tensor) for tensor in self.journal.learner.parameters()}
        self.extra = [tensor for tensor in parameters if id(tensor) not in own]
        index = len(self.journal.stages)
        self.journal.stages.append(self)
        if index < len(self.journal.marks):
            mark = self.journal.marks[index]
            if mark.numbers.get("ended"):
                self._restore(mark)
                self.end_mark = mark
            elif "again" not in mark.numbers:
                self._earlier = mark

    @property
    def slowed(self) -> float:
        """By which its learning rates are multiplied."""
        return 1.0 if self.journal is None else self.journal.slowed

    @property
    def ended(self) -> bool:
        """Whether its state is that of its end."""
        return self.end_mark is not None

    def go_on(self, optimizer: torch.optim.Optimizer | None = None, schedule: LRScheduler | None = None) -> Place:
        """The place from which to go on, the start or a recorded one; optimiser and schedule are made as they were."""
        self.optimizer, self.schedule = optimizer, schedule
        mark = self._earlier
        if mark is None:
            return self.place
        tensors, numbers = mark
        for i, parameter in enumerate(_optimized(optimizer)):
            assert optimizer is not None, "it has parameters"
            start = f"optimizer.{i}."
            found = {name.removeprefix(start): of for name, of in tensors.items() if name.startswith(start)}
            if found:
                optimizer.state[parameter] = {name: of.clone().to(parameter.device) for name, of in found.items()}
        if optimizer is not None:
            for group, rate in zip(optimizer.param_groups, numbers["rates"], strict=True):
                group["lr"] = rate
        if schedule is not None:
            schedule.load_state_dict(numbers["schedule"])
        self._restore(mark)
        torch.set_rng_state(tensors["torch"])
        if "cuda" in tensors:
            torch.cuda.set_rng_state(tensors["cuda"])
        self.place = Place(numbers["done"], numbers["read"], _sweep_of(tensors))
        return self.place

    def end(self) -> None:
        """The stage has taken its last step."""
        if self.journal is not None:
            self.optimizer = self.schedule = None
            begun, taken = self._begun
            # A stage that went on from a mark may have taken long before it.
            if self._earlier is not None or time.monotonic() - begun >= self.journal.worth:
                self.end_mark = self.mark(ended=True)
            else:
                self.end_mark = Mark({}, {"again": self.journal.taken - taken})

    def mark(self, ended: bool = False) -> Mark:
        """The present state."""
        assert self.journal is not None, "only a journal asks for it"
        tensors = {f"state.{name}": of for name, of in self.journal.state().items()}
        tensors |= {f"extra.{i}": clone(of) for i, of in enumerate(self.extra)}
        tensors["random"] = self.journal.rng.get_state()
        if ended:
            return Mark(tensors, {"ended": True})
        numbers: dict[str, Any] = {"ended": False, "done": self.place.done, "read": self.place.read}
        if self.optimizer is not None:
            for i, parameter in enumerate(_optimized(self.optimizer)):
                moments = self.optimizer.state[parameter].items()
                tensors |= {f"optimizer.{i}.{name}": clone(of) for name, of in moments if of is not None}
            numbers["rates"] = [group["lr"] for group in self.optimizer.param_groups]
        if self.schedule is not None:
            numbers["schedule"] = self.schedule.state_dict()
        tensors["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            tensors["cuda"] = torch.cuda.get_rng_state()
        return Mark(tensors | _tensors_of(self.place.sweep), numbers)

    @torch.no_grad()
    def _restore(self, mark: Mark) -> None:
        assert self.journal is not None, "only a journal has marks"
        start = "state."
        state = {name.removeprefix(start): of for name, of in mark.tensors.items() if name.startswith(start)}
        self.journal.restore(state)
        for i, tensor in enumerate(self.extra):
            tensor.copy_(mark.tensors[f"extra.{i}"])
        self.journal.rng.set_state(mark.tensors["random"])


def clone(tensor: Tensor) -> Tensor:
    """A copy in main memory that later changes do not reach."""
    return tensor.detach().to("cpu", copy=True)


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the bit, for zeros have a sign and what is not a number equals nothing."""
    a, b = (of.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for of in (one, other))
    return torch.equal(a, b)


def _optimized(optimizer: torch.optim.Optimizer | None) -> list[Tensor]:
    return [] if optimizer is None else [p for group in optimizer.param_groups for p in group["params"]]


def _tensors_of(sweep: Sweep | None) -> dict[str, Tensor]:
    """The tensors of a drawn epoch by name, as `_sweep_of` reads them."""
    if sweep is None:
        return {}
    named = {
        "rows": sweep.current.rows,
        "draws": sweep.current.draws,
        "replayed rows": sweep.replayed.rows,
        "replayed draws": sweep.replayed.draws,
        "mirrored": sweep.mirrored,
    }
    return {f"sweep.{name}": of for name, of in named.items() if of is not None}


def _sweep_of(tensors: dict[str, Tensor]) -> Sweep | None:
    if "sweep.rows" not in tensors:
        return None
    current = Order(tensors["sweep.rows"], tensors.get("sweep.draws"))
    replayed = Order(tensors["sweep.replayed rows"], tensors.get("sweep.replayed draws"))
    return Sweep(current, replayed, tensors.get("sweep.mirrored"))
