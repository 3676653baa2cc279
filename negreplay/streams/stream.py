"""What arrives: data, experiences and streams, and the three scenarios as constructors and as predicates.

A *data set* (`Data`) is anything with labels that can be read by row: images from a folder, digits in memory, latents
from the store. A `View` is some of its rows; an `Experience` is a view with its place in the stream; a `Stream` is the
sequence of experiences with the test set. The same stream can be read over other data (`Stream.over`): that is how a
stream of images becomes a stream of their latents.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, overload, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.errors import UserError
from negreplay.patterns import Patterns

DRAWS = 2**62
"""Draws are below this number."""


@runtime_checkable
class Data(Protocol):
    """A labelled data set that is read by row.

    `labels` are class numbers into `names`; `encoded` is False for images (`Float[Tensor, "k channels height width"]`
    in [0, 1]) and True for latents; `fingerprint` names the content, so that what is computed from it can be stored.

    An image that is read without a draw is always the same. If the set is `augmented`, a draw (any integer from 0)
    chooses one of its variations; otherwise draws mean nothing.
    """

    @property
    def labels(self) -> Int[Tensor, " n"]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def encoded(self) -> bool: ...
    @property
    def augmented(self) -> bool: ...
    @property
    def fingerprint(self) -> str: ...

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *shape"]: ...


@dataclass(frozen=True)
class Tensors:
    """A data set held in memory."""

    x: Float[Tensor, "n *shape"]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str
    encoded: bool = False
    augmented: bool = False

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *shape"]:
        return self.x.index_select(0, rows)


@dataclass(frozen=True)
class View:
    """Some rows of a data set."""

    data: Data
    rows: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def encoded(self) -> bool:
        return self.data.encoded

    @property
    def labels(self) -> Int[Tensor, " n"]:
        return self.data.labels[self.rows]

    def of(self, c: int) -> "View":
        """The rows of one class."""
        return View(self.data, self.rows[self.labels == c])

    def batches(self, size: int, rng: torch.Generator | None = None) -> Iterator[Patterns]:
        """Every row once, `size` at a time: for training, shuffled and perhaps varied by `rng`; as it is without one.

        All that is random is drawn before the first batch. While one batch is used the next is read, in a thread that
        ends with this generator.
        """
        rows, draws = self.rows, None
        if rng is not None:
            rows = rows[torch.randperm(len(rows), generator=rng)]
            if self.data.augmented:
                draws = torch.randint(DRAWS, (len(rows),), generator=rng)
        places = range(0, len(rows), size)
        drawn = (None if draws is None else draws[i : i + size] for i in places)
        chunks = zip((rows[i : i + size] for i in places), drawn, strict=True)
        yield from _ahead(partial(self._read, *chunk) for chunk in chunks)

    def _read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None) -> Patterns:
        return Patterns(self.data.read(rows, draws), self.data.labels[rows])


def _ahead(calls: Iterable[Callable[[], Patterns]]) -> Iterator[Patterns]:
    """What the calls give, in their order; the next one is made while the last one's result is used."""
    pool = ThreadPoolExecutor(1)
    try:
        coming: deque[Future[Patterns]] = deque()
        for call in calls:
            coming.append(pool.submit(call))
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Experience:
    """Data that is accessible together, once (Equations 1 and 2); `index` counts from 0."""

    index: int
    data: View
    counts: Int[Tensor, " classes"]

    @property
    def classes(self) -> tuple[int, ...]:
        """Y_k: the classes present."""
        return tuple(int(c) for c in self.counts.nonzero().flatten())

    def batches(self, size: int, rng: torch.Generator | None = None) -> Iterator[Patterns]:
        return self.data.batches(size, rng)


class Stream(Sequence[Experience]):
    """A sequence of experiences over training data, with the test set that measures it."""

    def __init__(self, train: Data, test: Data, rows: Sequence[Int[Tensor, " _rows"]]) -> None:
        self.train, self.test, self._rows = train, test, tuple(rows)

    @property
    def names(self) -> tuple[str, ...]:
        return self.train.names

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Experience: ...
    @overload
    def __getitem__(self, index: slice) -> "tuple[Experience, ...]": ...
    def __getitem__(self, index: int | slice) -> "Experience | tuple[Experience, ...]":
        if isinstance(index, slice):
            return tuple(self[i] for i in range(len(self))[index])
        place = range(len(self))[index]
        view = View(self.train, self._rows[place])
        return Experience(place, view, torch.bincount(view.labels, minlength=len(self.names)))

    @property
    def whole_test(self) -> View:
        """All test patterns, also of classes that have not arrived yet (the CORe50 protocol)."""
        return View(self.test, torch.arange(len(self.test.labels)))

    def growing_test(self, index: int) -> View:
        """The test patterns of the classes seen up to and including experience `index` (Masana et al., 2020)."""
        seen = torch.isin(self.test.labels, self.seen(index))
        return View(self.test, seen.nonzero().flatten())

    def seen(self, index: int) -> Int[Tensor, " seen"]:
        """The classes that have arrived up to and including experience `index`."""
        return torch.cat([self.train.labels[rows] for rows in self._rows[: index + 1]]).unique()

    def arrivals(self) -> Int[Tensor, " classes"] | None:
        """The experience of each class (-1 for one that never comes); None where a class comes twice."""
        arrived = torch.full((len(self.names),), -1)
        for experience in self:
            present = experience.counts > 0
            if (arrived[present] >= 0).any():
                return None
            arrived[present] = experience.index
        return arrived

    def over(self, train: Data, test: Data) -> "Stream":
        """The same stream read over other data with the same rows: the latents of its images."""
        return Stream(train, test, self._rows)


