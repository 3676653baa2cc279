"""Rows in a file there and back, the file's faults, and the table for the terminal."""

import csv
import io
from dataclasses import fields, replace
from pathlib import Path

import pytest
from imagined import rows_of, six_arms
from rich.console import Console

from negreplay.errors import UserError
from negreplay.recipe import ClassifierRecipe, PhaseRecipe, Recipe, Scenario, StreamRecipe, Study
from negreplay.results.metrics import Row, Spread, summarise
from negreplay.results.table import FIELDS, header, line, percent, read_rows, terminal_table, title, write_rows

THIRD = {"cat": 2 / 3, "dog": None, "eel": 1e-17}
ROW = Row("nr-gd", 0, 0, 2, 1, 15, 0.1 + 0.2, 1 / 3, THIRD, 1.5, 0.0, 0.25, 2**40, 7)
ROWS = [
    ROW,
    replace(ROW, experience=1, per_class={"cat": 0.1, "dog": 0.2, "eel": 0.3}, task_aware=2 / 3),
    replace(ROW, arm='ünï "x", y\nz', task_aware=0.0),
]
COLUMNS = [*FIELDS, "class cat", "class dog"]
GOOD = "nr-gd,0,0,2,1,15,0.3,0.5,1.5,0.0,0.25,5,7,0.625,0.75,0.6,"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "results.csv"
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    return path


def test_round_trip_is_exact(tmp_path: Path):
    write_rows(tmp_path / "results.csv", ROWS)
    assert read_rows(tmp_path / "results.csv") == ROWS


def test_a_row_is_added_at_the_end_of_a_file_without_a_look_at_the_others(tmp_path: Path):
    path, names = tmp_path / "nr-gd-0.csv", ("eel", "cat", "dog")
    path.write_text(header(names), encoding="utf-8")
    for number, row in enumerate(ROWS):
        with path.open("a", encoding="utf-8") as file:
            file.write(line(row, names))
        assert read_rows(path) == ROWS[: number + 1]


def test_every_column_has_one_type_and_a_missing_value_is_an_empty_cell(tmp_path: Path):
    """So any reader of tables knows the types: whole numbers, numbers with a point or an exponent, text."""
    write_rows(tmp_path / "results.csv", rows_of(six_arms(), 9, 50))
    columns, *lines = csv.reader((tmp_path / "results.csv").read_text().splitlines())
    assert columns == [*FIELDS, *(f"class {c}" for c in range(50))]
    kinds = {field.name: field.type for field in fields(Row)}
    for name, *cells in zip(columns, *lines, strict=True):
        if kinds.get(name) is int:
            assert all(cell.isdigit() for cell in cells)
        elif name != "arm":
            assert all(cell == "" or (("." in cell or "e" in cell) and float(cell) >= 0) for cell in cells)
    assert lines[0][columns.index("class 49")] == lines[0][columns.index("task_aware")] == ""


def test_the_columns_of_classes_are_those_of_all_rows_in_the_order_of_names(tmp_path: Path):
    first, second = (
        replace(ROW, per_class={"10": 0.5, "9": None}),
        replace(ROW, seed=1, per_class={"a": 1.0, "9": 0.25}),
    )
    write_rows(tmp_path / "results.csv", [first, second])
    columns, *lines = csv.reader((tmp_path / "results.csv").read_text().splitlines())
    assert columns[-3:] == ["class 9", "class 10", "class a"]
    assert [cells[-3:] for cells in lines] == [["", "0.5", ""], ["0.25", "", "1.0"]]


def test_a_name_that_is_no_text_is_written_as_an_escape(tmp_path: Path):
    write_rows(tmp_path / "results.csv", [replace(ROW, per_class={"caf\udce9": 0.5, "\x1b[1m": 0.25, "a\nb": 0.75})])
    (row,) = read_rows(tmp_path / "results.csv")
    assert row.per_class == {r"caf\udce9": 0.5, r"\x1b[1m": 0.25, "a\nb": 0.75}


def test_numpy_numbers_are_written_as_numbers(tmp_path: Path):
    import numpy as np

    write_rows(tmp_path / "results.csv", [replace(ROW, whole=np.float64(0.5), per_class={"cat": np.float64(0.25)})])
    (row,) = read_rows(tmp_path / "results.csv")
    assert (row.whole, row.per_class) == (0.5, {"cat": 0.25})


