"""Arms and parts of recipes to change in one place."""

from dataclasses import replace

from negreplay.recipe import GeneratorRecipe, Scenario, StreamRecipe, Study
from negreplay.studies import DIGITS

NO_REPLAY, NR_GD, NR_OD = (
    next(r for r in DIGITS.recipes if r.name == name) for name in ("no-replay", "nr-gd", "nr-od")
)


def stream(scenario: Scenario = Scenario.NC, **fields) -> StreamRecipe:
    return StreamRecipe("digits", scenario, **fields)


def generator(epochs: int | None = 1, **fields) -> GeneratorRecipe:
    return GeneratorRecipe(epochs=epochs, **fields)


def study(**fields) -> Study:
    return replace(DIGITS, **fields)
