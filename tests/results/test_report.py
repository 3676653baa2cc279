"""The page and its pictures: whole, self-contained, honest about what is unfinished."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from imagined import rows_of, six_arms
from reported import page, table, words

from negreplay.recipe import Mode, Study
from negreplay.results.curves import SOURCES, SPARE, styles
from negreplay.results.metrics import Row
from negreplay.results.pages import seconds, size
from negreplay.results.report import to_json, write_report
from negreplay.studies.cifar50_systems import EVERYTHING

TITLES = ("No replay", "PR-OD", "PR-GD", "NR-OD", "NR-GD", "NR-RD")
OUTSIDE = re.compile(r"""(?:src|href|action)\s*=\s*(?!["']?#)|url\((?!#)|@import|<script|<link|<iframe|<img""", re.I)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    study = six_arms()
    names = ("猫", "a<b>&'\"", *(f"çlass {c}" for c in range(2, 50)))
    return page(tmp_path_factory.mktemp("full"), study, rows_of(study, 9, 50, names=names))


def test_the_page_asks_for_nothing_outside(full: str):
    assert full.startswith("<!doctype html>")
    assert "http" not in full
    assert not OUTSIDE.search(full)


def test_every_arm_has_its_numbers_and_its_curve(full: str):
    for title in TITLES:
        assert title in full
    assert "61.00 ± 1.00" in full
    assert full.count('role="img"') == 2
    for name in ("none", "original", "generated", "random"):
        assert f"stroke: var(--{name})" in full


def test_the_papers_numbers_are_labelled_as_on_core50(full: str):
    assert "The paper, on CORe50 NC" in full
    assert "68.87 ± 0.88" in full
    assert "44.63 ± 0.77" in full
    assert "other images, so compare the order of the arms" in full


def test_the_best_arm_that_keeps_no_data_is_marked(full: str):
    headline = words(full.split('<p class="headline">')[1].split("</p>")[0])
    assert headline.startswith(
        "★ Of the arms that keep no training data, NR-GD recognises most: 69.0 ± 1.0 % of all 5,000 test images after "
        "the last experience, where chance is 2.0 %. Beside NR-RD (65.0 ± 1.0 %): +4.0 points (95 % interval +2.9 to "
        "+5.1, paired over 3 seeds). Beside No replay (61.0 ± 1.0 %): +8.0 points"
    )
    assert "NR-GD is outdone: PR-OD (71.0 ± 1.0 %), NR-OD (70.0 ± 1.0 %) each recognise more" in headline
    assert words(full).count("NR-GD is outdone") == words(full).count("PR-GD is outdone") == 1
    assert full.count('<tr class="best">') == 1


def test_names_are_escaped_and_any_script_is_kept(full: str):
    assert "猫" in full
    assert "a&lt;b&gt;&amp;" in full
    assert "a<b>" not in full


def test_every_table_scrolls_in_a_box_of_its_own(full: str):
    assert full.count("<table") == full.count('<div class="scroll"><table') == 5


def test_identifiers_are_unique(full: str):
    found = re.findall(r'\bid="([^"]+)"', full)
    assert len(found) == len(set(found))


def test_settings_and_reproduction(full: str):
    text = words(full)
    assert "negreplay run cifar50-nc" in text
    assert "Begun on: 2 cores." in text
    assert '"summary": "Fifty classes in nine experiences."' in text
    assert "replay.source none original generated original generated random" in text
    assert "incomplete" not in text


def test_an_incomplete_run_says_so(tmp_path: Path):
    study = six_arms()
    rows = [row for row in rows_of(study, 9, 50) if row.arm != "nr-rd" and (row.arm, row.seed) != ("pr-od", 2)]
    rows = [row for row in rows if (row.arm, row.seed, row.experience) != ("nr-gd", 1, 8)]
    text = words(page(tmp_path, study, rows))
    assert "This run is incomplete." in text
    assert "PR-OD (seed 2); NR-GD (seed 1); NR-RD (seeds 0, 1, 2)." in text
    assert "NR-GD incomplete" in text


def told(rows: list[Row], arm: str) -> list[Row]:
    """Of an arm, the task-aware accuracy: 0.8, and 0.01 more for each seed."""
    return [replace(row, task_aware=0.8 + 0.01 * row.seed) if row.arm == arm else row for row in rows]


def test_task_aware_accuracy_has_a_column_where_it_is_known_of_any_arm(tmp_path: Path):
    study = six_arms()
    html = page(tmp_path, study, told(rows_of(study, 9, 50), "nr-od"))
    heads, parts, *arms = table(html)
    assert heads[1] == "Final accuracy" and parts[:4] == ["whole", "growing", "task-aware", "whole"]
    shown = {line[0].split()[0]: line[1:4] for line in arms}
    assert shown["NR-OD"] == ["70.00 ± 1.00", "70.00 ± 1.00", "81.00 ± 1.00"]
    assert shown["NR-GD"] == ["69.00 ± 1.00", "69.00 ± 1.00", "—"]
    assert "Task-aware: the growing test set where it is told" in words(html)


def test_task_aware_accuracy_has_no_column_where_it_is_known_of_none(full: str):
    assert "task-aware" not in full.lower()
    _, parts, *_ = table(full)
    assert parts[:3] == ["whole", "growing", "whole"]


@pytest.mark.parametrize("arm", ["none", "nr-od"])
def test_each_line_of_the_results_has_a_cell_under_every_heading(arm: str, tmp_path: Path):
    study = six_arms()
    html = page(tmp_path, study, told(rows_of(study, 9, 50), arm))
    first = html.split("<h2>Results</h2>")[1].split("</tr>")[0]
    width = sum(int(span or 1) for span in re.findall(r'<th(?: rowspan="2")?(?: colspan="(\d)")?[ >]', first))
    assert [len(line) for line in table(html)[2:]] == [width] * 6


def test_one_seed_has_neither_band_nor_deviation(tmp_path: Path):
    study = six_arms("digits", seeds=(0,))
    html = page(tmp_path, study, rows_of(study, 5, 10))
    assert "PolyCollection" not in html
    assert "60.00 ±" not in html
    assert "The paper, on" not in html
    assert re.search("<th[^>]*>9</th>", html)


def test_one_experience(tmp_path: Path):
    study = six_arms("digits")
    text = words(page(tmp_path, study, rows_of(study, 1, 10)))
    assert "1 experience · 10 classes" in text


def test_nothing_evaluated_yet(tmp_path: Path):
    text = words(page(tmp_path, six_arms(), []))
    assert "This run is incomplete." in text
    assert "No arm has reached the last experience yet." in text


def test_many_experiences_evaluated_rarely(tmp_path: Path):
    study = six_arms("cifar50-nic")
    html = page(tmp_path, study, rows_of(study, 391, 50, every=10))
    assert "391" in html
    assert "The paper, on CORe50 NIC" in html
    assert "average, whole" not in html


def test_the_papers_averages_are_named_after_their_test_set(tmp_path: Path):
    for study, headings in (("cifar50-nc", ["final", "average, whole"]), ("cifar50-25x2", ["average, growing"])):
        study = six_arms(study)
        _, parts, *arms = table(page(tmp_path, study, rows_of(study, 9 if "nc" in study.name else 25, 50)))
        assert parts[4:] == headings
        assert arms[0][-1] == {1: "31.91 ± 0.17", 2: "41.68 ± 0.62"}[len(headings)]


def test_names_that_are_no_text_are_shown_as_escapes(tmp_path: Path):
    study = replace(six_arms(), summary="a\x1b[1m caf\udce9")
    path = write_report(tmp_path, study, rows_of(study, 2, 2, names=("caf\udce9", "\x1b[2J")), "", "--out \udcff", [])
    html = path.read_text(encoding="utf-8")
    for shown in (r"a\x1b[1m", r"caf\udce9", r"\x1b[2J", r"--out \udcff"):
        assert shown in html
    assert "\x1b" not in html


def test_what_a_user_writes_is_shown_and_not_interpreted(tmp_path: Path):
    baseline = six_arms().recipes[0]
    names = ("_hidden", "猫", "x_1")  # matplotlib hides labels with a leading underscore
    study = Study("odd", "<i>odd</i> <script> $x^", tuple(replace(baseline, name=name) for name in names), (0,))
    html = page(tmp_path, study, rows_of(study, 2, 2))
    assert all(name in html for name in names)
    assert "<script>" not in html
    assert "&lt;i&gt;odd" in html


def test_colour_tells_the_source_and_dashes_positive_replay():
    study = six_arms()
    chosen = styles(study.recipes)
    assert len(set(chosen.values())) == 6
    for recipe in study.recipes[1:]:
        style = chosen[recipe.name]
        assert style.colour == SOURCES[recipe.replay.source]
        assert (style.dashes != "none") == (recipe.replay.mode is Mode.POSITIVE)


def test_arms_of_one_kind_still_differ():
    baseline = six_arms().recipes[0]
    chosen = styles([replace(baseline, name=f"arm-{i}") for i in range(1 + 2 * len(SPARE))])
    assert len(set(chosen.values())) == 1 + 2 * len(SPARE)


def test_arms_of_one_meaning_are_explained_once(tmp_path: Path):
    study = six_arms()
    swept = tuple(replace(study.recipes[4], name=f"nr-gd-{share}") for share in (10, 50))
    study = replace(study, recipes=(*study.recipes, *swept))
    html = page(tmp_path, study, rows_of(study, 9, 50))
    listed = html.split('<dl class="arms">')[1].split("</dl>")[0]
    explained = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", listed, re.DOTALL)
    arms = [re.sub(r"<.*?>|\s", " ", names).split() for names, _ in explained]
    assert arms[4] == ["NR-GD", "nr-gd-10", "nr-gd-50"] and len(arms) == len({text for _, text in explained}) == 6


def test_json_is_plain():
    study = six_arms()
    plain = json.loads(json.dumps(to_json(study, rows_of(study, 2, 4))))
    assert plain["study"]["recipes"][1]["replay"]["source"] == "original"
    assert plain["summaries"][0]["final_whole"]["mean"] == pytest.approx(0.61)
    assert plain["summaries"][0]["seeds"] == [0, 1, 2]
    assert plain["rows"][0]["per_class"] == {"0": 0.6, "1": 0.6, "2": None, "3": None}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (185.2, "3 min 05 s"), (3599.7, "1 h 00 min"), (7620, "2 h 07 min")],
)
def test_durations(value: float, text: str):
    assert seconds(float(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (4096, "4.1 kB"), (12.4e6, "12.4 MB"), (1.94e9, "1.9 GB"), (3e12, "3000.0 GB")],
)
def test_sizes(value: float, text: str):
    assert size(float(value)) == text


def test_each_arm_says_how_much_of_the_training_data_it_keeps(tmp_path: Path):
    study = six_arms(seeds=(0,))
    recipes = [replace(study.recipes[1], name="joint", replay=EVERYTHING), *study.recipes]
    study = replace(study, recipes=tuple(recipes))
    heads, *arms = table(page(tmp_path, study, rows_of(study, 9, 50)), "Time and memory")
    column = heads.index("training data")
    assert [line[column] for line in arms] == ["all", "none", "some", "none", "some", "none", "none"]
