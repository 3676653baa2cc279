"""Several values for a setting: choices, which make a grid of arms, and ranges, in which a search looks."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from negreplay.errors import UserError
from negreplay.recipe import Recipe, Study

LONGEST = 32
"""Characters of a value in the name of an arm; a longer one has a number instead."""


class Choices(NamedTuple):
    """Values for one setting."""

    values: tuple[Any, ...]


class Range(NamedTuple):
    """The values for one setting from `low` to `high`; whole numbers if both are."""

    low: float
    high: float


def parse_value(text: str) -> Any:
    """A value: JSON, or else a text; several values with commas between them are `Choices`.

    A text that has a comma itself is written as JSON, in quotes.
    """
    value = _json(text)
    if value is not None or text == "null":
        return value
    if "," not in text:
        return text
    values = _json(f"[{text}]") or [part if (one := _json(part)) is None else one for part in text.split(",")]
    return Choices(tuple(None if value == "null" else value for value in values))


def parse_range(text: str) -> Range | None:
    """The range `LOW..HIGH`, or None for a text that is none."""
    low, dots, high = text.partition("..")
    ends = _json(low), _json(high)
    if dots and all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        return Range(*ends)
    return None


def combinations(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The settings with each combination of the values of those that are `Choices`."""
    values = [value.values if isinstance(value, Choices) else (value,) for value in settings.values()]
    for one in product(*values):
        yield dict(zip(settings, one, strict=True))


def check_choices(settings: Mapping[str, Any], source: str) -> None:
    """Refuses an empty choice and one that is there twice.

    Raises:
        UserError: there is one; the sentence starts with `source`.
    """
    for place, value in settings.items():
        if isinstance(value, Choices):
            texts = [json.dumps(one) for one in value.values]
            if "" in value.values:
                raise UserError(f"{source}: {place} has an empty value between commas: remove a comma.")
            if len(set(texts)) < len(texts):
                raise UserError(f"{source}: {place} has a value twice: give each once.")


def grid(study: Study, settings: Mapping[str, Any], change: Callable[[Study, dict[str, Any]], Study]) -> Study:
    """The study with an arm for each arm and each combination of the choices for settings that the arm has.

    Args:
        study: whose arms are multiplied.
        settings: values by place, some of them `Choices`.
        change: gives a study other settings.
    """
    places = [place for place, value in settings.items() if isinstance(value, Choices)]
    short = _shortened(places)
    arms: dict[str, dict[str, Recipe]] = {recipe.name: {} for recipe in study.recipes}
    summary = study
    for one in combinations(settings):
        summary = change(study, one)
        for recipe in summary.recipes:
            parts = [recipe.name]
            for place in places:
                if _has(recipe, place):
                    parts += [short[place], _label(settings[place].values, one[place])]
            name = "-".join(parts)
            arms[recipe.name].setdefault(name, replace(recipe, name=name))
    return replace(summary, recipes=tuple(recipe for named in arms.values() for recipe in named.values()))


def _shortened(places: Sequence[str]) -> dict[str, str]:
    """The last part of each place, or as many of the last as tell it from the other places."""
    short = {}
    for place in places:
        parts = place.split(".")
        endings = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        short[place] = next(
            ending for ending in endings if sum(f".{other}".endswith(f".{ending}") for other in places) == 1
        )
    return short


def _has(recipe: Recipe, place: str) -> bool:
    """Whether an arm has a setting."""
    at: Any = recipe
    for part in place.split("."):
        if not hasattr(at, part):
            return False
        at = getattr(at, part)
    return True


def _label(values: Sequence[Any], value: Any) -> str:
    """A value as a part of a name: its own text where that can be one, or else its number among the values."""
    labels = [one if isinstance(one, str) else json.dumps(one) for one in values]
    index = [json.dumps(one) for one in values].index(json.dumps(value))
    usable = all(re.fullmatch(r"[\w.-]+", label) and len(label) <= LONGEST for label in labels)
    return labels[index] if usable else str(index + 1)


def _json(text: str) -> Any:
    """What a JSON text says, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
