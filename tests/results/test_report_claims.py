"""What a report claims: whose study it is, which arm is best, and which is outdone."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from imagined import rows_of, six_arms
from reported import page, table, words


def test_the_papers_numbers_stand_beside_arms_that_are_as_shipped_only(tmp_path: Path):
    shipped = six_arms()
    baseline, *others = shipped.recipes
    changed = replace(baseline, evaluate_every=3)
    study = replace(shipped, recipes=(changed, *others))
    html = page(tmp_path, study, rows_of(study, 9, 50), [shipped])
    shown = {line[0].split("incomplete")[0].strip(" ★"): line[-2:] for line in table(html)[2:]}
    assert shown["No replay"] == ["—", "—"] and shown["NR-GD"] == ["68.87 ± 0.88", "44.63 ± 0.77"]
    text = words(html)
    assert (
        "cifar50-nc, changed Settings changed from the shipped study cifar50-nc: evaluate_every: 1 → 3 (No replay)"
        in text
    )
    assert study.summary not in text.split("What you see")[0]
    assert "The paper" not in page(tmp_path, study, rows_of(study, 9, 50), [replace(shipped, name="another")])


def test_a_shipped_study_on_other_data_is_not_shown_as_the_papers(tmp_path: Path):
    study = six_arms()
    html = page(tmp_path, study, rows_of(study, 2, 8))
    assert "The paper" not in html and "experiences: 9 → 2 (other data)" in words(html)


def test_a_study_as_shipped_keeps_its_summary(tmp_path: Path):
    full = page(tmp_path, six_arms(), rows_of(six_arms(), 9, 50))
    assert "Settings changed" not in full and '<p class="lead">Fifty classes in nine experiences.</p>' in full


@pytest.mark.parametrize(("level", "seeds"), [(0.677, (0, 1, 2)), (0.683, (0, 1, 2)), (0.675, (0,))])
def test_where_the_best_may_be_so_by_chance_none_is_crowned(level: float, seeds: tuple[int, ...], tmp_path: Path):
    study = six_arms(seeds=seeds)
    rows = [
        replace(r, whole=level + 0.01 * r.seed) if r.arm == "nr-rd" and r.last else r for r in rows_of(study, 9, 50)
    ]
    html = page(tmp_path, study, rows)
    headline = words(html.split('<p class="headline">')[1].split("</p>")[0])
    assert headline.startswith("No difference seen between the arms that keep no training data and recognise most:")
    assert "NR-GD (6" in headline and "NR-RD (6" in headline and "★" not in html
    assert ("one seed: a difference of less than 1.8 points could be chance" in headline) == (len(seeds) == 1)


def test_where_all_guess_there_is_no_best(tmp_path: Path):
    study = six_arms()
    rows = [replace(row, whole=0.125 + 0.01 * (row.arm == "nr-gd")) for row in rows_of(study, 2, 8)]
    html = page(tmp_path, study, rows)
    headline = words(html.split('<p class="headline">')[1].split("</p>")[0])
    assert headline.startswith("No difference seen: no arm that keeps no training data does better than chance (12.5 %")
    assert "recognises 13.5 ± 0.0 % of all 800 test images" in headline and "★" not in html


def test_arms_of_another_stream_are_not_compared(tmp_path: Path):
    study = six_arms()
    apart = [replace(r, stream=replace(r.arriving, classes=8)) if r.name == "nr-gd" else r for r in study.recipes]
    html = page(tmp_path, replace(study, recipes=tuple(apart)), rows_of(study, 9, 50))
    (headline,) = re.findall('<p class="headline">(.*?)</p>', html, re.DOTALL)
    assert "NR-RD recognises most" in words(headline) and "NR-GD" not in words(headline)


def test_generated_replay_is_said_to_be_outdone_by_what_costs_no_more(tmp_path: Path):
    study = six_arms()
    text = words(page(tmp_path, study, rows_of(study, 9, 50)))
    assert "PR-GD is outdone: No replay (61.0 ± 1.0 %), PR-OD (71.0 ± 1.0 %), NR-OD" in text
    assert "each recognise more than its 41.0 ± 1.0 %, keep no more and take no longer." in text
    assert "NR-GD is outdone: PR-OD (71.0 ± 1.0 %), NR-OD (70.0 ± 1.0 %) each" in text
    assert "NR-OD is outdone" not in text and "No replay is outdone" not in text


@pytest.mark.parametrize(
    "dearer", [{"kept_bytes": 5001}, {"train_seconds": 70.1}, {"generator_seconds": 2.1}, {"whole": 0.67}]
)
def test_who_keeps_more_or_takes_longer_or_recognises_less_outdoes_nobody(tmp_path: Path, dearer: dict[str, float]):
    study = six_arms(seeds=(0,))
    rows = [replace(row, **dearer) if row.arm.endswith("-od") else row for row in rows_of(study, 9, 50)]
    assert "NR-GD is outdone" not in words(page(tmp_path, study, rows))


def test_on_another_stream_nobody_is_outdone(tmp_path: Path):
    study = six_arms(seeds=(0,))
    apart = [replace(r, stream=replace(r.arriving, classes=8)) if r.name.endswith("-od") else r for r in study.recipes]
    text = words(page(tmp_path, replace(study, recipes=tuple(apart)), rows_of(study, 9, 50)))
    assert "NR-GD is outdone" not in text and "PR-GD is outdone: No replay (60.0 %), NR-GD" in text
