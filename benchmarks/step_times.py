"""What a step of each arm of a study takes, one arm after the other: to be run on an idle machine.

    python benchmarks/step_times.py cifar50-systems --data ../shared/data

The steps are those of the second epoch of the second experience (of the only one, where there is no other), after two
epochs of the first. Printed are their median, and how often the first arm's would fit into it.
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
from negreplay.optimize import Device
from negreplay.recipe import Phase, Recipe
from negreplay.recipes import STUDIES
from negreplay.streams.held import held
from negreplay.tuning import tune_process


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
    tune_process()
    torch.set_num_threads(1)
    known = {each.name: each for each in STUDIES}
    if study not in known:
        raise SystemExit(f"there is no study {study!r}: choose one of {', '.join(known)}.")
    standard = None
    for recipe in known[study].recipes:
        if recipe.first is None or recipe.following is None:
            continue
        brief = replace(recipe, first=twice(recipe.first), following=twice(recipe.following))
        seconds = step_of(brief, data, weights, Device(device))
        standard = standard or seconds
        print(f"{recipe.name:16} {1000 * seconds:6.1f} ms  {seconds / standard:.2f}", flush=True)


def twice(phase: Phase) -> Phase:
    """The phase with two epochs."""
    return replace(phase, epochs=2, iterations=None)


def step_of(recipe: Recipe, data: Path, weights: Path, device: Device) -> float:
    """The median of seconds between two steps of the second epoch, once images have been decoded."""
    train, test = build_data(recipe.stream, data)
    stream = build_stream(recipe.stream, train, test, seed=0)
    learner = build_learner(recipe, train, 0, weights, device, torch.Generator().manual_seed(0))
    gaps: list[float] = []
    for experience in islice(stream, 2):
        gaps, last, stage = [], 0.0, 0
        for step in learner.learn(replace(experience, data=held(experience.data))):
            now = time.perf_counter()
            if step.done == 1:
                stage += 1
            elif stage == 1 and step.done > step.total / 2:
                gaps.append(now - last)
            last = now
    return median(gaps)


if __name__ == "__main__":
    tyro.cli(main)
