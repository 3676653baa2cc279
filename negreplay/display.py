"""What is shown of a run: a live display, plain lines where there is no terminal, and the table at the end."""

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from negreplay.bridges.followers import following
from negreplay.data.download import Advance
from negreplay.errors import FailedError
from negreplay.learn import learn, report
from negreplay.prepare import Event
from negreplay.recipe import Study
from negreplay.results.metrics import Row, summarise
from negreplay.results.table import terminal_table
from negreplay.results.text import printable
from negreplay.run import Run, progress_of, rows_of, setbacks_of

SILENCE = 30.0
"""Seconds without a line after which a pipe gets one, although nothing is finished."""
LONGEST_NAME = 18
"""Characters of an arm's name in the live display; of a longer one the middle is left out."""


@dataclass
class CellBar:
    """The bar of one arm and seed, and its last accuracy."""

    bar: TaskID
    accuracy: str = "-"


class Lines:
    """Lines above a live display, or on a pipe, which has no display."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self.console, self.clock, self.last = console, clock, clock()

    def line(self, text: str) -> None:
        """Prints a line."""
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        self.last = self.clock()

    def sign_of_life(self, text: str) -> None:
        """Prints a line on a pipe that has been silent for long."""
        if not self.console.is_terminal and self.clock() - self.last >= SILENCE:
            self.line(text)


def learn_and_report(run: Run, shipped: Sequence[Study], console: Console, followers: Sequence[str] = ()) -> None:
    """Says what there is to learn from, learns what is left of a run, writes its report and prints its table.

    Args:
        run: the run.
        shipped: the studies of the library, of which the report says what was changed.
        console: where it is shown.
        followers: other tools that are shown the events (see `negreplay.bridges.followers`).

    Raises:
        UserError: one of the followers cannot follow.
        FailedError: some arms have failed; the report has the others.
        KeyboardInterrupt: Ctrl-C was pressed while it learned, or, if it is a `Terminated`, the system ended it; its
            text says how to go on.
    """
    for sentence in run.images:
        Lines(console, time.monotonic).line(sentence)
    try:
        with closing(learn(run)) as events, following(followers, run.folder, run.study) as follower:
            show(shown_to(follower, events), console, progress_of(run), len(run.study.recipes) * len(run.study.seeds))
    except KeyboardInterrupt as stop:
        raise type(stop)(f"stopped; `negreplay resume {shlex.quote(str(run.folder))}` goes on.") from None
    except FailedError:
        if rows_of(run.folder, run.study):
            conclude(run, report(run, shipped), console)
        raise
    conclude(run, report(run, shipped), console)


def shown_to(follower: Callable[[Event], None], events: Iterable[Event]) -> Iterator[Event]:
    """The same events, each of which somebody else sees first."""
    for event in events:
        follower(event)
        yield event


def conclude(run: Run, rows: Sequence[Row], console: Console) -> None:
    """Prints the table of what a run has reached, and where its report is."""
    console.print(terminal_table(summarise(rows, run.study), run.study))
    for sentence in setbacks_of(run):
        Lines(console, time.monotonic).line(sentence)
    Lines(console, time.monotonic).line(f"report: {run.folder / 'report.html'}")


def show(
    events: Iterable[Event],
    console: Console,
    finished: float,
    cells: int,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Shows events as they come: one bar for the whole study, one for each arm that is being learned.

    On a pipe every evaluated experience is a line; while an experience lasts there is one every `SILENCE` seconds.

    Args:
        events: what happens.
        console: where it is shown.
        finished: what had been learned before, in cells.
        cells: how many there are: arms times seeds.
        clock: gives seconds.
    """
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=True))
    lines = Lines(console, clock)
    with _progress(console, 600.0, *times) as progress:
        whole = progress.add_task("study", total=cells)
        progress.advance(whole, finished)
        bars: dict[tuple[str, int], CellBar] = {}
        for event in events:
            key = event.arm, event.seed
            if key not in bars:
                bars[key] = CellBar(progress.add_task(_name(event), total=event.experiences))
            _update(progress, bars[key], event, lines)
            if event.step is None:
                progress.advance(whole, 1 / event.experiences)
                if event.index == event.experiences - 1:
                    progress.remove_task(bars.pop(key).bar)


def follow(advances: Iterable[Advance], console: Console, clock: Callable[[], float] = time.monotonic) -> None:
    """Shows one task after the other as it advances; on a pipe each is a line when it is over, and one while it lasts.

    `clock` gives seconds.
    """
    last: Advance | None = None
    lines = Lines(console, clock)
    with _progress(console, 30.0, TimeRemainingColumn()) as progress:
        bar = progress.add_task("")
        for advance in advances:
            if last is not None and advance.task != last.task:
                lines.line(_amount(last))
                progress.reset(bar)
            progress.update(bar, description=printable(_amount(advance)), completed=advance.done, total=advance.total)
            lines.sign_of_life(_amount(advance))
            last = advance
    if last is not None:
        lines.line(_amount(last))


def _progress(console: Console, period: float, *times: ProgressColumn) -> Progress:
    """A display in which the name of a task is cut to fit; speed is measured over the last `period` seconds."""
    description = TextColumn(
        "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    columns = (description, BarColumn(bar_width=10), TaskProgressColumn(), *times)
    return Progress(*columns, console=console, transient=True, expand=True, speed_estimate_period=period)


def _amount(advance: Advance) -> str:
    """For example: core50_128x128.zip  1,204 of 5,892 MB."""
    scale, unit = (1_000_000, "MB") if advance.unit == "bytes" else (1, advance.unit)
    whole = f" of {advance.total / scale:,.0f}" if advance.total is not None else ""
    return f"{advance.task}  {advance.done / scale:,.0f}{whole} {unit}"


def _name(event: Event) -> str:
    """An arm and its seed in few columns: no-replay 0."""
    arm, beginning = event.arm, LONGEST_NAME // 3
    if len(arm) > LONGEST_NAME:  # the arms of a grid differ at their ends
        arm = f"{arm[:beginning]}…{arm[beginning + 1 - LONGEST_NAME :]}"
    return f"{arm} {event.seed}"


def _update(progress: Progress, cell: CellBar, event: Event, lines: Lines) -> None:
    name, step, row = f"{event.arm} seed {event.seed}", event.step, event.row
    place = f"{event.index + 1}/{event.experiences}"
    if step is not None:
        loss = f" loss {step.loss:.3f}" if step.loss else ""
        text = f"{_name(event)}  {place}  {cell.accuracy}  {step.part}{loss}"
        progress.update(cell.bar, completed=event.index + step.done / step.total, description=text)
        lines.sign_of_life(f"{name}  experience {place}  {step.part} {step.done}/{step.total}{loss}")
    if row is not None:
        cell.accuracy = f"{row.whole:.1%}"
        if not lines.console.is_terminal:
            shares = f"accuracy {row.whole:.1%} of all, {row.growing:.1%} of the classes seen"
            lines.line(f"{name}  experience {place}  {shares}")
