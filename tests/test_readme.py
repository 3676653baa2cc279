"""README keeps its word: its example runs, its commands are commands, its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tyro
from tiny import Negreplay, digits, file_of

from negreplay.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
LINES = [line.split("#")[0].strip() for kind, block in BLOCKS if not kind for line in block.splitlines()]


def test_the_example_has_ten_lines_and_runs(tmp_path: Path):
    (example,) = (block for kind, block in BLOCKS if kind == "python")
    assert len(example.splitlines()) <= 10
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True, cwd=tmp_path)
    index, accuracy = done.stdout.splitlines()[-1].split()
    assert index == "6" and float(accuracy) > 0.7


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("negreplay ")])
def test_a_command_is_one(line: str):
    arguments = shlex.split(line)[1:]
    arguments = arguments[: arguments.index(">")] if ">" in arguments else arguments
    command = tyro.extras.subcommand_cli_from_dict(
        {name: _parsed(name) for name in COMMANDS}, prog="negreplay", args=arguments
    )
    assert type(command) is COMMANDS[arguments[0]]


def _parsed(name: str):
    """The command as a value, for the parser to make and nobody to run."""

    def keep(command: object) -> object:
        return command

    keep.__annotations__ = {"command": tyro.conf.OmitArgPrefixes[COMMANDS[name]], "return": object}
    return keep


def test_make_has_the_targets():
    targets = [line.split()[1] for line in LINES if line.startswith("make ")]
    assert {"demo", "test"} <= set(targets)
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_links_lead_to_files():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 5 and all((ROOT / link).exists() for link in links), links


def test_a_shown_study_is_changed_run_and_reported(negreplay: Negreplay):
    """The commands of *Your own pictures*, on a study of seconds."""
    path = file_of(digits("no-replay"), Path())
    shown = negreplay("show", path, "--json")
    Path("mine.json").write_text(shown.out)
    assert negreplay("run", "mine.json", "--out", "runs/mine", "--jobs", 1).code == 0
    for command in ("resume", "report"):
        done = negreplay(command, "runs/mine")
        assert done.code == 0 and "No replay" in done.out
    assert "digits" in negreplay("list").out
