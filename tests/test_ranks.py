"""Several ranks learn what one process learns, whatever the system."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from arms import ARMS, GENERATOR, NR_GD, build_any, learn, stream_of
from systems import SYSTEMS
from torch import Tensor, distributed

from negreplay.evaluation import evaluate
from negreplay.learners.learner import Learner
from negreplay.ranks import Ranks, joined, present
from negreplay.recipe import Recipe

SGD = replace(GENERATOR, optimizer="sgd", lr=0.05)
EVERY: dict[str, Recipe] = SYSTEMS | ARMS | {"nr-gd, sgd": replace(NR_GD, generator=SGD)}
SENSITIVE = {"adam", "lasting adam", "lwm-e", *(name for name in ARMS if "gd" in name)}
"""Where bits grow: Adam scales a gradient that is nothing but rounding (that of a bias before a batch norm) to its full
step, and LwM divides an attention map by its norm, which may be next to nothing."""
CLOSED = {name for name, recipe in SYSTEMS.items() if recipe.first is None}
"""Systems whose whole state says how they predict."""
STREAM = [0, 2], [4, 1], [1, 3]


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


def learned(name: str) -> tuple[Learner, float]:
    learner, stream = build_any(EVERY[name]), stream_of(*STREAM)
    learn(learner, *stream)
    return learner, evaluate(learner, stream, len(stream) - 1).growing


def save_all(folder: Path) -> None:
    for name in EVERY:
        learner, accuracy = learned(name)
        state = learner.state_dict() | {"rng": learner.rng.get_state(), "accuracy": torch.tensor(accuracy)}
        torch.save(state, folder / f"{name}-{present().rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    in_ranks(2, save_all, place)
    return place


def difference(one: Tensor, other: Tensor) -> float:
    """The largest one, relative to the largest number."""
    if not one.is_floating_point():
        return 0.0 if torch.equal(one, other) else 1.0
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-30)) if one.numel() else 0.0


@pytest.mark.parametrize("name", EVERY)
def test_two_ranks_learn_what_one_learns(folder: Path, name: str):
    learner, accuracy = learned(name)
    first, second = (torch.load(folder / f"{name}-{rank}.pt") for rank in (0, 1))
    assert [key for key in first if not torch.equal(first[key], second[key])] == [], "ranks have one state"
    assert torch.equal(first.pop("rng"), learner.rng.get_state()), "and draw what one process draws"
    assert float(first["accuracy"]) == pytest.approx(accuracy)
    if name not in SENSITIVE:
        heads = [key for key in learner.state_dict() if "head." in key or name in CLOSED]
        assert max(difference(learner.state_dict()[key], first[key]) for key in heads) < 1e-5