def new_instances(train: Data, test: Data, parts: int, seed: int) -> Stream:
    """All classes in every experience, each class's patterns cut into `parts` that come in any order (Equation 8)."""
    _check_classes(train)
    pieces = _parts(train, parts)
    order = np.random.RandomState(seed).permutation(parts)
    return Stream(train, test, [torch.cat([part[k] for part in pieces]) for k in order])


def new_classes(train: Data, test: Data, first: int, classes: int, seed: int, names: Sequence[str] = ()) -> Stream:
    """`first` classes, then `classes` at a time; no class comes twice (Equation 9).

    Their order is drawn by the seed, unless `names` gives it.
    """
    _check_classes(train)
    order = class_order(train, first, seed, names)
    groups = [order[:first], *order[first:].split(classes)]
    return Stream(train, test, [torch.isin(train.labels, group).nonzero().flatten() for group in groups if len(group)])


def new_both(train: Data, test: Data, first: int, parts: int, seed: int, names: Sequence[str] = ()) -> Stream:
    """One part of `first` classes, then the remaining (class, part) pairs one at a time, shuffled (Equation 10).

    With 50 classes, 10 first ones and 8 parts this is the shape of CORe50 NIC-391: 1 + 390 experiences. The first
    classes are drawn by the seed, unless they stand first in `names`.
    """
    _check_classes(train)
    order = class_order(train, first, seed, names)
    pieces = _parts(train, parts)
    opening = torch.cat([pieces[int(c)][0] for c in order[:first]])
    held = {(int(c), 0) for c in order[:first]}
    pairs = [(c, part) for c in range(len(train.names)) for part in range(parts) if (c, part) not in held]
    shuffled = np.random.RandomState(seed).permutation(len(pairs))
    return Stream(train, test, [opening, *(pieces[pairs[i][0]][pairs[i][1]] for i in shuffled)])


def is_new_instances(stream: Stream) -> bool:
    """Equation 8: every class is present in the first experience."""
    return set(stream[0].classes) >= {c for experience in stream for c in experience.classes}


def is_new_classes(stream: Stream) -> bool:
    """Equation 9: no experience holds a class of an earlier one."""
    classes = [c for experience in stream for c in experience.classes]
    return len(classes) == len(set(classes))


def is_new_both(stream: Stream) -> bool:
    """Equation 10: some experience holds a class seen before, and some holds a class absent from the first."""
    return not is_new_classes(stream) and not is_new_instances(stream)


def class_order(train: Data, first: int, seed: int, names: Sequence[str]) -> Int[Tensor, " classes"]:
    """The classes as they arrive: drawn by the seed, unless `names` gives them; `first` must not be more than all."""
    classes = len(train.names)
    if first > classes:
        raise UserError(
            f"stream.first_classes is {first}, but the data has {classes} classes: give {classes} or fewer."
        )
    if not names:
        return torch.from_numpy(np.random.RandomState(seed).permutation(classes))
    for name in (*names, *train.names):
        if name not in train.names or name not in names:
            where = "the data has no such class" if name in names else "does not name it"
            raise UserError(f"stream.order and class {name!r}: {where}; name every class of the data once.")
    return torch.tensor([train.names.index(name) for name in names])


def _parts(train: Data, parts: int) -> list[tuple[Int[Tensor, " _rows"], ...]]:
    """For each class, its rows in file order cut into `parts` of nearly equal size."""
    pieces = []
    for c, name in enumerate(train.names):
        rows = (train.labels == c).nonzero().flatten()
        if len(rows) < parts:
            raise UserError(f"class {name!r} has {len(rows)} images for {parts} parts: lower stream.parts.")
        pieces.append(rows.tensor_split(parts))
    return pieces


def _check_classes(train: Data) -> None:
    """A class that is in the test set only cannot be learned."""
    missing = torch.bincount(train.labels, minlength=len(train.names)) == 0
    if missing.any():
        name = train.names[int(missing.nonzero()[0])]
        raise UserError(f"class {name!r} has no training images: add some, or remove it from the test set.")
