"""What README.md and CONTRIBUTING.md say to type can be typed."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import CLASSES, Negreplay, digits, environment, file_of, tree

from negreplay.builders.changes import changed, parse_settings, read_any_study, select, with_backbone
from negreplay.cli.main import COMMANDS
from negreplay.cli.studies import RunCommand
from negreplay.recipe import Study
from negreplay.results.table import title
from negreplay.studies import STUDIES, study

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BOTH = README + (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", BOTH, re.DOTALL | re.MULTILINE)
(PROGRAM,) = (code for language, code in BLOCKS if language == "python")
(STUDY_FILE,) = (code for language, code in BLOCKS if language == "json")
PHRASES = [
    *(line for language, code in BLOCKS if language == "" for line in code.splitlines()),
    *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", BOTH, flags=re.DOTALL | re.MULTILINE)),
]
"""Every line of a shell block, and every text between single backticks."""


def typed(first: str) -> list[list[str]]:
    """The words of each command that begins with this one, without comments and `...`."""
    words = (shlex.split(phrase.replace(" ... ", " digits "), comments=True) for phrase in PHRASES if first in phrase)
    return [line for line in words if line[:1] == [first] and len(line) > 1]


def arguments(line: list[str]) -> list[str]:
    """What the command itself is given: nothing from `>` on, which is the shell's."""
    return line[1 : line.index(">")] if ">" in line else line[1:]


def in_turn(first: str) -> list[list[str]]:
    """The commands of the shell block that begins with this text."""
    (block,) = (code for _, code in BLOCKS if first in code)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    return [line for line in lines if line[:1] == ["negreplay"]]


def test_the_program_is_short_and_learns(tmp_path: Path):
    assert len(PROGRAM.splitlines()) <= 10
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    printed = [line.split() for line in done.stdout.splitlines()]
    assert [index for index, _ in printed] == ["0", "1", "2", "3", "4", "5", "6"]
    assert float(printed[0][1]) > 0.9 and 0.73 < float(printed[-1][1]) < 0.93
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_among_what_is_typed():
    assert {line[1] for line in typed("negreplay")} == set(COMMANDS)


@pytest.mark.parametrize("line", typed("negreplay"), ids=" ".join)
def test_a_command_is_understood(line: list[str], negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    """The command line's own parser takes it, and the study, arms, settings and backbone that it names are there."""
    if line[2:] == ["--help"]:
        assert negreplay(*line[1:]).code == 0
        return
    Path("mine.json").write_text(STUDY_FILE)
    called = []
    for kind in COMMANDS.values():
        monkeypatch.setattr(kind, "__call__", lambda command, _: called.append(command))
    assert negreplay(*arguments(line)) == (0, "", "")
    (command,) = called
    assert type(command) is COMMANDS[line[1]]
    if isinstance(command, RunCommand):
        named = with_backbone(study_called(command.study), command.backbone, command.pretrained)
        assert changed(select(named, command.arms, command.seeds), parse_settings(command.set)).recipes


def study_called(name: str) -> Study:
    return read_any_study(Path(name), STUDIES) if name.endswith(".json") else study(name)


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
    (table,) = (part for part in README.split("\n\n") if part.startswith("| arm |"))
    names = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert names == [title(arm.name) for arm in study("digits").recipes]


def test_the_table_of_studies_has_their_hours():
    rows = [line.strip("|").split("|") for line in README.splitlines() if line.startswith("| `")]
    said = {}
    for first, _, hours in rows:
        names, numbers = re.findall(r"`([\w-]+)`", first), re.findall(r"\d[\d.]*", hours)
        device = "one GPU" if "on one GPU: " in hours else "two cores"
        said |= {name: (float(number), device) for name, number in zip(names, numbers, strict=True)}
    assert said == {each.name: (each.hours, each.on) for each in STUDIES}


def test_what_is_installed_is_there():
    """Files and extras of `pip install` lines, and what is to be installed, are those of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = typed("pip")
    assert {tuple(line[1:]) for line in lines} >= {("install", "-c", "constraints.txt", "-e", ".")}
    for line in lines:
        assert line[1:3] == ["install", "-c"] and (ROOT / line[3]).is_file()
        *editable, target = line[4:]
        if editable:
            assert editable == ["-e"]
            extra = re.fullmatch(r"\.(?:\[(\w+)\])?", target)
            assert extra and extra[1] in {None, *project["optional-dependencies"]}
        else:
            assert f"{target}==" in (ROOT / line[3]).read_text()


def test_targets_of_make_are_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = typed("make")
    assert {"demo", "test"} <= {line[1] for line in lines} <= set(targets)
    assert all(len(line) == 2 for line in lines)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page: str):
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())
    inside = [link for link in links if not link.startswith("https://")]
    assert inside and all((ROOT / link).exists() for link in inside), inside


def test_programs_that_are_named_are_there():
    for line in typed("python"):
        assert (ROOT / line[1]).is_file()
    assert typed("python")


def test_the_study_file_says_only_what_differs():
    assert json.loads(STUDY_FILE)["like"] in {each.name for each in STUDIES}
    assert max(map(len, README.splitlines())) <= 150
