"""Reading and writing studies as JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from negreplay.data.containers import read_file
from negreplay.errors import UserError
from negreplay.recipe import LearnerRecipe, PenaltyRecipe, Study

LARGEST_STUDY = 10_000_000
"""The most bytes of a study's file."""
SYSTEMS = frozenset(system.__name__ for system in (*get_args(LearnerRecipe), *get_args(PenaltyRecipe)))
"""The names of a union's members in the errors of pydantic, which tries each; users know them by their kinds."""


def read_study(path: Path) -> Study:
    """Reads a file that `dump_study` wrote, or that a user has edited.

    Raises:
        UserError: the file is missing, cannot be read, or a field is wrong.
    """
    try:
        return parse_study(read_file(path, LARGEST_STUDY), str(path))
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: give the path of a study.json.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): give the path of a study.json.") from error


def parse_study(content: bytes, source: str) -> Study:
    """The study in a JSON text; an error's sentence starts with `source`.

    Raises:
        UserError: a field is wrong.
    """
    try:
        study = TypeAdapter(Study).validate_json(content)
    except ValidationError as error:
        raise UserError(f"{source}: {explain(error)}") from error
    _check_kinds(json.loads(content), source)
    return study


def _check_kinds(content: Any, source: str) -> None:
    """Refuses a system without a kind, for it would be guessed from its fields."""
    for i, recipe in enumerate(content["recipes"]):
        learner = recipe.get("learner", {"kind": ""})
        places = {f"recipes.{i}.learner": learner, f"recipes.{i}.learner.penalty": learner.get("penalty")}
        for place, system in places.items():
            if system is not None and "kind" not in system:
                raise UserError(f"{source}: {place}.kind: Field required: add it.")


def explain(error: ValidationError) -> str:
    """The first thing that is wrong in a study, with its place and the remedy."""
    errors = error.errors()
    others = {one["loc"][:-1] for one in errors if one["type"] == "literal_error" and one["loc"][-1] == "kind"}
    relevant = [one for one in errors if not any(one["loc"][: len(other)] == other for other in others)]
    first = (relevant or errors)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in SYSTEMS) or "study"
    if not relevant:
        kind_errors = [one for one in errors if one["loc"][:-2] == first["loc"][:-2] and one["type"] == "literal_error"]
        kinds = [one["ctx"]["expected"] for one in kind_errors if "ctx" in one]
        return f"{place}: it is {first['input']!r}: give one of {', '.join(kinds)}."
    reason = f"{place}: {first['msg'].removeprefix('Value error, ')}"
    match first["type"]:
        case "value_error":
            return reason
        case "json_invalid":
            return f"{reason}: correct it there, or write it anew with `negreplay show NAME --json`."
        case "missing":
            return f"{reason}: add it."
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{reason}: correct its name, or remove it."
        case _:
            return f"{reason}: it is {first['input']!r}."


def dump_study(study: Study) -> bytes:
    """The study as JSON that `read_study` takes back."""
    return json.dumps(asdict(study), indent=2).encode()
