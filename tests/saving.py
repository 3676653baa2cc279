"""A small learner and its checkpoint, for the tests of checkpoints."""

from collections.abc import Collection
from pathlib import Path

import torch
from torch import nn

from negreplay.checkpoint import Checkpoints
from negreplay.positions import Position
from negreplay.results.metrics import Row


def row(experience: int) -> Row:
    return Row(
        "nr-gd",
        3,
        experience,
        5,
        4,
        80,
        0.25,
        1 / 3,
        {"cat": 0.1, "dog": None, "eel": 1.0},
        1.5,
        0.0,
        0.125,
        4096,
        10**9,
    )


def learner(seed: int = 0, width: int = 3) -> nn.Module:
    """With parameters, and buffers of whole numbers, truth values and channels-last maps."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width))
    module.register_buffer("seen", torch.rand(4) > 0.5)
    module.register_buffer("learned", torch.tensor(seed))
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def save_checkpoint(
    path: Path, module: nn.Module, rng: torch.Generator, position: Position, constant: Collection[str]
) -> None:
    Checkpoints(path, module, rng, constant).end(position)


def load_checkpoint(path: Path, module: nn.Module, rng: torch.Generator, constant: Collection[str]) -> Position:
    position, marks = Checkpoints(path, module, rng, constant).load()
    assert marks == []
    return position


POSITION = Position(2, 5, 2, {"classifier": 0.1, "generator": 1 / 3})


def saved_in(folder: Path) -> Path:
    """A checkpoint in a folder."""
    path = folder / "checkpoints" / "nr-gd-3.safetensors"
    rng = seeded(1)
    torch.rand(5, generator=rng)
    save_checkpoint(path, learner(1), rng, POSITION, ())
    return path
