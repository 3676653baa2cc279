"""How far an arm with a seed has come, as its checkpoints tell it.

A checkpoint is a sealed file: tensors, and as text the position. The last two at the end of an experience are kept, and
the last two inside the next one. Beside them is the table of the rows so far, of which a checkpoint counts some.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from negreplay.errors import UserError
from negreplay.results.metrics import Row
from negreplay.results.table import read_rows
from negreplay.sealed import Header, read_header

FORMAT = 3
"""The version of the layout of a checkpoint's text; the one before had no setbacks."""
SMALLER = 0.5
"""By which the learning rates of an experience are multiplied with each of its setbacks."""


@dataclass(frozen=True)
class Setback:
    """Why an arm went back to the start of an experience (from 0), which it then learned at smaller rates."""

    experience: int
    reason: str


@dataclass(frozen=True)
class Position:
    """How far an arm with a seed has come: experiences learned, of how many, and how many rows were written.

    `seconds` are those spent since the last row, by part of the work, and `taken` the steps inside the next experience.
    `setbacks` are those of all experiences so far.
    """

    learned: int = 0
    experiences: int = 0
    rows: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    taken: int = 0
    setbacks: tuple[Setback, ...] = ()

    @property
    def reached(self) -> tuple[int, int, int]:
        """Grows as the arm goes on."""
        return self.learned, len(self.setbacks), self.taken

    @property
    def halvings(self) -> int:
        """How often the rates of the next experience were made smaller."""
        return sum(setback.experience == self.learned for setback in self.setbacks)

    @property
    def slowed(self) -> float:
        """By which the learning rates of the next experience are multiplied."""
        return SMALLER**self.halvings


class Found(NamedTuple):
    """A checkpoint whose header can be read; `stages` are the numbers of its marks, if it is inside an experience."""

    path: Path
    position: Position
    digest: str
    base: str | None
    stages: list[dict[str, Any]]


def before(path: Path) -> Path:
    """Where the checkpoint before the one in this file is."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def inside(path: Path) -> Path:
    """Where the checkpoint inside the next experience is."""
    return path.with_name(f"{path.stem}.inside{path.suffix}")


def table_of(checkpoint: Path) -> Path:
    """The file of the rows that belong to a checkpoint."""
    return checkpoint.with_suffix(".csv")


def read_position(path: Path) -> Position:
    """How far the arm behind these checkpoints has come; nothing learned where there is none.

    Raises:
        UserError: all checkpoints are damaged, or an earlier version has written them.
    """
    damaged: dict[Path, str] = {}
    found = found_at(path, damaged)
    digests = {one.digest for one in found}
    for one in found:
        if not one.base or one.base in digests:
            return one.position
    if damaged:
        raise unreadable(*next(iter(damaged.items())))
    return Position()


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


class DamagedError(Exception):
    """A checkpoint cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def text_of(position: Position, **more: Any) -> str:
    """The text of a checkpoint."""
    return json.dumps({"format": FORMAT, "position": asdict(position)} | more)


def found_at(path: Path, damaged: dict[Path, str]) -> list[Found]:
    """The checkpoints whose headers can be read, the newest first; the others are added to `damaged`."""
    paths = (inside(path), before(inside(path)), path, before(path))
    found = []
    for one in paths:
        if one.exists():
            try:
                found.append(_header(one))
            except DamagedError as error:
                if one.exists():  # else the process that learns the run has removed it at this moment
                    damaged[one] = error.reason
    return sorted(found, key=lambda one: one.position.reached, reverse=True)


def _header(path: Path) -> Found:
    try:
        header: Header = read_header(path)
        if header.text is None:
            raise UserError(
                f"the checkpoint {path} is of an earlier version, or no checkpoint: finish the run with that version, "
                "or run the study anew in another folder."
            )
        described = json.loads(header.text)
        if described["format"] > FORMAT:
            raise UserError(f"the checkpoint {path} is of a newer version: finish the run with that version.")
        fields = described["position"]
        setbacks = tuple(Setback(int(each["experience"]), str(each["reason"])) for each in fields.get("setbacks", ()))
        position = Position(**fields | {"setbacks": setbacks})
        numbers = position.rows, position.learned, position.experiences, position.taken
        if not 0 <= position.rows <= position.learned <= position.experiences or position.taken < 0:
            raise ValueError(f"rows, experiences learned, of how many, and steps are {numbers}")
        if not all(0 <= value < math.inf for value in position.seconds.values()):
            raise ValueError(f"seconds are {position.seconds}")
        return Found(path, position, header.digest, described.get("base"), described.get("stages", []))
    except (SafetensorError, OSError, RuntimeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(path, reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Why a file could not be read, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def unreadable(path: Path, reason: str) -> UserError:
    """What a user is told when no checkpoint is left that can be used."""
    return UserError(f"the checkpoint {path} cannot be read ({reason}): move it away to start this arm anew.")
