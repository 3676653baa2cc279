"""What docs/departures.md says of switches holds: every field that it names is one of a recipe."""

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from negreplay.recipe import Recipe

PAGE = (Path(__file__).parents[1] / "docs" / "departures.md").read_text()
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|")]
SWITCHES = sorted({name for row in ROWS for name in re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)[`:]", row[-1])})


def test_the_tables_have_switches():
    assert {"learner.mean", "following.floor", "classifier.front", "stream.images.augment"} <= set(SWITCHES)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_a_field_of_a_recipe(name: str):
    kind: Any = Recipe
    for part in name.split("."):
        fields = get_type_hints(kind)
        assert part in fields
        kind = next((k for k in (fields[part], *get_args(fields[part])) if is_dataclass(k)), None)
