"""What a step of each arm of a study takes, one arm after the other: to be run on an idle machine.

    python benchmarks/step_times.py cifar50-systems --data ../shared/data

The steps are the first of the second experience (of the only one, where there is no other), after some of the first;
images have been decoded before. Printed are their median, how often the first arm's would fit into it, and where there
is one the median of the generator's.
"""

import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

import torch
import tyro

from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_data, build_stream
from negreplay.data.data import example_of
from negreplay.devices import Device
from negreplay.recipe import PhaseRecipe, Recipe
from negreplay.slow_paths import avoid_slow_paths
from negreplay.studies import STUDIES

WARM, TIMED = 5, 20
"""Steps before those that are timed, and how many these are."""


def main(
    study: tyro.conf.Positional[str], data: Path = Path("data"), weights: Path = Path("weights"), device: str = "cpu"
) -> None:
    """Prints a line for each arm that trains.

    Args:
        study: its name.
        data: folder that holds the images.
        weights: folder that holds pretrained weights.
        device: where to compute: cpu or cuda.
    """
    avoid_slow_paths()
    torch.set_num_threads(1)
    known = {each.name: each for each in STUDIES}
    if study not in known:
        raise SystemExit(f"there is no study {study!r}: choose one of {', '.join(known)}.")
    standard = None
    for recipe in known[study].recipes:
        if recipe.first is None or recipe.following is None:
            continue
        seconds = steps_of(briefly(recipe), data, weights, Device(device))
        standard = standard or seconds["classifier"]
        line = f"{recipe.name:16} {1000 * seconds['classifier']:6.1f} ms  {seconds['classifier'] / standard:.2f}"
        if "generator" in seconds:
            line += f"   generator {1000 * seconds['generator']:6.1f} ms"
        print(line, flush=True)


def briefly(recipe: Recipe) -> Recipe:
    """The arm with so many steps an experience as are looked at."""

    def short(phase: PhaseRecipe) -> PhaseRecipe:
        return replace(phase, epochs=None, decay_every=None, iterations=WARM + TIMED)

    assert recipe.first and recipe.following, "only who trains comes here"
    brief = replace(recipe, first=short(recipe.first), following=short(recipe.following))
    if recipe.generator is None:
        return brief
    few = replace(recipe.generator, epochs=None, first_iterations=WARM, iterations=WARM + TIMED)
    return replace(brief, generator=few)


def steps_of(recipe: Recipe, data: Path, weights: Path, device: Device) -> dict[str, float]:
    """By phase, the median of seconds between two steps of the last experience looked at."""
    train, test = build_data(recipe.arriving, data)
    stream = build_stream(recipe.arriving, train, test, seed=0)
    learner = build_learner(recipe, *example_of(train), weights=weights, device=device, patterns=len(train.labels))
    gaps: dict[str, list[float]] = {}
    for experience in islice(stream, 2):
        gaps, last = {}, 0.0
        view = experience.data
        view.data.read(view.rows)  # images are decoded before steps are timed
        for step in learner.learn(experience):
            now = time.perf_counter()
            if step.done == 1 and step.part in gaps:
                break  # a second stage, which is learned as the first one
            if step.done > WARM:
                gaps.setdefault(step.part, []).append(now - last)
            last = now
    return {phase: median(seconds) for phase, seconds in gaps.items()}


if __name__ == "__main__":
    tyro.cli(main)
