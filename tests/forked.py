"""Work that is done in several ranks, for tests."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from negreplay.ranks import Ranks, joined


def in_ranks(count: int, work: Callable[..., Any], *args: Any) -> None:
    """Does work in so many processes that form a group; they are forked, for torch takes seconds to import."""
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=_member, args=(Ranks(r, count), work, args)) for r in range(count)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(300)
    assert [rank.exitcode for rank in ranks] == [0] * count


def _member(ranks: Ranks, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    folder: Path = args[0]
    distributed.init_process_group("gloo", f"file://{folder}/group", rank=ranks.rank, world_size=ranks.count)
    with joined(ranks):
        work(*args)
    distributed.destroy_process_group()
