"""What the pages say to type can be typed: commands, programs, studies and links of README, CONTRIBUTING and docs/."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import EXAMPLES, PAGES, README, ROOT, Page, arguments, as_a_reader, everywhere
from tiny import Negreplay

from negreplay.builders.changes import changed, parse_settings, read_any_study, select, with_backbone
from negreplay.cli.main import COMMANDS
from negreplay.cli.runs import RunCommand
from negreplay.recipe import Study
from negreplay.studies import STUDIES, study

STUDY_FILES = {(json.loads(code)["name"], code): page.name for page in PAGES for code in page.code("json")}
RUN_ELSEWHERE = {*README.program.blocks}
"""Blocks that a test of their own runs; those of an example are run with the example."""
NEEDY = {
    "docs/export.md": "photographs/test_export.py",
    "docs/own-loop.md": "bridges/test_own_loop.py",
    "docs/results.md": "results/test_results_page.py",
    "docs/sharing.md": "photographs/test_hub.py",
}
"""Pages whose programs need files, a server or another library, and the tests that run them there."""
ABOUT = 0.03
"""By how much a number that a program prints may differ from the page's."""


def runs_elsewhere(block: str) -> bool:
    return block in RUN_ELSEWHERE or any(block in example for example in EXAMPLES)


def own_program(page: Page) -> bool:
    return page is not README and page.name not in NEEDY and not all(map(runs_elsewhere, page.program.blocks))


@pytest.mark.parametrize("page", NEEDY)
def test_a_program_that_needs_something_is_run_where_it_is(page: str):
    assert f'"{page.rpartition("/")[2]}"' in (ROOT / "tests" / NEEDY[page]).read_text()


def test_every_command_is_among_what_is_typed():
    assert {line[1] for line in everywhere("negreplay") if not line[1].startswith("-")} == set(COMMANDS)


@pytest.mark.parametrize("line", everywhere("negreplay"), ids=" ".join)
def test_a_command_is_understood(line: list[str], negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    """The command line's own parser takes it, and the study, arms, settings and backbone that it names are there.

    A command without anything behind its name is only mentioned.
    """
    if len(line) == 2 and line[1] in COMMANDS:
        return
    if line[1:] == ["--version"] or line[2:] == ["--help"]:
        assert negreplay(*line[1:]).code == 0
        return
    for name, code in STUDY_FILES:
        Path(f"{name}.json").write_text(code)
    called = []
    for kind in COMMANDS.values():
        monkeypatch.setattr(kind, "__call__", lambda command, _: called.append(command))
    assert negreplay(*arguments(line)) == (0, "", "")
    (command,) = called
    assert type(command) is COMMANDS[line[1]]
    if isinstance(command, RunCommand):
        named = with_backbone(study_called(command.study), command.where.backbone, command.where.pretrained)
        assert changed(select(named, command.arms, command.seeds), parse_settings(command.set)).recipes


def study_called(name: str) -> Study:
    return read_any_study(Path(name), STUDIES) if name.endswith(".json") else study(name)


@pytest.mark.parametrize(("name", "code"), list(STUDY_FILES), ids=lambda text: text[:20])
def test_a_study_is_one(name: str, code: str, tmp_path: Path):
    (tmp_path / "study.json").write_text(code)
    named = read_any_study(tmp_path / "study.json", STUDIES)
    assert named.name == name and named.recipes
    assert sum(other == name for other, _ in STUDY_FILES) == 1, "two studies of one name"


@pytest.mark.parametrize("page", list(filter(own_program, PAGES)), ids=lambda page: page.name)
def test_a_program_prints_what_its_page_says(page: Page, tmp_path: Path):
    """All blocks of a page run one after the other, as a reader types them, who sees no warning."""
    program = page.program
    code = 'print("---", flush=True)\n'.join(program.blocks)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=as_a_reader(), capture_output=True, text=True)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    outputs = done.stdout.split("---\n")
    assert len(outputs) == len(program.blocks)
    for output, expected in zip(outputs, program.printed, strict=True):
        if expected is not None:
            ours, theirs = output.split(), expected.split()
            assert len(ours) == len(theirs) and all(map(alike, ours, theirs)), f"prints:\n{output}"


def alike(printed: str, expected: str) -> bool:
    """Whether two words are the same, or decimal numbers that are about the same."""
    decimal = re.compile(r"\d\.\d+")
    if decimal.fullmatch(printed) and decimal.fullmatch(expected):
        return abs(float(printed) - float(expected)) <= ABOUT
    return printed == expected


def test_numbers_that_differ_are_seen():
    assert alike("0.98", "0.97") and not alike("0.9", "0.97") and not alike("5", "6") and alike("[5,", "[5,")


def test_what_is_installed_is_there():
    """Files and extras of `pip install` lines, and what is to be installed, are those of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in everywhere("pip") if line[2:]]
    assert ["pip", "install", "-c", "constraints.txt", "-e", "."] in lines
    for line in lines:
        assert line[1:3] == ["install", "-c"] and (ROOT / line[3]).is_file(), line
        *editable, target = line[4:]
        if editable:
            assert editable == ["-e"]
            extra = re.fullmatch(r"\.(?:\[(\w+)\])?", target)
            assert extra and extra[1] in {None, *project["optional-dependencies"]}
        else:
            assert f"{target}==" in (ROOT / line[3]).read_text()


def test_targets_of_make_are_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = everywhere("make")
    assert {"demo", "test", "docs"} <= {line[1] for line in lines} <= set(targets)
    assert all(len(line) == 2 for line in lines)


def test_programs_that_are_named_are_there():
    lines = everywhere("python")
    assert lines and all((ROOT / line[1]).is_file() for line in lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.text)
    inside = [link for link in links if not link.startswith("https://")]
    assert all((page.path.parent / link).exists() for link in inside), inside
