"""`results.csv`, one line for each seed, arm and evaluated experience, and the table for the terminal."""

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from negreplay.errors import UserError
from negreplay.files import write_whole
from negreplay.recipe import Study
from negreplay.results.metrics import Row, Spread, Summary

COLUMNS = tuple(field.name for field in fields(Row))
UNSEEN = "-"
LARGEST = sys.float_info.max


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write `results.csv` anew, so that a reader finds either the old file or the new one, never half of one."""
    file = StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(getattr(row, column)) for column in COLUMNS])
    write_whole(path, file.getvalue().encode())


def read_rows(path: Path) -> list[Row]:
    """Read `results.csv`.

    Raises:
        UserError: if the file is missing or malformed; the sentence names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, cells) for cells in reader]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run the study first, or name the folder of a run.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table ({error}): restore it, or run the study again.") from None
    if not lines or tuple(lines[0][1]) != COLUMNS:
        raise _malformed(path, 1, f"the columns should be {','.join(COLUMNS)}")
    rows: dict[tuple[str, int, int], Row] = {}
    for number, cells in lines[1:]:
        row = _row(path, number, cells)
        key = (row.arm, row.seed, row.experience)
        if key in rows:
            raise _malformed(path, number, "its arm, seed and experience stand on an earlier line too")
        rows[key] = row
    return list(rows.values())


def title(arm: str) -> str:
    """How an arm is called in tables: `no-replay` No replay, `pr-od` PR-OD, any other name as it is."""
    short = arm.rsplit("/", 1)[-1]
    if short == "no-replay":
        return "No replay"
    return short.upper() if re.fullmatch("[pn]r-[ogr]d", short) else short


def percent(value: Spread | None, digits: int = 2) -> str:
    """A share as `68.60 ± 1.38` in percent; a dash if it is not known."""
    if value is None:
        return "—"
    mean = f"{100 * value.mean:.{digits}f}"
    return mean if value.std is None else f"{mean} ± {100 * value.std:.{digits}f}"


def terminal_table(summaries: Sequence[Summary], study: Study) -> Table:
    """Final and average accuracy in percent, mean ± standard deviation over seeds, for 80 columns."""
    unfinished = [summary for summary in summaries if summary.incomplete]
    caption = f"Mean ± standard deviation over {len(study.seeds)} seeds." if len(study.seeds) > 1 else "One seed."
    caption += " whole: all test images; growing: those of the classes seen so far."
    if unfinished:
        caption += " * incomplete: only seeds that reached the last experience are counted."
    heading = Text(f"{study.name}: accuracy in %", style="bold")
    table = Table(title=heading, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    table.add_column("arm", overflow="fold")
    for column in ("final\nwhole", "final\ngrowing", "average\nwhole", "average\ngrowing"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for summary in summaries:
        table.add_row(
            Text(title(summary.arm) + (" *" if summary.incomplete else "")),
            percent(summary.final_whole),
            percent(summary.final_growing),
            percent(summary.average_whole),
            percent(summary.average_growing),
            f"{len(summary.seeds)}/{len(summary.seeds) + len(summary.incomplete)}",
        )
    return table


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_cell, value))
    if value is None:
        return UNSEEN
    return repr(float(value)) if isinstance(value, float) else str(value)


def _row(path: Path, number: int, cells: list[str]) -> Row:
    """One line of the file as a row."""
    if len(cells) != len(COLUMNS):
        raise _malformed(path, number, f"it has {len(cells)} values for {len(COLUMNS)} columns")
    values: dict[str, Any] = {}
    for field, cell in zip(fields(Row), cells, strict=True):
        try:
            values[field.name] = _value(field.name, field.type, cell)
        except ValueError:
            raise _malformed(path, number, f"{field.name} is {cell!r}") from None
    if not 0 <= values["experience"] < values["experiences"]:
        raise _malformed(path, number, f"experience is {values['experience']} of {values['experiences']}")
    return Row(**values)


def _value(name: str, kind: Any, cell: str) -> Any:
    """A cell as the value of its column; a number out of range is a `ValueError`, as one that is no number is."""
    if kind is str:
        return cell
    if kind is int:
        return _within(int(cell))
    if kind == float | None:
        return None if cell == UNSEEN else _within(float(cell), 1.0)
    if kind is float:
        return _within(float(cell), 1.0 if name in ("whole", "growing") else LARGEST)
    return tuple(None if token == UNSEEN else _within(float(token), 1.0) for token in cell.split())


def _within(number: Any, highest: float = LARGEST) -> Any:
    if not 0 <= number <= highest:
        raise ValueError(number)
    return number


def _malformed(path: Path, number: int, fault: str) -> UserError:
    return UserError(f"{path}, line {number}: {fault}; restore the file, or run the study again.")
