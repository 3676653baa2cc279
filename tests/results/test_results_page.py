"""docs/results.md names the columns of results.csv, and its programs run."""

import re
from dataclasses import fields
from pathlib import Path

import matplotlib as mpl
import pytest
from tiny import Negreplay, digits

from negreplay.prepare import Places
from negreplay.results.metrics import Row
from negreplay.results.table import KINDS
from negreplay.starting import start

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
PANDAS, FOLLOWING = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TYPES = {int: "integer", float: "number", str: "text", float | None: "number or empty"}


def test_the_page_names_exactly_the_columns():
    table = PAGE.partition("| column |")[2].partition("\n\n")[0]
    columns = dict(re.findall(r"^\| `([\w ]+)` \| ([a-z ]+) \|", table, re.MULTILINE))
    expected = {field.name: TYPES[KINDS[field.name]] for field in fields(Row) if field.name != "per_class"}
    assert columns == expected | {"class NAME": "number or empty"} and list(columns)[:-1] == list(expected)


def test_its_programs_run_on_a_run(negreplay: Negreplay, capfd: pytest.CaptureFixture[str]):
    Path("runs").mkdir()
    start(Path("runs/digits"), digits("no-replay"), Places(Path(), Path(), None), 1, "test")
    exec(compile(FOLLOWING, "docs/results.md", "exec"), {})
    assert len(capfd.readouterr().out.splitlines()) == 3
    assert negreplay("report", "runs/digits").code == 0
    table = PAGE.partition("| file |")[2].partition("\n\n")[0]
    named = re.findall(r"`([\w.-]+)/?`", " ".join(line.split("|")[1] for line in table.splitlines()[2:]))
    assert {path.name for path in Path("runs/digits").iterdir()} == set(named) - {"wandb"}
    mpl.use("agg")
    exec(compile(PANDAS, "docs/results.md", "exec"), {})
    assert "no-replay" in capfd.readouterr().out and Path("growing.png").stat().st_size > 5000
