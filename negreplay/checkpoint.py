"""Saving and loading a learner at the end of an experience.

A checkpoint is one safetensors file: the learner's `state_dict`, the state of the random generator, and as metadata the
number of experiences learned and the results so far. Reading it executes nothing.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from negreplay.errors import UserError
from negreplay.files import write_whole
from negreplay.results.metrics import Row

RANDOM_STATE = "random_state"


@dataclass(frozen=True)
class Position:
    """How far a run has come: experiences learned, and a row for each that was evaluated."""

    learned: int
    rows: tuple[Row, ...]


def save_checkpoint(
    path: Path, learner: nn.Module, rng: torch.Generator, position: Position, constant: Collection[str]
) -> None:
    """Writes the checkpoint in one piece; `constant` names the state that is rebuilt from the recipe and left out."""
    state = {k: v.detach().cpu().contiguous() for k, v in learner.state_dict().items() if k not in constant}
    state[RANDOM_STATE] = rng.get_state()
    rows = json.dumps([asdict(row) for row in position.rows])
    write_whole(path, save(state, {"learned": str(position.learned), "rows": rows}))


def read_position(path: Path) -> Position:
    """How far the run behind this file has come; nothing learned where there is no file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return Position(0, ())
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        rows = [Row(**row) for row in json.loads(metadata["rows"])]
        return Position(int(metadata["learned"]), tuple(rows))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"the checkpoint {path} cannot be read ({error}): remove it to start this arm anew.") from error


def load_checkpoint(path: Path, learner: nn.Module, rng: torch.Generator, constant: Collection[str]) -> Position:
    """Restores learner and random generator as they were saved; leaves them alone where there is no file.

    Raises:
        UserError: the file is damaged, or belongs to another recipe.
    """
    position = read_position(path)
    if position.learned:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        rng.set_state(state.pop(RANDOM_STATE))
        try:
            missing = learner.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise UserError(f"the checkpoint {path} belongs to another recipe: remove it.") from error
        if missing.unexpected_keys or set(missing.missing_keys) != set(constant):
            raise UserError(f"the checkpoint {path} belongs to another recipe: remove it.")
    return position
