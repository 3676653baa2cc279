"""One arm with one seed: the outer loop over experiences, resumable inside each.

`learn_cell` is a generator of `Event`s, so that whoever runs it decides what to show.
"""

import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from negreplay.checkpoint import Checkpoints
from negreplay.errors import DivergedError, UserError
from negreplay.evaluation import Accuracies, evaluate
from negreplay.interrupts import Postponed
from negreplay.journal import Journal
from negreplay.learners.learner import Learner
from negreplay.optimize import Step
from negreplay.positions import Position, Setback, table_of
from negreplay.prepare import Cell, Event, build_cell, over_latents
from negreplay.ranks import present
from negreplay.recipe import Front
from negreplay.results.metrics import Row
from negreplay.results.table import GrowingTable, read_rows
from negreplay.results.text import one_line
from negreplay.streams.stream import Experience

WORTH = 1 / 60
"""A stage that took less of the time between two checkpoints is run again when learning goes on after it."""
HALVINGS = 5
"""How often the learning rates of an experience are halved before a loss that is not finite ends the arm."""


def learn_cell(cell: Cell) -> Generator[Event, None, None]:
    """Learns what is left of the stream, and saves from time to time, inside experiences too.

    It also saves when it is closed, and when Ctrl-C or SIGTERM ask for the end, which wait until a step is finished.
    A cell that goes back learns an experience in which a loss was not finite once more from its start, at half of its
    learning rates. It does not go back to a checkpoint inside, for where that is depends on the speed of the machine.

    Raises:
        DivergedError: a loss was not finite, and the cell does not go back, or has done so `HALVINGS` times.
    """
    while (yield from _learn_on(cell)):
        pass


def _learn_on(cell: Cell) -> Generator[Event, None, bool]:
    """Learns to the end, or until the cell goes back to the start of an experience, and returns whether it has."""
    recipe = cell.recipe
    stream, learner, rng = build_cell(cell)
    constant = _constant(learner)
    checkpoints = Checkpoints(cell.checkpoint, learner, rng, constant, cell.every)
    with present().in_turn():  # the leading rank sets damaged ones aside
        position, marks = checkpoints.load()
    if position.learned == len(stream):
        return False
    stream = yield from over_latents(cell, stream, learner)
    table = _table(cell, position) if present().leads else None
    start, clock, stop = replace(position, experiences=len(stream)), Clock(position.seconds), Postponed()
    _forget_peak()
    for index in range(position.learned, len(stream)):
        with stop:  # until the first step: without a journal nothing could be saved
            event = partial(Event, recipe.name, cell.seed, index, len(stream))
            journal = Journal(learner, rng, constant, marks, start.slowed, WORTH * cell.every)
            experience = stream[index]
        try:
            here = yield from _learn(learner, experience, journal, checkpoints, start, clock, stop, event)
        except DivergedError as error:
            clock.add("classifier")
            with stop:
                checkpoints.keep_start(journal, start)
                checkpoints.go_back(journal, _set_back(cell, replace(start, seconds=dict(clock.seconds)), error))
            stop.act()
            return True
        except UserError:
            checkpoints.keep_start(journal, start)
            raise
        accuracies, row, marks = None, None, []
        try:
            stop.act()
            if _due(index, len(stream), recipe.evaluate_every):
                accuracies = evaluate(learner, stream, index)  # it may take minutes, and changes nothing
        except KeyboardInterrupt:
            checkpoints.save_inside(journal, start, here)
            raise
        with stop:
            rows = start.rows
            if accuracies is not None:
                clock.add("evaluation")
                row = _row(cell, index, len(stream), accuracies, clock, learner)
                if table is not None:
                    table.add(row)
                rows += 1
            start = replace(start, learned=index + 1, rows=rows, seconds=dict(clock.seconds), taken=0)
            checkpoints.end(start, now=stop.asked)
        stop.act()
        try:
            yield event(None, row)
        except GeneratorExit:
            checkpoints.end(start, now=True)
            raise
    return False


