"""Labelled data that is read by row, and some rows of it.

A *data set* (`Data`) is anything with labels that can be read by row: images from a folder, digits in memory, latents
from the store. A `View` is some of its rows.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.patterns import Order, Patterns, drawn


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


@runtime_checkable
class InFiles(Protocol):
    """A data set that lies in a few large files, and is read fastest in the order in which its rows lie there."""

    def files_of(self, rows: Int[Tensor, " k"]) -> Int[Tensor, " k"] | None:
        """The number of the file of each of these rows; None where the order does not matter."""
        ...


WINDOW = 8192
"""Rows that are shuffled with one another where a data set lies in files."""


def files_of(data: Data, rows: Int[Tensor, " k"]) -> Int[Tensor, " k"] | None:
    """The number of the file of each of these rows; None where the order in which they are read does not matter."""
    return data.files_of(rows) if isinstance(data, InFiles) else None


def shuffled(data: Data, rows: Int[Tensor, " n"], rng: torch.Generator) -> Int[Tensor, " n"]:
    """All rows in an order drawn at random.

    Where they lie in files, the files come one after the other, in an order that is drawn, and only the rows of a
    window are shuffled with one another. So an epoch reads every file once, from its beginning to its end.
    """
    files = files_of(data, rows)
    if files is None:
        return rows[torch.randperm(len(rows), generator=rng)]
    place = torch.randperm(int(files.max()) + 1 if len(rows) else 0, generator=rng)
    in_sequence = rows[place[files].argsort(stable=True)]
    window = torch.arange(len(rows)) // WINDOW
    return in_sequence[(window + torch.rand(len(rows), generator=rng, dtype=torch.float64)).argsort(stable=True)]


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

    def order(self, rng: torch.Generator) -> Order:
        """All rows, shuffled, with a draw for each where they are varied."""
        return drawn(shuffled(self.data, self.rows, rng), self.data.augmented, rng)

    def read(self, order: Order, size: int, start: int = 0, shared: bool = False) -> Iterator[Patterns]:
        """The rows of an order, `size` at a time, from the batch with the number `start` on.

        If they are `shared`, each rank reads a part of every batch (see `negreplay.ranks`).
        While one batch is used the next is read, in a thread that ends with this generator.
        """
        parts = (order.part(i, i + size) for i in range(start * size, len(order.rows), size))
        yield from _ahead(partial(self._read, part.share() if shared else part) for part in parts)

    def batches(self, size: int, rng: torch.Generator | None = None) -> Iterator[Patterns]:
        """Every row once, `size` at a time: for training, shuffled and perhaps varied by `rng`; as it is without one.

        All that is random is drawn before the first batch.
        """
        yield from self.read(Order(self.rows, None) if rng is None else self.order(rng), size)

    def _read(self, order: Order) -> Patterns:
        return Patterns(self.data.read(*order), self.data.labels[order.rows])


def example_of(data: Data) -> tuple[Float[Tensor, "*shape"], int]:
    """An image of a data set, the first one, and the number of its classes: what a learner is built for."""
    return data.read(torch.tensor([0]))[0], len(data.names)


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
