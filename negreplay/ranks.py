"""Several processes that learn one run together, on one machine or on many: its ranks.

All ranks run the same code with the same draws, and so have the same state. What is costly is shared out: of each
minibatch, rank r of R computes the rows r, r + R, r + 2 R and so on, and what is summed over the minibatch is then
summed over the ranks. Nothing else is different, so results are those of a single process but for the last bits. A
process that has joined no others is the only rank, and nothing is computed otherwise in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor, distributed

from negreplay.errors import UserError


class RankLostError(UserError):
    """Another rank has ended, so that this one cannot go on."""


def lost(count: int) -> str:
    """What a user is told when one of so many ranks has ended."""
    return (
        f"another of the {count} processes of this run has ended: if it gave a reason, that stands above; "
        "`negreplay resume` goes on from the last checkpoint, with as many processes as --ranks says."
    )


@dataclass(frozen=True)
class Ranks:
    """The number of this rank, from 0, and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this rank shows and saves what all have computed."""
        return self.rank == 0

    def share(self, rows: Shaped[Tensor, "n *shape"]) -> Shaped[Tensor, "k *shape"]:
        """The rows that are computed here."""
        return rows if self.count == 1 else rows[self.rank :: self.count]

    def sum(self, part: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The sum over all ranks, through which no gradient flows.

        Raises:
            RankLostError: another rank has ended.
        """
        if self.count == 1:
            return part
        whole = part.detach().clone(memory_format=torch.contiguous_format)
        try:
            distributed.all_reduce(whole)
        except RuntimeError as error:
            raise RankLostError(lost(self.count)) from error
        return whole

    def total(self, number: int) -> int:
        """The sum of a number over all ranks."""
        return number if self.count == 1 else int(self.sum(torch.tensor(number)))

    def gather(self, rows: Shaped[Tensor, "k *shape"]) -> Shaped[Tensor, "n *shape"]:
        """All rows in their order, of which each rank has its share."""
        if self.count == 1:
            return rows
        whole = rows.new_zeros(self.total(len(rows)), *rows.shape[1:])
        whole[self.rank :: self.count] = rows
        return self.sum(whole)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """A block that the leading rank has left before the others enter it."""
        if not self.leads:
            self.total(0)
        yield
        if self.leads:
            self.total(0)


_present = Ranks()


def present() -> Ranks:
    """The ranks that this process is one of."""
    return _present


@contextmanager
def joined(ranks: Ranks) -> Iterator[None]:
    """A block in which this process is one of several ranks, whose process group exists."""
    global _present
    before, _present = _present, ranks
    try:
        yield
    finally:
        _present = before