def test_writing_replaces_and_leaves_nothing_behind(tmp_path: Path):
    for rows in (ROWS, ROWS[:1]):
        write_rows(tmp_path / "results.csv", rows)
    assert read_rows(tmp_path / "results.csv") == ROWS[:1]
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "results.csv"
    write_rows(path, ROWS)
    with pytest.raises(UnicodeEncodeError):
        write_rows(path, [ROW, replace(ROW, arm="\ud800")])
    assert read_rows(path) == ROWS


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("nr-gd,0,0,2,1,0.3", "line 3: it has 6 values for 17 columns"),
        (GOOD.replace("0.3", "half"), "line 3: whole is 'half'"),
        (GOOD.replace("0.3", "nan"), "line 3: whole is 'nan'"),
        (GOOD.replace("0.3", "30"), "line 3: whole is '30'"),
        (GOOD.replace("0.3", ""), "line 3: whole is ''"),
        (GOOD.replace(",15,", ",1.5,"), "line 3: test_images is '1.5'"),
        (GOOD.replace("0.6,", "?,"), "line 3: class cat is '?'"),
        (GOOD.replace("0.6,", "0.6,2"), "line 3: class dog is '2'"),
        (GOOD.replace("0.75", "75"), "line 3: task_aware is '75'"),
        (GOOD.replace("0.75", "1.0000001"), "line 3: task_aware is '1.0000001'"),
        (GOOD.replace("0.75", "-0.75"), "line 3: task_aware is '-0.75'"),
        (GOOD.replace("0.75", "nan"), "line 3: task_aware is 'nan'"),
        (GOOD.replace("0.75", "None"), "line 3: task_aware is 'None'"),
        (GOOD.replace("nr-gd,0,0", "nr-gd,0,2"), "line 3: experience is 2 of 2"),
        (GOOD.replace("nr-gd,0,0", "nr-gd,-1,0"), "line 3: seed is '-1'"),
        (GOOD, "line 3: its arm, seed and experience stand on an earlier line too"),
        ("", "line 3: it has 0 values"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, line: str, fault: str):
    path = write(tmp_path, GOOD, line)
    with pytest.raises(UserError) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}, {fault}")


def test_other_columns_are_a_fault(tmp_path: Path):
    path = tmp_path / "results.csv"
    for text in ("", "arm,seed\n", ",".join([*FIELDS, "cat"]) + "\n"):
        path.write_text(text)
        with pytest.raises(UserError, match="line 1: the columns should be arm,seed,experience"):
            read_rows(path)


def test_a_missing_or_unreadable_file(tmp_path: Path):
    with pytest.raises(UserError, match=r"results.csv cannot be read \(.*No such file"):
        read_rows(tmp_path / "results.csv")
    (tmp_path / "results.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"results.csv cannot be read \(.*can't decode byte 0xff"):
        read_rows(tmp_path / "results.csv")


def test_titles():
    names = ["no-replay", "nr-gd", "pr-od", "nr-rd", "pr-sd", "nr-gd-10", "my arm"]
    assert [title(name) for name in names] == ["No replay", "NR-GD", "PR-OD", "NR-RD", "PR-SD", "nr-gd-10", "my arm"]


def test_percent():
    assert percent(Spread(0.686, 0.0138)) == "68.60 ± 1.38"
    assert percent(Spread(0.686, None), 1) == "68.6"
    assert percent(None) == "—"


def test_terminal_table_reads_at_80_columns():
    first = Recipe(
        "no-replay",
        StreamRecipe("digits", Scenario.NC),
        ClassifierRecipe("small", "conv2"),
        PhaseRecipe(1, 0.1, 0.1),
        PhaseRecipe(1, 0.1, 0.1),
    )
    study = Study("test", "A test.", (first, replace(first, name="nr-gd")), (0, 1))
    rows = [replace(ROW, arm="no-replay", seed=seed, experience=1, whole=0.6 + 0.02 * seed) for seed in (0, 1)]
    console = Console(width=80, file=io.StringIO())
    console.print(terminal_table(summarise([*rows, ROW], study), study))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(len(line) for line in lines) <= 80
    assert any("No replay" in line and "61.00 ± 1.41" in line and "2/2" in line for line in lines)
    assert any("NR-GD *" in line and "0/2" in line for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "test: " in text
    assert "* incomplete" in text
