"""What flows: labelled patterns, and minibatches in which current and replayed patterns meet.

Below the replay layer original, generated and random patterns are one thing, latents with labels, so every source of
replay is interchangeable. `mix` is the one place where they join the data of the current experience.
"""

import math
from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Patterns(NamedTuple):
    """Images or latents with their labels."""

    x: Float[Tensor, "n *shape"]
    y: Int[Tensor, " n"]

    def counts(self, classes: int) -> Int[Tensor, " classes"]:
        """How many patterns of each class there are."""
        return torch.bincount(self.y, minlength=classes)

    def take(self, rows: Int[Tensor, " k"], rng: torch.Generator) -> Float[Tensor, "k *shape"]:
        """The patterns of these rows, as a minibatch is to have them."""
        return self.x.index_select(0, rows)


class Batch(NamedTuple):
    """One minibatch: b current patterns and m replayed ones, whose labels stand last.

    `encoded` says whether `current` holds latents already (they come from the store) or images.
    """

    current: Float[Tensor, "b *shape"]
    encoded: bool
    replay: Float[Tensor, "m *latent"]
    labels: Int[Tensor, " b+m"]
    replayed: Bool[Tensor, " b+m"]


@runtime_checkable
class Loader(Protocol):
    """Labelled data that can be read in shuffled batches (see `negreplay.data.data.View`)."""

    @property
    def encoded(self) -> bool: ...

    def __len__(self) -> int: ...

    def batches(self, size: int, rng: torch.Generator | None = None) -> Iterator[Patterns]: ...


@runtime_checkable
class Memory(Protocol):
    """Recalled patterns: their labels, and a way to take some of them, which may vary them at random."""

    @property
    def y(self) -> Int[Tensor, " n"]: ...

    def counts(self, classes: int) -> Int[Tensor, " classes"]: ...

    def take(self, rows: Int[Tensor, " k"], rng: torch.Generator) -> Float[Tensor, "k *shape"]: ...


def nothing() -> Patterns:
    """The empty memory of the first experience (Algorithm 2, line 3)."""
    return Patterns(torch.empty(0), torch.empty(0, dtype=torch.long))


def share_of(current: int, memory: int, minibatch: int, replay: int | None = None) -> int:
    """How many patterns of a minibatch are current ones.

    Args:
        current: N, patterns of the experience.
        memory: R, patterns of the memory; with 0 the whole minibatch is current.
        minibatch: B.
        replay: the number replayed, where it is given; otherwise round(B N / (N + R)), which reproduces the paper's
            114 + 14, 64 + 64 and 92 + 36.
    """
    if memory == 0:
        return minibatch
    if replay is not None:
        return minibatch - replay
    return max(min(round(minibatch * current / (current + memory)), minibatch - 1), 1)


def steps_per_epoch(current: int, memory: int, minibatch: int, replay: int | None = None) -> int:
    """Minibatches that one sweep over `current` patterns takes."""
    return math.ceil(current / share_of(current, memory, minibatch, replay))


def mix(loader: Loader, memory: Memory, minibatch: int, replay: int | None, rng: torch.Generator) -> Iterator[Batch]:
    """One epoch: every current pattern once, in minibatches of nearly equal size, each joined by replayed patterns.

    In proportion (`replay` None) the memory too is swept once; a given `replay` draws that many for every minibatch
    from the reshuffled memory, over and over.
    """
    steps = steps_per_epoch(len(loader), len(memory.y), minibatch, replay)
    recalled = _cycle(memory, steps, replay, rng)
    for current in loader.batches(math.ceil(len(loader) / steps), rng):
        old = next(recalled)
        replayed = torch.zeros(len(current.y) + len(old.y), dtype=torch.bool)
        replayed[len(current.y) :] = True
        yield Batch(current.x, loader.encoded, old.x, torch.cat([current.y, old.y]), replayed)


def _cycle(memory: Memory, steps: int, replay: int | None, rng: torch.Generator) -> Iterator[Patterns]:
    """Slices of the shuffled memory, reshuffled whenever it is used up."""
    total = len(memory.y)
    if total == 0:
        yield from repeat(nothing())
    order, used = torch.randperm(total, generator=rng), 0
    for step in range(steps):
        size = replay if replay is not None else (total * (step + 1)) // steps - (total * step) // steps
        while used + size > len(order):
            order = torch.cat([order[used:], torch.randperm(total, generator=rng)])
            used = 0
        rows = order[used : used + size]
        used += size
        yield Patterns(memory.take(rows, rng), memory.y[rows])
