"""`results.csv` there and back, its faults, and the table for the terminal."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from negreplay.errors import UserError
from negreplay.recipe import ClassifierRecipe, PhaseRecipe, Recipe, Scenario, StreamRecipe, Study
from negreplay.results.metrics import Row, Spread, summarise
from negreplay.results.table import COLUMNS, percent, read_rows, terminal_table, title, write_rows

ROW = Row("nr-gd", 0, 0, 2, 1, 0.1 + 0.2, 1 / 3, (2 / 3, None, 1e-17), 1.5, 0.0, 0.25, 2**40, 7)
ROWS = [
    ROW,
    replace(ROW, experience=1, per_class=(0.1, 0.2, 0.3), task_aware=2 / 3),
    replace(ROW, arm='ünï "x", y\nz', task_aware=0.0),
]
GOOD = "nr-gd,0,0,2,1,0.3,0.5,0.6 -,1.5,0.0,0.25,5,7,0.625,0.75"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "results.csv"
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    return path


def test_round_trip_is_exact(tmp_path: Path):
    write_rows(tmp_path / "results.csv", ROWS)
    assert read_rows(tmp_path / "results.csv") == ROWS


def test_task_aware_accuracy_is_the_last_column_and_a_dash_where_it_is_not_known(tmp_path: Path):
    write_rows(tmp_path / "results.csv", [replace(ROW, task_aware=0.5), replace(ROW, seed=1)])
    header, known, unknown = (tmp_path / "results.csv").read_text().splitlines()
    assert header.endswith(",peak_bytes,task_agnostic,task_aware")
    assert known.endswith(",7,-,0.5") and unknown.endswith(",7,-,-")
    at_the_edges = write(tmp_path, *(GOOD.replace("0,0,2", f"{i},0,2").replace("0.75", t) for i, t in enumerate("01-")))
    assert [row.task_aware for row in read_rows(at_the_edges)] == [0.0, 1.0, None]


def test_numpy_numbers_are_written_as_numbers(tmp_path: Path):
    import numpy as np

    write_rows(tmp_path / "results.csv", [replace(ROW, whole=np.float64(0.5), per_class=(np.float64(0.25),))])
    (row,) = read_rows(tmp_path / "results.csv")
    assert (row.whole, row.per_class) == (0.5, (0.25,))


def test_writing_replaces_and_leaves_nothing_behind(tmp_path: Path):
    for rows in (ROWS, ROWS[:1]):
        write_rows(tmp_path / "results.csv", rows)
    assert read_rows(tmp_path / "results.csv") == ROWS[:1]
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "results.csv"
    write_rows(path, ROWS)

    def interrupted():
        yield ROW
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, interrupted())
    assert read_rows(path) == ROWS


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("nr-gd,0,0,2,1,0.3", "line 3: it has 6 values for 15 columns"),
        (GOOD.replace("0.3", "half"), "line 3: whole is 'half'"),
        (GOOD.replace("0.3", "nan"), "line 3: whole is 'nan'"),
        (GOOD.replace("0.3", "30"), "line 3: whole is '30'"),
        (GOOD.replace("0.6 -", "0.6 ?"), "line 3: per_class is '0.6 ?'"),
        (GOOD.replace("0.75", "75"), "line 3: task_aware is '75'"),
        (GOOD.replace("0.75", "1.0000001"), "line 3: task_aware is '1.0000001'"),
        (GOOD.replace("0.75", "-0.75"), "line 3: task_aware is '-0.75'"),
        (GOOD.replace("0.75", "nan"), "line 3: task_aware is 'nan'"),
        (GOOD.replace("0.75", "None"), "line 3: task_aware is 'None'"),
        (GOOD.replace("0.75", ""), "line 3: task_aware is ''"),
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
    for text in ("", "arm,seed\n"):
        path.write_text(text)
        with pytest.raises(UserError, match="line 1: the columns should be arm,seed,experience"):
            read_rows(path)


def test_a_missing_or_unreadable_file(tmp_path: Path):
    with pytest.raises(UserError, match="does not exist: run the study first"):
        read_rows(tmp_path / "results.csv")
    (tmp_path / "results.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_rows(tmp_path / "results.csv")


def test_titles():
    names = ["no-replay", "core50-nc/nr-gd", "pr-od", "nr-rd", "my arm"]
    assert [title(name) for name in names] == ["No replay", "NR-GD", "PR-OD", "NR-RD", "my arm"]


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
    study = Study("[b]tes[/b]t", "A test.", (first, replace(first, name="nr-gd")), (0, 1))
    rows = [replace(ROW, arm="no-replay", seed=seed, experience=1, whole=0.6 + 0.02 * seed) for seed in (0, 1)]
    console = Console(width=80, file=io.StringIO())
    console.print(terminal_table(summarise([*rows, ROW], study), study))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(len(line) for line in lines) <= 80
    assert any("No replay" in line and "61.00 ± 1.41" in line and "2/2" in line for line in lines)
    assert any("NR-GD *" in line and "0/2" in line for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "[b]tes[/b]t" in text
    assert "* incomplete" in text
