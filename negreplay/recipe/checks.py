"""The checks with which every class of a recipe validates itself."""

from typing import Any, ClassVar

LARGEST = 1e30
"""The largest real number that a recipe takes; times a minibatch it still is a finite number of float32."""
MOST_EPOCHS = 1_000_000
MOST_STEPS = 1_000_000_000
MOST_PATTERNS = 10_000_000
MOST_AT_ONCE = 1_000_000
"""The most patterns of a minibatch, and the most classes, parts and experiences that a recipe counts."""
WIDEST = 8_192
"""The most units or channels of a layer, and the most dimensions of a latent space."""
LARGEST_SIDE = 4_096
"""The longest side of an image, in pixels."""


class Strict:
    """A class of a recipe, which refuses unknown fields when it is read from JSON (see `negreplay.builders`)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def in_range(values: object, part: str, low: float | int, high: float | int, *names: str) -> None:
    """Checks that the fields called `names` are numbers from `low` to `high`.

    A field that is None holds no number and passes.

    Raises:
        ValueError: a number is smaller or larger, or is not a number.
    """
    for name in names:
        value = getattr(values, name)
        if value is None:
            continue
        if not value >= low:  # so that NaN is refused too
            raise ValueError(f"{part}.{name} is {value}: give {low} or more.")
        if value > high:
            raise ValueError(f"{part}.{name} is {value}: give {high} or less.")


def above_zero(values: object, part: str, *names: str) -> None:
    """Checks that the fields called `names` are numbers above 0.

    Raises:
        ValueError: a number is 0, below 0, above `LARGEST`, or is not a number.
    """
    for name in names:
        value = getattr(values, name)
        if not value > 0:  # so that NaN is refused too
            raise ValueError(f"{part}.{name} is {value}: give a number above 0.")
        if value > LARGEST:
            raise ValueError(f"{part}.{name} is {value}: give {LARGEST} or less.")
