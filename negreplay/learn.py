"""A run, learned and reported."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path

from negreplay.devices import Device, check_device
from negreplay.engines.cells import learn_cells
from negreplay.engines.choice import place
from negreplay.errors import UserError
from negreplay.files import alone, is_at, remove_unfinished
from negreplay.launch import grouped, learn_along, learn_together
from negreplay.prepare import Event
from negreplay.ranks import RankLostError
from negreplay.recipe import Study
from negreplay.results.metrics import Row
from negreplay.results.report import write_report
from negreplay.results.table import GrowingTable, write_rows
from negreplay.run import LOCK, Run, busy, places_here, reopen, rows_of, setbacks_of

RESULTS = "results.csv"


def learn(run: Run) -> Generator[Event, None, None]:
    """Learns what is left of the run, event by event; closing it ends all its processes.

    `results.csv` has every row when its event is given.

    Raises:
        UserError: another process is learning it already.
        FailedError: some arms could not be learned to the end; the others were.
    """
    check_device(places_here(run.places, run.on).device)
    with alone(run.folder / LOCK, busy(run.folder)) as lock:
        _tidy(run.folder)  # after a kill
        table = GrowingTable(run.folder / RESULTS, rows_of(run.folder, run.study))
        try:
            for event in _learn(run, lock):
                if event.step is None:
                    _check_place(run.folder, lock)
                if event.row is not None:
                    table.add(event.row)
                yield event
            _check_place(run.folder, lock)
        finally:
            _tidy(run.folder)  # after ending processes that were writing


def _check_place(folder: Path, lock: FileIO) -> None:
    if not is_at(lock, folder / LOCK):
        raise UserError(f"{folder} was moved or deleted while it was being learned: resume it where it is now.")


def _learn(run: Run, lock: FileIO) -> Generator[Event, None, None]:
    if run.ranks > 1:
        return learn_together(run.cells(), run.folder, run.ranks, run.threads)
    return learn_cells(run.cells(), place(run.on), run.jobs, run.threads, run.folder, lock)


def follow(device: Device) -> None:
    """Learns the run that the leading rank learns, as another rank, and shows and writes nothing.

    Args:
        device: where it computes.

    Raises:
        UserError: this rank cannot go on, for a reason that is its own.
    """
    with suppress(RankLostError), grouped(device, None) as folder:
        run = reopen(folder)
        learn_along(run.cells(), run.threads)


def _tidy(folder: Path) -> None:
    remove_unfinished(folder)
    remove_unfinished(folder / "checkpoints")


def is_learning(folder: Path) -> bool:
    """Whether a process is learning the run in a folder at this moment."""
    try:
        with alone(folder / LOCK, busy(folder)):
            return False
    except UserError:
        return True


def report(run: Run, shipped: Sequence[Study]) -> list[Row]:
    """Writes results.csv, report.html and the curves from what has been learned so far.

    A process that learns the run meanwhile adds its rows to results.csv itself; then only the rest is written.
    `shipped` are the library's own studies: the page says what was changed in one of them.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(run.folder / LOCK, busy(run.folder)))
        except UserError:
            rows = rows_of(run.folder, run.study)
        else:
            rows = rows_of(run.folder, run.study)
            write_rows(run.folder / RESULTS, rows)
    write_report(run.folder, run.study, rows, run.machine, run.command, shipped, run.images, setbacks_of(run))
    return rows
