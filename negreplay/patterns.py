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

from negreplay.ranks import present


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

    Where several ranks share a minibatch, each has a part of its current and a part of its replayed patterns, and
    `whole` says how many of both there are.
    """

    current: Float[Tensor, "b *shape"]
    encoded: bool
    replay: Float[Tensor, "m *latent"]
    labels: Int[Tensor, " b+m"]
    replayed: Bool[Tensor, " b+m"]
    mirrored: Bool[Tensor, " b+m"] | None = None
    whole: "Whole | None" = None

    @property
    def weight(self) -> float:
        """By what to multiply the mean over the patterns here, so that the mean over ranks is that of the minibatch."""
        return 1.0 if self.whole is None else len(self.labels) * present().count / sum(self.whole)

    @property
    def replays(self) -> bool:
        """Whether there are replayed patterns in the whole minibatch."""
        return len(self.replay) > 0 if self.whole is None else self.whole.replayed > 0

    def mean(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The mean of values of some of the patterns; it has the same `weight` as a mean over all patterns here."""
        if self.whole is None:
            return values.mean()
        return values.sum() * (present().count / present().total(values.numel())) / max(self.weight, 1e-9)

    def noise(self, size: int, rng: torch.Generator) -> Float[Tensor, "n size"]:
        """Normal noise for each pattern, drawn for the whole minibatch, so that all ranks draw the same."""
        if self.whole is None:
            return torch.randn(len(self.labels), size, generator=rng)
        noise = torch.randn(sum(self.whole), size, generator=rng)
        return torch.cat([present().share(part) for part in noise.split(list(self.whole))])


class Whole(NamedTuple):
    """How many current and replayed patterns a minibatch has, in all ranks together."""

    current: int
    replayed: int


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

    def read(self, order: "Order", size: int, start: int = 0, shared: bool = False) -> Iterator[Patterns]: ...


class Order(NamedTuple):
    """The order in which rows are read, and the draws that vary them, which are None where nothing is varied."""

    rows: Int[Tensor, " n"]
    draws: Int[Tensor, " n"] | None

    def part(self, start: int, end: int) -> "Order":
        """The rows from the place `start` up to, but without, the place `end`."""
        return Order(self.rows[start:end], None if self.draws is None else self.draws[start:end])

    def share(self) -> "Order":
        """The rows that are read by this rank."""
        return Order(present().share(self.rows), None if self.draws is None else present().share(self.draws))


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
    each latent is mirrored left to right with probability one half. If it is `shared`, each rank reads a part of every
    minibatch.
    """

    data: Loader
    memory: Memory
    minibatch: int
    replay: int | None = None
    mirrored: bool = False
    shared: bool = True

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
        ends, shared = self._ends(), self.shared and present().count > 1
        size = math.ceil(len(self.data) / self.steps)
        for step, current in enumerate(self.data.read(sweep.current, size, start, shared), start):
            order = sweep.replayed.part(ends[step], ends[step + 1])
            first, last = step * size, min((step + 1) * size, len(self.data))
            whole = Whole(last - first, len(order.rows))
            mirrored = None
            if sweep.mirrored is not None:
                mirrored = sweep.mirrored[first + ends[step] : last + ends[step + 1]]
            if shared:
                order = order.share()
                if mirrored is not None:
                    mirrored = torch.cat([present().share(part) for part in mirrored.split(list(whole))])
            replay = Patterns(self.memory.read(*order), self.memory.labels[order.rows]) if self.size else nothing()
            batch = join(current, self.data.encoded, replay, mirrored)
            yield batch._replace(whole=whole) if shared else batch

    def _ends(self) -> list[int]:
        """How many of the memory's rows are used before each minibatch, and in all."""
        steps, total = self.steps, self.size
        if total == 0:
            return [0] * (steps + 1)
        if self.replay is not None:
            return [0, *accumulate([self.replay] * steps)]
        total = min(total, steps * max(1, self.minibatch - math.ceil(len(self.data) / steps)))
        return [(total * step) // steps for step in range(steps + 1)]
