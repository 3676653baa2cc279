"""Rows as a table in a file, `results.csv` for one, and the table for the terminal.

The file has one line for each arm, seed and evaluated experience. Its columns are the fields of a `Row`, then one for
each class, `class NAME`, where a cell is empty if the value is None. So pandas reads it without options.
"""

import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from negreplay.errors import UserError
from negreplay.files import append, write_whole
from negreplay.recipe import Study
from negreplay.results.metrics import Row, Spread, Summary, class_names
from negreplay.results.text import printable

KINDS = {field.name: field.type for field in fields(Row) if field.name != "per_class"}
FIELDS = tuple(KINDS)
SHARES = ("whole", "growing", "task_agnostic", "task_aware")
CLASS = "class "
"""What the column of a class begins with."""


def header(names: Sequence[str]) -> str:
    """The first line of a file whose rows have these classes; names are written as `printable` shows them."""
    return _line([*FIELDS, *(CLASS + printable(name) for name in names)])


def line(row: Row, names: Sequence[str]) -> str:
    """The line of a row below `header(names)`, so that a row can be added to a file without reading it."""
    values = (*(getattr(row, name) for name in FIELDS), *(row.per_class.get(name) for name in names))
    return _line([_cell(value) for value in values])


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a file anew, so that a reader finds either the old one or the new one, never half of one."""
    names = class_names(rows)
    write_whole(path, "".join((header(names), *(line(row, names) for row in rows))).encode())


class GrowingTable:
    """A file of rows to which a line is added for each new one, so that a late row costs no more than an early one.

    Only a row with a class that has no column yet, as the first row has, writes the file anew.
    """

    def __init__(self, path: Path, rows: Sequence[Row]) -> None:
        """Makes the file have these rows, whatever it had before; without rows the first added one makes the file."""
        self.path, self.names = path, class_names(rows)
        if rows:
            write_rows(path, rows)
        else:
            path.unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        """Adds a row. Its classes are named as they are in the file, which may have been read from there."""
        row = replace(row, per_class={printable(name): share for name, share in row.per_class.items()})
        exists = self.path.exists()
        if exists and row.per_class.keys() <= set(self.names):
            append(self.path, line(row, self.names).encode())
        else:
            rows = [*(read_rows(self.path) if exists else []), row]
            write_rows(self.path, rows)
            self.names = class_names(rows)


def read_rows(path: Path, count: int | None = None) -> list[Row]:
    """Read a file of rows, or its first `count` rows, whatever stands below them.

    Raises:
        UserError: if the file is missing or malformed, or has fewer rows; the sentence names the line.
    """
    try:
        content = path.read_bytes()
        whole = content if count is None else content[: content.rfind(b"\n") + 1]  # the last line may be half a line
        reader = csv.reader(StringIO(whole.decode(), newline=""))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it, or run the study again.") from error
    rows: dict[tuple[str, int, int], Row] = {}
    try:
        columns = next(reader, [])
        if tuple(columns[: len(FIELDS)]) != FIELDS or not all(c.startswith(CLASS) for c in columns[len(FIELDS) :]):
            raise ValueError(f"the columns should be {','.join(FIELDS)}, then `{CLASS}NAME` for each class")
        for cells in islice(reader, count):
            row = _row(columns, cells)
            if rows.setdefault((row.arm, row.seed, row.experience), row) is not row:
                raise ValueError("its arm, seed and experience stand on an earlier line too")
        if count is not None and len(rows) < count:
            raise ValueError(f"there should be {count} rows, and there are {len(rows)}")
    except (ValueError, csv.Error) as error:
        fault = f"{path}, line {max(1, reader.line_num)}: {error}"
        raise UserError(f"{fault}; restore the file, or run the study again.") from error
    return list(rows.values())


def title(arm: str) -> str:
    """The name of an arm in tables: `no-replay` is No replay, `pr-od` is PR-OD, any other name stays as it is."""
    if arm == "no-replay":
        return "No replay"
    return arm.upper() if re.fullmatch("[pn]r-[ogrs]d", arm) else arm


def percent(value: Spread | None, digits: int = 2) -> str:
    """A share as `68.60 ± 1.38` in percent; a dash if it is not known."""
    if value is None:
        return "—"
    mean = f"{100 * value.mean:.{digits}f}"
    return mean if value.std is None else f"{mean} ± {100 * value.std:.{digits}f}"


def averaging(study: Study) -> str:
    """How test images are averaged in the tables of a run, and where it is done otherwise."""
    if "split-mnist" in study.reproduces:
        return "Each test image counts once; in `negreplay report split-mnist` each experience does, as published."
    return "Each test image counts once."


def terminal_table(summaries: Sequence[Summary], study: Study) -> Table:
    """Final and average accuracy in percent, mean ± standard deviation over seeds, for 80 columns."""
    unfinished = [summary for summary in summaries if summary.incomplete]
    caption = f"Mean ± standard deviation over {len(study.seeds)} seeds." if len(study.seeds) > 1 else "One seed."
    caption += f" whole: all test images; growing: those of the classes seen so far. {averaging(study)}"
    if unfinished:
        caption += " * incomplete: only seeds that reached the last experience are counted."
    heading = Text(printable(f"{study.name}: accuracy in %"), style="bold")
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


def _line(cells: Sequence[str]) -> str:
    file = StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerow(cells)
    return file.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _row(columns: list[str], cells: list[str]) -> Row:
    """One line of the file as a row; a fault is a `ValueError`."""
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} values for {len(columns)} columns")
    values: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        try:
            values[name] = _value(name, cell)
        except ValueError as error:
            raise ValueError(f"{name} is {cell!r}") from error
    if not 0 <= values["experience"] < values["experiences"]:
        raise ValueError(f"experience is {values['experience']} of {values['experiences']}")
    return Row(
        **{name: values.pop(name) for name in FIELDS},
        per_class={name.removeprefix(CLASS): share for name, share in values.items()},
    )


def _value(name: str, cell: str) -> Any:
    """A cell as the value of its column; a number out of range is a `ValueError`, as one that is no number is."""
    kind = KINDS.get(name, float | None)
    if kind is str:
        return cell
    if kind == float | None and not cell:
        return None
    number = int(cell) if kind is int else float(cell)
    highest = 1.0 if name in SHARES or name not in KINDS else sys.float_info.max
    if not 0 <= number <= highest:
        raise ValueError(number)
    return number
