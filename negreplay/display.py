"""What is shown of a run: a live display, plain lines where there is no terminal, and the table at the end."""

import shlex
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from negreplay.data.download import Advance
from negreplay.prepare import Event
from negreplay.results.metrics import summarise
from negreplay.results.table import terminal_table
from negreplay.run import Run, learn, progress_of, report, rows_of


@dataclass
class Seen:
    """What is shown of one arm and seed: its bar, and the last accuracy."""

    bar: TaskID
    accuracy: str = "-"


def learn_and_report(run: Run, console: Console) -> None:
    """Learns what is left of a run, writes its report and prints its table; Ctrl-C ends it with a hint."""
    try:
        with closing(learn(run)) as events:
            show(events, console, progress_of(run), len(run.study.recipes) * len(run.study.seeds))
    except KeyboardInterrupt:
        print(f"stopped; `negreplay resume {shlex.quote(str(run.folder))}` goes on.", file=sys.stderr)
        sys.exit(130)
    report(run)
    conclude(run, console)


def conclude(run: Run, console: Console) -> None:
    """Prints the table of what a run has reached, and where its report is."""
    console.print(terminal_table(summarise(rows_of(run.folder, run.study), run.study), run.study))
    console.print(f"report: {run.folder / 'report.html'}")


def show(events: Iterable[Event], console: Console, finished: float, runs: int) -> None:
    """Shows events as they come: one bar for the whole study, one for each arm being learned.

    Args:
        events: what happens.
        console: where it is shown; on a pipe every evaluated experience is a line.
        finished: what had been learned before, in runs.
        runs: arms times seeds.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TaskProgressColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, *times, console=console, transient=True, speed_estimate_period=600) as progress:
        whole = progress.add_task("[bold]study", total=runs)
        progress.advance(whole, finished)
        arms: dict[tuple[str, int], Seen] = {}
        for event in events:
            key = event.arm, event.seed
            if key not in arms:
                arms[key] = Seen(progress.add_task(f"{event.arm} seed {event.seed}", total=event.experiences))
            _update(progress, arms[key], event, console)
            if event.step is None:
                progress.advance(whole, 1 / event.experiences)
                if event.index == event.experiences - 1:
                    progress.remove_task(arms.pop(key).bar)


def follow(advances: Iterable[Advance], console: Console) -> None:
    """Shows one task after the other as it advances; on a pipe each is a line when it is over."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TaskProgressColumn(), TimeRemainingColumn())
    last: Advance | None = None
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("")
        for advance in advances:
            if last is not None and advance.task != last.task:
                console.print(_amount(last))
                progress.reset(bar)
            progress.update(bar, description=_amount(advance), completed=advance.done, total=advance.total)
            last = advance
    if last is not None:
        console.print(_amount(last))


def _amount(advance: Advance) -> str:
    """For example: core50_128x128.zip  1,204 of 5,892 MB."""
    scale, unit = (1_000_000, "MB") if advance.unit == "bytes" else (1, advance.unit)
    whole = f" of {advance.total / scale:,.0f}" if advance.total is not None else ""
    return f"{advance.task}  {advance.done / scale:,.0f}{whole} {unit}"


def _update(progress: Progress, seen: Seen, event: Event, console: Console) -> None:
    name, step, row = f"{event.arm} seed {event.seed}", event.step, event.row
    place = f"experience {event.index + 1}/{event.experiences}"
    if step is not None:
        part = f"{step.part} {step.done}/{step.total}" + (f" loss {step.loss:.3f}" if step.loss else "")
        within = event.index + step.done / step.total
        text = f"{name}  {place}  {part}  accuracy {seen.accuracy}"
        progress.update(seen.bar, completed=within, description=text)
    if row is not None:
        seen.accuracy = f"{row.whole:.1%}"
        if not console.is_terminal:
            console.print(
                f"{name}  {place}  accuracy {row.whole:.1%} of all, {row.growing:.1%} of the classes seen",
                soft_wrap=True,
            )
