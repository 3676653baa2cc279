"""Saving and loading a learner at the end of an experience.

A checkpoint is one safetensors file: the learner's `state_dict`, the state of the random generator, and as metadata the
position. Beside it is the table of the rows so far, to which a line is added before a checkpoint that counts it: what a
kill leaves below the rows that are counted does not count. So saving costs the same after any number of experiences.
Reading executes nothing.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from negreplay.errors import UserError
from negreplay.files import write_whole
from negreplay.results.metrics import Row
from negreplay.results.table import read_rows

RANDOM_STATE = "random_state"


@dataclass(frozen=True)
class Position:
    """How far an arm with a seed has come: experiences learned, of how many, and how many rows were written.

    `seconds` are those spent since the last row, by part of the work.
    """

    learned: int = 0
    experiences: int = 0
    rows: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])


def save_checkpoint(
    path: Path, learner: nn.Module, rng: torch.Generator, position: Position, constant: Collection[str]
) -> None:
    """Writes the checkpoint in one piece; `constant` names the state that is rebuilt from the recipe and left out."""
    state = {k: v.detach().cpu().contiguous() for k, v in learner.state_dict().items() if k not in constant}
    state[RANDOM_STATE] = rng.get_state()
    metadata = {name: json.dumps(value) for name, value in vars(position).items()}
    write_whole(path, save(state, metadata))


def read_position(path: Path) -> Position:
    """How far the arm behind this file has come; nothing learned where there is no file.

    Raises:
        UserError: the file is damaged, or an earlier version has written it.
    """
    if not path.exists():
        return Position()
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        if metadata["rows"].startswith("["):
            raise UserError(
                f"the checkpoint {path} is of version 0.1: finish the run with that version, "
                "or run the study anew in another folder."
            )
        learned, experiences, rows = (int(metadata[name]) for name in ("learned", "experiences", "rows"))
        seconds = {part: float(value) for part, value in json.loads(metadata["seconds"]).items()}
        if not 0 <= rows <= learned <= experiences or not all(0 <= value < math.inf for value in seconds.values()):
            raise ValueError(f"{rows} rows of {learned} of {experiences} experiences, and seconds {seconds}")
        return Position(learned, experiences, rows, seconds)
    except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def table_of(checkpoint: Path) -> Path:
    """The file of the rows that belong to a checkpoint."""
    return checkpoint.with_suffix(".csv")


def read_rows_of(checkpoint: Path) -> list[Row]:
    """The rows that a checkpoint counts.

    Raises:
        UserError: the checkpoint or its table is damaged, or the table is missing.
    """
    count, table = read_position(checkpoint).rows, table_of(checkpoint)
    if count and not table.exists():
        raise UserError(
            f"{table} is missing, which holds the results of the checkpoint {checkpoint}: "
            "put it back, or run the study in another folder."
        )
    return read_rows(table, count) if count else []


def load_checkpoint(path: Path, learner: nn.Module, rng: torch.Generator, constant: Collection[str]) -> Position:
    """Restores learner and random generator as they were saved; leaves them alone where there is no file.

    Raises:
        UserError: the file is damaged, or its state is not the state of this learner.
    """
    position = read_position(path)
    if not position.learned:
        return position
    own = learner.state_dict()
    try:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        rng.set_state(state.pop(RANDOM_STATE))
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise _unreadable(path, error) from error
    if different := state.keys() ^ (own.keys() - set(constant)):
        raise _of_another_learner(path, f"{min(different)} is in only one of them")
    try:
        # Names are compared above, for batch norm does not report a missing counter.
        learner.load_state_dict(state | {name: own[name] for name in constant})
    except RuntimeError as error:
        raise _of_another_learner(path, str(error).splitlines()[-1].strip()) from error
    return position


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"the checkpoint {path} cannot be read ({reason}): move it away to start this arm anew.")


def _of_another_learner(path: Path, difference: str) -> UserError:
    return UserError(
        f"the checkpoint {path} does not fit what study.json and the data describe ({difference.rstrip('.')}): "
        "put both back as they were, or run the study in another folder."
    )
