"""What every class of a recipe checks itself with."""

import math
from typing import Any, ClassVar


def check(condition: bool, sentence: str) -> None:
    """Raises `ValueError` with the sentence, unless the condition holds."""
    if not condition:
        raise ValueError(sentence)


def at_least(low: int, values: object, part: str, *names: str) -> None:
    """Checks that the fields called `names` are finite and not below `low`; None is no number and passes."""
    for name in names:
        value = getattr(values, name)
        check(value is None or low <= value < math.inf, f"{part}.{name} is {value}: give {low} or more.")


class Strict:
    """A field that a class does not know is an error when a recipe is read from JSON (see `negreplay.builders`)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def distils(values: object, *names: str) -> None:
    """Checks strengths and a temperature."""
    at_least(0, values, "learner", *names)
    temperature = getattr(values, "temperature", 1.0)
    check(0 < temperature < math.inf, f"learner.temperature is {temperature}: give a number above 0.")
