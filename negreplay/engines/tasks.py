"""What an engine does: a task is sent to a worker, which tells events and in the end how it ended."""

import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from negreplay.cell import learn_cell
from negreplay.devices import check_device
from negreplay.errors import UserError
from negreplay.positions import Position, read_position
from negreplay.prepare import Cell, Event, encode_cells


@dataclass(frozen=True)
class Task:
    """To learn a cell, or to encode the images that it needs. Plain data that can be sent."""

    cell: Cell
    encoding: bool = False

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        name = f"{self.cell.recipe.name} with seed {self.cell.seed}"
        return f"the encoding of the images for {name}" if self.encoding else name

    @property
    def position(self) -> Position:
        """How far it has come, by its checkpoint; nowhere where images are encoded."""
        return Position() if self.encoding else read_position(self.cell.checkpoint)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be learned."""
        position = self.position
        return position.learned == position.experiences > 0

    def events(self) -> Generator[Event, None, None]:
        """Does it, event by event."""
        yield from encode_cells([self.cell]) if self.encoding else learn_cell(self.cell)


@dataclass(frozen=True)
class End:
    """How the work on a task has ended.

    If it is not `finished`, `reason` is why, as a part of a sentence, and `again` whether another attempt may help.
    `details` are for a programmer.
    """

    finished: bool = True
    reason: str = ""
    again: bool = True
    details: str = ""


@runtime_checkable
class Job(Protocol):
    """A task that a worker has been given."""

    def poll(self) -> tuple[list[Event], End | None]:
        """The events since the last call, and how it ended, or None while it has not."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Has workers, each of which is given one task at a time."""

    def start(self, task: Task) -> Job: ...

    def wait(self) -> None:
        """Returns when something may have happened, after a second at the latest."""
        ...

    def close(self) -> None:
        """Ends all workers, after they have saved."""
        ...


def attempt(task: Task, tell: Callable[[Event], None], pause: float) -> End:
    """Does a task in a worker; ends and saves it when KeyboardInterrupt is raised.

    Args:
        task: what to do.
        tell: is given the events: each end of an experience, and a step when `pause` seconds have passed.
        pause: seconds; a step may take a millisecond, and to show it longer.
    """
    shown = float("-inf")
    try:
        check_device(task.cell.places.device)
        with closing(task.events()) as events:
            for event in events:
                if event.step is None or time.monotonic() - shown > pause:
                    shown = time.monotonic()
                    tell(event)
    except UserError as error:
        return End(False, str(error), again=False)
    except Exception as error:  # whatever it is, the other tasks can be done
        reason = (str(error).strip() or "no more is known").splitlines()[0]
        return End(False, f"{type(error).__name__}: {reason}", details=traceback.format_exc())
    return End()
