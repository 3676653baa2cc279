"""Studies and rows as runs might have left them."""

from collections.abc import Sequence
from dataclasses import replace

from negreplay.recipe import (
    ClassifierRecipe,
    GeneratorRecipe,
    Mode,
    PhaseRecipe,
    Recipe,
    ReplayRecipe,
    Scenario,
    Source,
    StreamRecipe,
    Study,
)
from negreplay.results.metrics import Row

KINDS = {
    "pr-od": (Source.ORIGINAL, Mode.POSITIVE),
    "pr-gd": (Source.GENERATED, Mode.POSITIVE),
    "nr-od": (Source.ORIGINAL, Mode.NEGATIVE),
    "nr-gd": (Source.GENERATED, Mode.NEGATIVE),
    "nr-rd": (Source.RANDOM, Mode.NEGATIVE),
}
LEVELS = {"no-replay": 0.6, "pr-od": 0.7, "pr-gd": 0.4, "nr-od": 0.69, "nr-gd": 0.68, "nr-rd": 0.64}


def six_arms(name: str = "cifar50-nc", seeds: tuple[int, ...] = (0, 1, 2)) -> Study:
    stream = StreamRecipe("cifar50", Scenario.NC, first_classes=10, classes=5)
    phase = PhaseRecipe(1, 0.0, 0.1)
    baseline = Recipe("no-replay", stream, ClassifierRecipe("mobilenet_v1", "conv5_4/dw"), phase, phase)
    arms = [
        replace(
            baseline,
            name=arm,
            replay=ReplayRecipe(source, mode, memory=1500),
            generator=GeneratorRecipe(epochs=4) if source is Source.GENERATED else None,
        )
        for arm, (source, mode) in KINDS.items()
    ]
    return Study(name, "Fifty classes in nine experiences.", (baseline, *arms), seeds)


def rows_of(
    study: Study, experiences: int, classes: int, every: int = 1, names: Sequence[str] | None = None
) -> list[Row]:
    """A hundred test images a class; an arm is right as often as `LEVELS` says, with each seed 0.01 more often."""
    rows = []
    for recipe in study.recipes:
        for seed in study.seeds:
            for k in range(experiences):
                if k % every and k != experiences - 1:
                    continue
                seen = classes * (k + 1) // experiences or 1
                level = LEVELS.get(recipe.name, 0.5) + 0.01 * seed
                whole, shares = level * seen / classes, (level if c < seen else None for c in range(classes))
                per_class = dict(zip(names or map(str, range(classes)), shares, strict=True))
                place = (recipe.name, seed, k, experiences, seen, 100 * seen)
                rows.append(Row(*place, whole, level, per_class, 70.0, 2.0, 1.0, 5000, 2 * 10**9))
    return rows
