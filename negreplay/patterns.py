"""What flows: labelled patterns, and minibatches in which current and replayed patterns meet.

Below the replay layer original, generated and random patterns are one thing, latents with labels, so every source of
replay is interchangeable. `join` is the one place where they meet the data of the current experience. An epoch is drawn
whole, as a `Sweep`, before its first minibatch; a `Mixture` then reads it from any minibatch on.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Patterns(NamedTuple):
    """Images or latents with their labels; also a memory of them."""

    x: Float[Tensor, "n *shape"]
    y: Int[Tensor, " n"]

    @property
    def labels(self) -> Int[Tensor, " n"]:
        """The classes, under the name that data sets have for them."""
        return self.y

    @property
    def augmented(self) -> bool:
        """False, for patterns in memory are read without random changes."""
        return False

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *shape"]:
        """The patterns of these rows."""
        return self.x.index_select(0, rows)


class Batch(NamedTuple):
    """One minibatch: b current patterns and m replayed ones, whose labels stand last.

    `encoded` says whether `current` holds latents already (they come from the store) or images. The latents of those
    in `mirrored` are mirrored left to right before they are learned; None mirrors none.
    """

    current: Float[Tensor, "b *shape"]
    encoded: bool
    replay: Float[Tensor, "m *latent"]
    labels: Int[Tensor, " b+m"]
    replayed: Bool[Tensor, " b+m"]
    mirrored: Bool[Tensor, " b+m"] | None = None


@runtime_checkable
class Memory(Protocol):
    """Recalled patterns, which are read by row; those of an augmented memory are varied by draws."""

    @property
    def labels(self) -> Int[Tensor, " n"]: ...
    @property
    def augmented(self) -> bool: ...

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *shape"]: ...


@runtime_checkable
class Loader(Protocol):
    """Labelled data that is read in a drawn order (see `negreplay.data.data.View`)."""

    @property
    def encoded(self) -> bool: ...

    def __len__(self) -> int: ...

    def order(self, rng: torch.Generator) -> "Order": ...

    def read(self, order: "Order", size: int, start: int = 0) -> Iterator[Patterns]: ...


class Order(NamedTuple):
    """The order in which rows are read, and the draws that vary them, which are None where nothing is varied."""

    rows: Int[Tensor, " n"]
    draws: Int[Tensor, " n"] | None

    def part(self, start: int, end: int) -> "Order":
        """The rows from the place `start` up to, but without, the place `end`."""
        return Order(self.rows[start:end], None if self.draws is None else self.draws[start:end])


class Sweep(NamedTuple):
    """One epoch as a value: the order of the current rows, that of the memory's rows, and what is mirrored.

    `mirrored` follows the minibatches: in each the current rows come first, then the replayed ones.
    """

    current: Order
    replayed: Order
    mirrored: Bool[Tensor, " n"] | None = None


DRAWS = 2**62
"""Draws are integers from 0 to one below this number."""


def drawn(rows: Int[Tensor, " n"], augmented: bool, rng: torch.Generator) -> Order:
    """These rows in their order, with a draw for each if they are `augmented`."""
    return Order(rows, torch.randint(DRAWS, (len(rows),), generator=rng) if augmented else None)


def nothing() -> Patterns:
    """The empty memory of the first experience (Algorithm 2, line 3)."""
    return Patterns(torch.empty(0), torch.empty(0, dtype=torch.long))


def counts_of(memory: Memory, classes: int) -> Int[Tensor, " classes"]:
    """How many patterns of each class a memory holds."""
    return torch.bincount(memory.labels, minlength=classes)


def join(current: Patterns, encoded: bool, replay: Patterns, mirrored: Bool[Tensor, " n"] | None = None) -> Batch:
    """A minibatch of current and replayed patterns."""
    labels = torch.cat([current.y, replay.y])
    return Batch(current.x, encoded, replay.x, labels, torch.arange(len(labels)) >= len(current.y), mirrored)


def share_of(current: int, memory: int, minibatch: int, replay: int | None = None) -> int:
    """How many patterns of a minibatch are current ones.

    Args:
        current: N, the number of patterns in the experience.
        memory: R, the number of patterns in the memory; with 0 the whole minibatch is current.
        minibatch: B, the number of patterns in a minibatch.
        replay: how many patterns of a minibatch are replayed. With None round(B N / (N + R)) are current, which gives
            the paper's 114 + 14, 64 + 64 and 92 + 36.
    """
    if memory == 0:
        return minibatch
    if replay is not None:
        return minibatch - replay
    return max(min(round(minibatch * current / (current + memory)), minibatch - 1), 1)


@dataclass(frozen=True)
class Mixture:
    """Minibatches of current patterns, which replayed ones join.

    Each current pattern comes once an epoch, and minibatches have nearly equal size. With `replay` None the two kinds
    are mixed in proportion, and the memory is swept once an epoch too, unless there are too few current patterns: a
    minibatch never grows beyond its size, and the rest of the memory waits for another epoch. Otherwise each minibatch
    takes `replay` patterns from the shuffled memory, which is shuffled again whenever it is used up. With `mirrored`
    each latent is mirrored left to right with probability one half.
    """

    data: Loader
    memory: Memory
    minibatch: int
    replay: int | None = None
    mirrored: bool = False

    @property
    def steps(self) -> int:
        """Minibatches in an epoch: as few as the share of current patterns and the size of a minibatch allow."""
        current, memory = len(self.data), self.size
        share = share_of(current, memory, self.minibatch, self.replay)
        steps = math.ceil(current / share)
        if self.replay is not None:
            return steps
        smaller = (math.ceil(current / share) for share in range(share, 0, -1))
        fitting = (n for n in smaller if math.ceil(current / n) + math.ceil(memory / n) <= self.minibatch)
        return next(fitting, steps)

    @property
    def size(self) -> int:
        """Patterns of the memory."""
        return len(self.memory.labels)

    def draw(self, rng: torch.Generator) -> Sweep:
        """Draws an epoch, with all that is random in it."""
        current, count = self.data.order(rng), self._ends()[-1]
        rows = torch.empty(0, dtype=torch.long)
        while len(rows) < count:
            rows = torch.cat([rows, torch.randperm(self.size, generator=rng)])
        replayed = drawn(rows[:count], self.memory.augmented, rng)
        mirrored = torch.rand(len(self.data) + count, generator=rng) < 0.5 if self.mirrored else None
        return Sweep(current, replayed, mirrored)

    def read(self, sweep: Sweep, start: int = 0) -> Iterator[Batch]:
        """The minibatches of an epoch, from the one with the number `start` on."""
        ends = self._ends()
        sizes = math.ceil(len(self.data) / self.steps)
        for step, current in enumerate(self.data.read(sweep.current, sizes, start), start):
            rows, draws = sweep.replayed.part(ends[step], ends[step + 1])
            replay = Patterns(self.memory.read(rows, draws), self.memory.labels[rows]) if self.size else nothing()
            mirrored = None
            if sweep.mirrored is not None:
                first = step * sizes + ends[step]
                mirrored = sweep.mirrored[first : first + len(current.y) + len(rows)]
            yield join(current, self.data.encoded, replay, mirrored)

    def _ends(self) -> list[int]:
        """How many of the memory's rows are used before each minibatch, and in all."""
        steps, total = self.steps, self.size
        if total == 0:
            return [0] * (steps + 1)
        if self.replay is not None:
            return [0, *accumulate([self.replay] * steps)]
        total = min(total, steps * max(1, self.minibatch - math.ceil(len(self.data) / steps)))
        return [(total * step) // steps for step in range(steps + 1)]
