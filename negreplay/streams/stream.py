"""What arrives when: experiences, and the streams that they make.

An `Experience` is a view of a data set with its place in the stream; a `Stream` is the sequence of experiences with the
test set. The same stream can be read over other data (`Stream.over`): that is how a stream of images becomes a stream
of their latents.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.data.data import Data, Tensors, View
from negreplay.data.decoded import decode_once
from negreplay.errors import UserError
from negreplay.patterns import Patterns


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


def experience(
    x: Float[Tensor, "n *shape"], y: Int[Tensor, " labels"], classes: int, index: int = 0, encoded: bool = False
) -> Experience:
    """An experience of one's own tensors.

    Args:
        x: images with values from 0 to 1, or latents.
        y: the class of each, from 0 to below `classes`.
        classes: how many classes there will be in all experiences.
        index: how many experiences came before.
        encoded: whether `x` holds latents.

    Raises:
        UserError: there are no patterns, labels are missing or too many, or one of them is no class.
    """
    if len(x) == 0 or len(x) != len(y):
        raise UserError(f"x holds {len(x)} patterns and y {len(y)} labels: give one label for each of at least one.")
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise UserError(f"y holds labels from {int(y.min())} to {int(y.max())}: give classes from 0 to {classes - 1}.")
    data = Tensors(x, y.long(), tuple(map(str, range(classes))), "tensors", encoded)
    return Experience(index, View(data, torch.arange(len(y))), torch.bincount(data.labels, minlength=classes))


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
        return Experience(place, decode_once(view), torch.bincount(view.labels, minlength=len(self.names)))

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
        first, _ = self._arrivals
        return (first <= index).nonzero().flatten()

    def arrivals(self) -> Int[Tensor, " classes"] | None:
        """The experience of each class (-1 for one that never comes); None where a class comes twice."""
        first, twice = self._arrivals
        return None if twice else first.where(first < len(self), -1)

    @cached_property
    def _arrivals(self) -> tuple[Int[Tensor, " classes"], bool]:
        """The first experience of each class (their number for one that never comes), and whether one comes twice."""
        first, twice = torch.full((len(self.names),), len(self)), False
        for index, rows in enumerate(self._rows):
            present = self.train.labels[rows].unique()
            twice = twice or bool((first[present] < index).any())
            first[present] = first[present].clamp(max=index)
        return first, twice

    def over(self, train: Data, test: Data) -> "Stream":
        """The same stream read over other data with the same rows: the latents of its images."""
        return Stream(train, test, self._rows)
