"""The settings of arms side by side: where the arms of a study differ, and what was changed in a shipped study."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from negreplay.recipe import Recipe, Study
from negreplay.results.table import title

NONE = "—"


def differences(recipes: Sequence[Recipe]) -> list[tuple[str, list[str]]]:
    """The settings in which arms differ, by dotted name, with each arm's value.

    A setting of something that only some arms have, such as a generator, is compared among these arms. Settings in
    which few arms stand apart come first.
    """
    flat = [_settings(recipe) for recipe in recipes]
    table = [
        (name, [values.get(name) for values in flat]) for name in dict.fromkeys(n for values in flat for n in values)
    ]
    table = [(name, values) for name, values in table if len({*values} - {None}) > 1]
    table.sort(key=lambda line: _apart(line[1]))
    return [(name, [value or NONE for value in values]) for name, values in table]


def changes(study: Study, shipped: Study) -> list[tuple[str, str]]:
    """What was changed in a shipped study: each setting as `name: old → new`, and the arms in which it was."""
    originals = {recipe.name: recipe for recipe in shipped.recipes}
    changed: dict[str, list[str]] = {}
    for recipe in study.recipes:
        original = originals.get(recipe.name)
        if original is None:
            changed.setdefault("a new arm", []).append(title(recipe.name))
            continue
        old, new = _settings(original), _settings(recipe)
        for name in (name for name in old if name in new and old[name] != new[name]):
            changed.setdefault(f"{name}: {old[name]} → {new[name]}", []).append(title(recipe.name))
    everywhere = len(study.recipes)
    return [(what, "all arms" if len(arms) == everywhere > 1 else ", ".join(arms)) for what, arms in changed.items()]


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """All settings of an arm but its name, by dotted name; a part that may be missing has an entry of its own."""
    settings: dict[str, Any] = {}

    def add(values: dict[str, Any], prefix: str) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                settings[prefix + key] = "yes"
                add(value, f"{prefix}{key}.")
            else:
                settings[prefix + key] = value

    add(asdict(recipe), "")
    del settings["name"]
    return settings


def _settings(recipe: Recipe) -> dict[str, str]:
    return {name: NONE if value is None else str(value) for name, value in settings_of(recipe).items()}


def _apart(values: Sequence[str | None]) -> int:
    """How many arms have another value than the one that most arms have."""
    given = [value for value in values if value is not None]
    return len(given) - max(map(given.count, given))