def _set_back(cell: Cell, start: Position, error: DivergedError) -> Position:
    """The start of an experience with one more setback, of which the user is told."""
    where = f"in experience {start.learned + 1} {error.reason}"
    if not cell.goes_back:
        raise DivergedError(where, "lower its learning rate, or resume with --on-nan back.") from error
    if start.halvings == HALVINGS:
        reason = f"{where}, after the arm had gone back {HALVINGS} times"
        raise DivergedError(reason, "run the study with a lower learning rate in another folder.") from error
    setback = Setback(start.learned, error.reason)
    if present().leads:
        sentence = (
            f"negreplay: {cell.recipe.name} with seed {cell.seed} goes back to the start of experience "
            f"{start.learned + 1} and halves its learning rates: {error.reason}."
        )
        print(one_line(sentence), file=sys.stderr)
    return replace(start, taken=0, setbacks=(*start.setbacks, setback))


def _table(cell: Cell, position: Position) -> GrowingTable:
    """The table of a cell's rows, without those that its checkpoint does not count."""
    counted = read_rows(table_of(cell.checkpoint), position.rows) if position.rows else []
    return GrowingTable(table_of(cell.checkpoint), counted)


def _learn(
    learner: Learner,
    experience: Experience,
    journal: Journal,
    checkpoints: Checkpoints,
    start: Position,
    clock: "Clock",
    stop: Postponed,
    event: Callable[[Step, None], Event],
) -> Generator[Event, None, Position]:
    """Learns an experience, or what its journal leaves of it, and saves inside it when it is time.

    Returns:
        How far it has come, for what `stop` has postponed to be saved and done.
    """
    steps, here = journal.watch(learner.learn(experience)), replace(start, taken=start.taken - journal.again)
    while True:
        with stop:
            step = next(steps, None)
            if step is None:
                clock.add("classifier")
                return replace(here, seconds=dict(clock.seconds))
            clock.add(step.part)
            here = replace(here, seconds=dict(clock.seconds), taken=here.taken + 1)
            saved = stop.asked or checkpoints.due
            if saved:
                checkpoints.save_inside(journal, start, here)
        stop.act()
        try:
            yield event(step, None)
        except GeneratorExit:
            if not saved:
                checkpoints.save_inside(journal, start, here)
            raise


def _row(cell: Cell, index: int, experiences: int, accuracies: Accuracies, clock: "Clock", learner: Learner) -> Row:
    """What is written of an evaluation."""
    train, generator, evaluation = clock.take()
    return Row(
        arm=cell.recipe.name,
        seed=cell.seed,
        experience=index,
        experiences=experiences,
        **vars(accuracies),
        train_seconds=train,
        generator_seconds=generator,
        evaluate_seconds=evaluation,
        kept_bytes=learner.kept_bytes,
        peak_bytes=_peak(),
    )


class Clock:
    """Seconds spent in each part of the work since the last evaluation, some of them maybe before a run was resumed."""

    def __init__(self, before: Mapping[str, float]) -> None:
        self.seconds = {"classifier": 0.0, "generator": 0.0, "evaluation": 0.0} | dict(before)
        self.last = time.perf_counter()

    def add(self, part: str) -> None:
        """Books the time since the last call on this part."""
        now = time.perf_counter()
        self.seconds[part] += now - self.last
        self.last = now

    def take(self) -> tuple[float, float, float]:
        """Training, generator and evaluation seconds; starts again from zero."""
        taken = self.seconds["classifier"], self.seconds["generator"], self.seconds["evaluation"]
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        return taken


def _due(index: int, experiences: int, every: int) -> bool:
    return (index + 1) % every == 0 or index == experiences - 1


def _constant(learner: Learner) -> frozenset[str]:
    """State that no experience changes: a front blocked from the start, which the recipe rebuilds."""
    if learner.recipe.classifier.front is not Front.BLOCKED:
        return frozenset()
    return frozenset(name for name in learner.state_dict() if name.startswith("classifier.front."))


def _forget_peak() -> None:
    """Lets the kernel's record of peak memory start anew, so that it is this cell's own (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Peak resident memory of this process in bytes; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
