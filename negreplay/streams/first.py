"""The first experiences of a stream, tested with some of their own training patterns: what a fair search may see."""

from hashlib import blake2b

import torch
from jaxtyping import Int
from torch import Tensor

from negreplay.data.data import Data
from negreplay.data.selected import Selected
from negreplay.errors import UserError
from negreplay.streams.stream import Stream

HELD_OUT = 5
"""One of so many patterns of each class of an experience is held out."""


def first_experiences(stream: Stream, experiences: int, seed: int) -> Stream:
    """The first experiences of a stream, without patterns that are drawn from them and become the test set.

    Nothing of any later experience is in it, nor of the test set (Chaudhry et al., 2019).

    Args:
        stream: from which they are.
        experiences: how many.
        seed: draws the patterns that are held out.

    Raises:
        UserError: there are not so many, or not a class has two patterns.
    """
    if not 1 <= experiences <= len(stream):
        raise UserError(f"--experiences is {experiences}: give 1 to {len(stream)}, which are those of the stream.")
    rng = torch.Generator().manual_seed(seed)
    learned: list[Int[Tensor, " n"]] = []
    tested: list[Int[Tensor, " n"]] = []
    for experience in stream[:experiences]:
        rows, labels = experience.data.rows, experience.data.labels
        tests = torch.zeros(len(rows), dtype=torch.bool)
        for c in experience.classes:
            own = (labels == c).nonzero().flatten()
            count = min(-(-len(own) // HELD_OUT), len(own) - 1)
            tests[own[torch.randperm(len(own), generator=rng)[:count]]] = True
        learned.append(rows[~tests])
        tested.append(rows[tests])
    if not any(map(len, tested)):
        raise UserError("no class has two training images in one experience: none can be held out.")
    train, test = _only(stream.train, torch.cat(learned)), _only(stream.train, torch.cat(tested))
    return Stream(train, test, torch.arange(len(train.labels)).split([len(rows) for rows in learned]))


def _only(data: Data, rows: Int[Tensor, " n"]) -> Selected:
    """Some rows of a data set; what is stored of them is not what is stored of all."""
    digest = blake2b(rows.numpy().tobytes(), digest_size=8).hexdigest()
    return Selected(data, rows, data.labels[rows], data.names, f"{data.fingerprint}-{digest}")
