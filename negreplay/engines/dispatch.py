"""The same for every engine: so many tasks at once, lost ones again, and the names of those that failed for good."""

import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from negreplay.engines.tasks import End, Engine, Job, Task
from negreplay.files import write_whole
from negreplay.positions import Position, read_rows_of
from negreplay.prepare import Event
from negreplay.results.text import one_line

TRIES = 3
"""Attempts in a row that come no further than the one before, after which a task has failed."""


@dataclass(frozen=True)
class Failure:
    """A task that was given up, and why."""

    task: Task
    end: End


def learn_on(engine: Engine, tasks: Sequence[Task], at_once: int) -> Generator[Event, None, list[Failure]]:
    """Has an engine do the tasks, at most so many at once, and yields their events as they come.

    A task whose worker is lost is tried again from its last checkpoint, after the others. It fails after `TRIES`
    attempts that came no further, or at once where it raised a `UserError`. The others go on.

    Returns:
        The tasks that failed.
    """
    waiting, running, failures = deque(tasks), dict[Job, Task](), list[Failure]()
    attempts = {task.name: _Attempts() for task in tasks}
    told = _Told(tasks)
    while waiting or running:
        while waiting and len(running) < at_once:
            task = waiting.popleft()
            if not task.finished:
                running[engine.start(task)] = task
        if running:
            engine.wait()
        for job, task in list(running.items()):
            events, end = job.poll()
            yield from told.new(events)
            if end is None:
                continue
            del running[job]
            if not task.encoding:
                yield from told.missing(task)
            if end.finished or task.finished:
                continue
            if end.again and attempts[task.name].another(task.position):
                waiting.append(task)
                _say(f"{task.name} was not finished ({end.reason}): it is tried again from its last checkpoint.")
            else:
                failures.append(Failure(task, end))
                _keep(failures[-1])
                if waiting or running:
                    _say(f"{task.name} failed ({end.reason}): the others go on.")
    return failures


def named(failures: Sequence[Failure]) -> str:
    """The failures as a part of a sentence."""
    return "; ".join(f"{failure.task.name} failed ({_inner(failure.end.reason)})" for failure in failures)


class _Attempts:
    """Counts the attempts at a task that came no further than the one before."""

    def __init__(self) -> None:
        self.position, self.vain = Position(), 0

    def another(self, position: Position) -> bool:
        further = position.reached > self.position.reached
        self.position, self.vain = position, 1 if further else self.vain + 1
        return self.vain < TRIES


class _Told:
    """Which ends of experiences have been told, for another attempt may come to the same one once more."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.ends = {_key(task): task.position.learned for task in tasks}

    def new(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events without the ends of experiences that were told before."""
        for event in events:
            if event.step is None:
                if event.index < self.ends[event.arm, event.seed]:
                    continue
                self.ends[event.arm, event.seed] = event.index + 1
            yield event

    def missing(self, task: Task) -> Iterator[Event]:
        """The ends of experiences that a lost worker had no time to tell, from its checkpoint."""
        position, (arm, seed) = task.position, _key(task)
        if position.learned > self.ends[arm, seed]:
            rows = {row.experience: row for row in read_rows_of(task.cell.checkpoint)}
            ends = range(self.ends[arm, seed], position.learned)
            yield from self.new(Event(arm, seed, i, position.experiences, None, rows.get(i)) for i in ends)


def _key(task: Task) -> tuple[str, int]:
    return task.cell.recipe.name, task.cell.seed


def _keep(failure: Failure) -> None:
    """What a programmer needs to know of a failure is kept beside the checkpoint."""
    if failure.end.details:
        write_whole(failure.task.cell.checkpoint.with_suffix(".failure.txt"), failure.end.details.encode())


def _inner(sentence: str) -> str:
    """A sentence as a part of another one."""
    return one_line(sentence).rstrip(".")


def _say(sentence: str) -> None:
    print(f"negreplay: {one_line(sentence)}", file=sys.stderr)
