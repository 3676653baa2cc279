"""What README.md says is so: its tables, its program, and its commands in their order."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pages import README, arguments, typed
from tiny import CLASSES, Negreplay, digits, environment, file_of, tree

from negreplay.builders.changes import read_any_study
from negreplay.results.table import title
from negreplay.studies import STUDIES, study

(PROGRAM,), (STUDY_FILE,) = README.code("python"), README.code("json")


def in_turn(first: str) -> list[list[str]]:
    """The commands of the shell block that begins with this text."""
    (block,) = (block for block in README.code("") if first in block)
    return typed(block.splitlines(), "negreplay")


def test_the_program_is_short_and_learns(tmp_path: Path):
    assert len(PROGRAM.splitlines()) <= 10
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    printed = [line.split() for line in done.stdout.splitlines()]
    assert [index for index, _ in printed] == ["0", "1", "2", "3", "4", "5", "6"]
    assert float(printed[0][1]) > 0.9 and 0.73 < float(printed[-1][1]) < 0.93
    assert list(tmp_path.iterdir()) == []


def test_images_of_ones_own_are_learned_resumed_and_reported(negreplay: Negreplay):
    """The section on them, with random weights, few iterations and an epoch, which take seconds and need no network."""
    shutil.make_archive("pictures", "zip", tree(Path()))
    Path("mine.json").write_text(STUDY_FILE)
    run, resume, report = map(arguments, in_turn("negreplay run mine.json"))
    run.remove("--pretrained")
    for setting in ("first.epochs=1", "following.epochs=1", "generator.first_iterations=1", "generator.iterations=1"):
        run += ["--set", setting]
    done = negreplay(*run, "--jobs", 1)
    assert done.code == 0, done
    assert len(Path("runs/mine/results.csv").read_text().splitlines()) == 1 + 3 * (len(CLASSES) - 1)
    assert negreplay(*resume).code == 0
    Path("runs/mine/report.html").unlink()
    done = negreplay(*report)
    assert done.code == 0 and "NR-GD" in done.out and Path("runs/mine/report.html").exists()


def test_the_other_commands_do_what_their_comments_say(negreplay: Negreplay):
    shown, written, run, exhibit = in_turn("negreplay list")
    listed = negreplay(*arguments(shown)).out
    assert all(each.name in listed for each in STUDIES)
    Path(written[-1]).write_text(negreplay(*arguments(written)).out)
    assert read_any_study(Path(written[-1]), STUDIES) == study("cifar50-nc")
    assert run[2] == "digits"
    small = file_of(replace(digits(), name="small"), Path())
    done = negreplay("run", small, *arguments(run)[2:], "--jobs", 1)
    assert done.code == 0 and "report: runs/small/report.html" in done.out
    assert negreplay(*arguments(exhibit)).code == 0 and Path("runs/table2.html").exists()


def test_the_table_of_the_demo_has_its_arms():
    (table,) = (part for part in README.text.split("\n\n") if part.startswith("| arm |"))
    names = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert names == [title(arm.name) for arm in study("digits").recipes]


def test_the_table_of_studies_has_their_hours():
    rows = [line.strip("|").split("|") for line in README.text.splitlines() if line.startswith("| `")]
    said = {}
    for first, _, hours in rows:
        names, numbers = re.findall(r"`([\w-]+)`", first), re.findall(r"\d[\d.]*", hours)
        device = "one GPU" if "on one GPU: " in hours else "two cores"
        said |= {name: (float(number), device) for name, number in zip(names, numbers, strict=True)}
    assert said == {each.name: (each.hours, each.on) for each in STUDIES}


def test_the_study_file_says_only_what_differs():
    assert json.loads(STUDY_FILE)["like"] in {each.name for each in STUDIES}
    assert max(map(len, README.text.splitlines())) <= 150
