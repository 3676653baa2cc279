"""What docs/departures.md says of switches holds: every field that it names is one of a recipe."""

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from negreplay.recipe import Recipe

PAGE = (Path(__file__).parents[1] / "docs" / "departures.md").read_text()
HEADINGS = [line.lstrip("# ") for line in PAGE.splitlines()[1:] if line.startswith("#")]
ENTRIES = [
    " ".join(entry.split()) for entry in re.findall(r"^- (\*\*.+?)(?=\n- |\n\n|\Z)", PAGE, re.DOTALL | re.MULTILINE)
]
ENDS = [entry.partition("*Switch:*")[2] for entry in ENTRIES]
SWITCHES = sorted({name for end in ENDS for name in re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)[`:]", end)})


def test_every_departure_says_how_to_switch_it():
    assert len(ENTRIES) == PAGE.count("\n- **") > 0
    assert all(ENDS)
    assert {"learner.mean", "following.floor", "classifier.front", "stream.images.augment"} <= set(SWITCHES)


def test_the_index_names_every_heading():
    links = dict(re.findall(r"^ *- \[(.+)\]\(#(.+)\)$", PAGE, re.MULTILINE))
    assert list(links) == HEADINGS
    for heading, anchor in links.items():
        assert anchor == re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_lines_can_be_read_beside_the_code():
    assert max(map(len, PAGE.splitlines())) <= 120


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_a_field_of_a_recipe(name: str):
    kinds: list[Any] = [Recipe]
    for part in name.split("."):
        hints = [get_type_hints(kind)[part] for kind in kinds if part in get_type_hints(kind)]
        assert hints
        kinds = [k for hint in hints for k in (hint, *get_args(hint)) if is_dataclass(k)]
