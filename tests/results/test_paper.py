"""The paper's tables and figures, filled from runs: what counts as reproduced, what stands in, what is missing."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from imagined import LEVELS, rows_of, six_arms
from rich.console import Console

from negreplay.recipe import Study
from negreplay.results.metrics import Row, Spread
from negreplay.results.paper import (
    Exhibit,
    Found,
    collect,
    exhibits,
    figure_panels,
    missing,
    table_lines,
    to_json,
)
from negreplay.results.paper_report import print_exhibit, write_exhibit
from negreplay.results.reproduced import Line
from negreplay.results.targets import Target, targets

EXHIBITS = {exhibit.name: exhibit for exhibit in exhibits()}
STUDY = replace(six_arms("core50-nc"), hours=18.0, on="one GPU")


def found(study: Study, rows: list[Row] | None = None) -> dict[str, Found]:
    return {study.name: Found(study, tuple(rows_of(study, 9, 50) if rows is None else rows))}


def line(mean: float, std: float | None, paper: float, paper_std: float | None, stand_in: bool = False) -> Line:
    printed = Target("2", "CORe50 NC", "nr-gd", paper, paper_std, None, "", "")
    return Line("CORe50 NC", "nr-gd", printed, "core50-nc", Spread(mean, std), stand_in)


def test_every_table_and_figure_of_results_can_be_asked_for():
    figures = [f"figure{n}" for n in (1, 3, 4, 6, 8, 9, 10, 11)]
    assert list(EXHIBITS) == ["table1", "table2", "table3", *figures, "split-mnist"]
    assert [EXHIBITS[name].title for name in ("table3", "figure10")] == ["Table 3", "Figure 10"]


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (line(0.70, 0.03, 68.0, 4.0), "yes (+0.4 s.d.)"),  # 2 points; sqrt(3^2 + 4^2) = 5
        (line(0.5801, 0.03, 68.0, 4.0), "yes (-2.0 s.d.)"),
        (line(0.57, 0.03, 68.0, 4.0), "no (-2.2 s.d.)"),
        (line(0.70, None, 68.0, 1.0), "+2.00 points; one seed, not judged"),
        (line(0.30, 0.01, 33.1, None), "no (-3.1 s.d.)"),
        (line(0.30, None, 33.1, None), "-3.10 points; one seed, not judged"),
        (line(0.30, 0.0, 33.1, None), "-3.10 points; no deviation to judge by"),
        (line(0.70, 0.03, 68.0, 4.0, stand_in=True), "not run"),
    ],
)
def test_what_counts_as_reproduced(line: Line, verdict: str):
    assert line.reproduced == verdict


def test_a_published_tolerance_decides_where_there_is_one():
    printed = Target("split-mnist", "Split MNIST, class-incremental", "class-dgr", 91.24, None, 1.48, "", "")
    verdicts = [Line("", "class-dgr", printed, "split-mnist", Spread(m, 0.1), False).reproduced for m in (0.8977, 0.95)]
    assert Line("", "", printed, "split-mnist", Spread(0.91, None), False).reproduced.endswith("one seed, not judged")
    assert verdicts == ["yes (-1.47; 1.48 allowed)", "no (+3.76; 1.48 allowed)"]


def test_task_incremental_lines_show_the_task_aware_accuracy():
    study = replace(STUDY, name="split-mnist", recipes=(replace(STUDY.recipes[0], name="task-none"),), seeds=(0,))
    told = [replace(row, task_aware=0.85) for row in rows_of(study, 5, 10)]
    lines = table_lines(EXHIBITS["split-mnist"], found(study, told))
    assert [100 * x.ours.mean for x in lines if x.ours] == [pytest.approx(85.0)]


def test_a_table_shows_ours_beside_every_number_of_the_paper():
    lines = table_lines(EXHIBITS["table2"], found(STUDY))
    assert [(line.benchmark, line.arm) for line in lines[:4]] == [
        ("CORe50 NC", arm) for arm in ("no-replay", "nr-od", "nr-gd", "nr-rd")
    ]
    for shown in lines[:4]:
        finals = [row.whole for row in rows_of(STUDY, 9, 50) if row.arm == shown.arm and row.last]
        assert shown.ours and shown.ours.mean == pytest.approx(sum(finals) / 3) and shown.study == "core50-nc"
    assert [line.reproduced for line in lines[4:]] == ["not run"] * 4


def test_table_1_averages_over_experiences_in_each_benchmark_s_protocol():
    imagenet = replace(STUDY, name="imagenet-nc")
    lines = table_lines(EXHIBITS["table1"], found(STUDY) | found(imagenet))
    rows = [row for row in rows_of(STUDY, 9, 50) if row.arm == "pr-gd"]
    whole, growing = (sum(getattr(row, kind) for row in rows) / len(rows) for kind in ("whole", "growing"))
    ours = {line.benchmark: line.ours.mean for line in lines if line.arm == "pr-gd" and line.ours}
    assert ours == {"CORe50 NC": pytest.approx(whole), "ImageNet-1000 NC": pytest.approx(growing)}


def test_a_stand_in_is_listed_apart_and_reproduces_nothing():
    shape = replace(STUDY, name="cifar50-nc")
    lines = table_lines(EXHIBITS["table2"], found(shape))
    assert [line.reproduced for line in lines] == ["not run"] * len(lines)
    assert [line.study for line in lines if line.stand_in] == ["cifar50-nc"] * 4
    (panel,) = figure_panels(EXHIBITS["figure9"], found(shape))
    assert panel.stand_in and panel.found and panel.found.study == shape
    both = found(shape) | found(STUDY)
    (panel,) = figure_panels(EXHIBITS["figure9"], both)
    assert not panel.stand_in and panel.found is both["core50-nc"]


def test_what_is_missing_is_a_command_with_its_share_of_the_hours():
    rows = [row for row in rows_of(STUDY, 9, 50) if row.arm != "nr-gd" or (row.seed == 0 and row.experience < 5)]
    (item,) = missing(EXHIBITS["figure9"], found(STUDY, rows))
    assert item.command == "negreplay run core50-nc --arms nr-gd" and item.hours == 3.0 and item.on == "one GPU"
    rows = [row for row in rows_of(STUDY, 9, 50) if row.seed != 2]
    (item,) = missing(EXHIBITS["figure9"], found(STUDY, rows))
    assert item.command == "negreplay run core50-nc --seeds 2" and item.hours == 6.0
    assert missing(EXHIBITS["figure9"], found(STUDY)) == []
    (item,) = missing(EXHIBITS["figure9"], found(replace(STUDY, hours=None), []))
    assert item.command == "negreplay run core50-nc" and item.hours is None


def test_rows_of_several_runs_are_gathered_and_changed_settings_left_out():
    rows = rows_of(STUDY, 9, 50)
    first = [row for row in rows if row.seed == 0]
    begun = [row for row in rows if row.seed == 1 and row.experience < 3]
    second = [row for row in rows if row.seed == 1]
    changed = replace(STUDY.recipes[0], evaluate_every=2)
    other = replace(STUDY, recipes=(changed, *STUDY.recipes[1:]))
    gathered = collect(
        STUDY,
        [(STUDY, first), (STUDY, begun), (other, second), (replace(STUDY, name="digits"), rows)],
    )
    expected = {(row.arm, row.seed, row.experience) for row in (*first, *second) if row.arm != changed.name}
    expected |= {(row.arm, row.seed, row.experience) for row in begun if row.arm == changed.name} | {
        (row.arm, row.seed, row.experience) for row in first if row.arm == changed.name
    }
    assert {(row.arm, row.seed, row.experience) for row in gathered.rows} == expected
    assert len(gathered.rows) == len(expected)


@pytest.mark.parametrize("exhibit", exhibits(), ids=lambda exhibit: exhibit.name)
def test_every_page_can_be_written_with_and_without_runs(exhibit: Exhibit, tmp_path: Path):
    shape = replace(STUDY, name="cifar50-nic")
    some = found(STUDY, [row for row in rows_of(STUDY, 9, 50) if row.arm != "nr-od"]) | found(shape)
    for runs in ({}, some):
        console = Console(width=100, record=True, file=StringIO())
        page = write_exhibit(tmp_path, exhibit, runs).read_text()
        print_exhibit(exhibit, runs, console)
        assert exhibit.caption in page and exhibit.title in console.export_text()
        assert json.dumps(to_json(exhibit, runs))
    drawn = {panel.found.study.name for panel in figure_panels(exhibit, some) if panel.found}
    if exhibit.quantity is None:
        assert {path.name for path in tmp_path.glob("*.png")} == {f"{exhibit.name}-{name}.png" for name in drawn}
        assert page.count("<svg viewBox") == len(drawn)


def test_the_terminal_prints_benchmarks_and_arms_whole_and_no_title_twice():
    console = Console(width=80, record=True, file=StringIO())
    exhibit = EXHIBITS["split-mnist"]
    print_exhibit(exhibit, {}, console)
    lines = [line.strip().split("  ")[0] for line in console.export_text().splitlines()]
    first = lines.index("class-incremental")
    expected: list[str] = []
    for benchmark, arms in exhibit.panels:
        printed = [target.arm for target in targets() if target.benchmark == benchmark.name]
        expected.append(benchmark.name.removeprefix("Split MNIST, "))
        expected += [*printed, *(arm for arm in arms if arm not in printed)]
    assert [line for line in lines[first:] if line in expected] == expected
    assert "…" not in "".join(lines)


def test_a_table_says_what_is_averaged(tmp_path: Path):
    console = Console(width=80, record=True, file=StringIO())
    print_exhibit(EXHIBITS["split-mnist"], {}, console)
    sentence = "class-incremental: mean over experiences of the accuracy on their classes, after the last experience."
    assert sentence in " ".join(console.export_text().split())
    assert sentence in write_exhibit(tmp_path, EXHIBITS["split-mnist"], {}).read_text()
    table1 = write_exhibit(tmp_path, EXHIBITS["table1"], {}).read_text()
    assert "CORe50 NC: share of all test images, each counting once, averaged over all evaluated experiences." in table1


def test_generative_replay_stands_beside_what_is_published_of_others(tmp_path: Path):
    exhibit, recipes = EXHIBITS["split-mnist"], (replace(STUDY.recipes[0], name="class-nr-gd"),)
    study = replace(STUDY, name="split-mnist", recipes=recipes, seeds=(0,))
    rows = [replace(row, task_agnostic=0.5) for row in rows_of(study, 5, 10)]
    (shown,) = (line for line in table_lines(exhibit, found(study, rows)) if line.ours)
    assert (shown.arm, shown.paper, shown.reproduced) == ("class-nr-gd", None, "nothing published")
    page = write_exhibit(tmp_path, exhibit, found(study, rows)).read_text()
    row = page.split("class-nr-gd")[1].split("</tr>")[0]
    assert "50.00" in row and row.count("—") == 2 and "nothing published" in row
    begun = found(study, rows[:2])
    assert "class-nr-gd" not in str(missing(exhibit, found(study, rows))) and missing(exhibit, begun)


def test_a_page_says_what_was_measured(tmp_path: Path):
    page = write_exhibit(tmp_path, EXHIBITS["table2"], found(STUDY)).read_text()
    assert "60.99 ± 0.49" in page and f"{100 * LEVELS['nr-gd'] + 1:.2f} ± 1.00" in page
    assert "negreplay run" not in page


def test_the_legend_of_a_figure_names_what_is_drawn(tmp_path: Path):
    begun = [row for row in rows_of(STUDY, 9, 50) if row.arm != "pr-gd"]
    page = write_exhibit(tmp_path, EXHIBITS["figure9"], found(STUDY, begun)).read_text()
    legend = page.split('<div class="legend">')[1].split("</div>")[0]
    assert "NR-GD" in legend and "PR-GD" not in legend
