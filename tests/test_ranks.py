"""Several ranks learn what one process learns, whatever the system."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from arms import ARMS, GENERATOR, NR_GD, build_any, learn, stream_of
from forked import in_ranks
from systems import SYSTEMS
from torch import Tensor

from negreplay.evaluation import evaluate
from negreplay.learners.learner import Learner
from negreplay.ranks import present
from negreplay.recipe import Recipe

SGD = replace(GENERATOR, optimizer="sgd", lr=0.05)
EVERY: dict[str, Recipe] = SYSTEMS | ARMS | {"nr-gd, sgd": replace(NR_GD, generator=SGD)}
SENSITIVE = {"adam", "lasting adam", "lwm-e", *(name for name in ARMS if "gd" in name)}
"""Where bits grow: Adam scales a gradient that is nothing but rounding (that of a bias before a batch norm) to its full
step, and LwM divides an attention map by its norm, which may be next to nothing."""
CLOSED = {name for name, recipe in SYSTEMS.items() if recipe.first is None}
"""Systems whose whole state says how they predict."""
VARIANTS = {
    name
    for name in EVERY.keys() - {"nr-gd, sgd"}
    if "," in name or name.endswith("-e") or name.startswith(("naive ", "online ", "lasting "))
}
"""They share nearly all of their code with another one, and so are long tests."""
CASES = [pytest.param(name, marks=pytest.mark.long) if name in VARIANTS else name for name in EVERY]
STREAM = [0, 2], [4, 1], [1, 3]


def learned(name: str) -> tuple[Learner, float]:
    learner, stream = build_any(EVERY[name]), stream_of(*STREAM)
    learn(learner, *stream)
    return learner, evaluate(learner, stream, len(stream) - 1).growing


def save(folder: Path, name: str) -> None:
    learner, accuracy = learned(name)
    state = learner.state_dict() | {"rng": learner.rng.get_state(), "accuracy": torch.tensor(accuracy)}
    torch.save(state, folder / f"{present().rank}.pt")


def difference(one: Tensor, other: Tensor) -> float:
    """The largest one, relative to the largest number."""
    if not one.is_floating_point():
        return 0.0 if torch.equal(one, other) else 1.0
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-30)) if one.numel() else 0.0


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_learn_what_one_learns(tmp_path: Path, name: str):
    in_ranks(2, save, tmp_path, name)
    learner, accuracy = learned(name)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert [key for key in first if not torch.equal(first[key], second[key])] == [], "ranks have one state"
    assert torch.equal(first.pop("rng"), learner.rng.get_state()), "and draw what one process draws"
    assert float(first["accuracy"]) == pytest.approx(accuracy)
    if name not in SENSITIVE:
        heads = [key for key in learner.state_dict() if "head." in key or name in CLOSED]
        assert max(difference(learner.state_dict()[key], first[key]) for key in heads) < 1e-5
