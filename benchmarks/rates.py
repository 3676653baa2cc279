"""What one core does in a second of the work on images of ImageNet's size: the figures behind docs/scaling.md.

    python benchmarks/rates.py

Pictures of 500 x 375 pixels are drawn, and the recipes are those of NR-GD and of the frozen network in the studies
`imagenet-nc` and `cifar50-winners`, with a quarter of the minibatch. Counted are seconds of a processor, in whatever
thread, so that another process on the machine matters little. Printed are images in a second of one core.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
import tyro
from PIL import Image

import negreplay as nr
from negreplay.data.folders import load_images
from negreplay.learners.learner import Learner
from negreplay.optimize import Step
from negreplay.recipe import Augment, ImageRecipe, Recipe
from negreplay.slow_paths import avoid_slow_paths

SIZE, PICTURES, CLASSES, QUARTER = 224, 128, 40, 4


def main(steps: int = 6) -> None:
    """Prints a table.

    Args:
        steps: of each kind, of which the median is taken.
    """
    avoid_slow_paths()
    torch.set_num_threads(1)
    with TemporaryDirectory() as place:
        size = draw(Path(place))
        print(f"JPEG files of {size / PICTURES / 1e3:.0f} kB\n")
        print("| work | images in a second of one core |\n| --- | --- |")
        for what, augment in (("as they are", Augment.NONE), ("a crop at random", Augment.RESIZED_CROP)):
            print(f"| read and decoded, {what} | {reading(Path(place), augment):,.0f} |", flush=True)
    for name, rate in (*training(steps), *frozen(steps)):
        print(f"| {name} | {rate:,.1f} |", flush=True)


def draw(place: Path) -> int:
    """Pictures of coloured clouds in a folder; returns their bytes."""
    rng, size = np.random.RandomState(0), 0
    for split, count in (("train", PICTURES), ("test", 1)):
        folder = place / split / "clouds"
        folder.mkdir(parents=True)
        for number in range(count):
            coarse = Image.fromarray(rng.randint(0, 256, (75, 100, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=96)
            size += (folder / f"{number}.jpg").stat().st_size
    return size


def reading(place: Path, augment: Augment) -> float:
    """Images a second of a processor, as a learner reads them."""
    train, _ = load_images(place, ImageRecipe(SIZE, shorter_side=234, augment=augment))
    rows = torch.arange(PICTURES)
    train.read(rows, rows)  # the files are in memory, and threads have started
    begun = time.process_time()
    train.read(rows, rows)
    return PICTURES / (time.process_time() - begun)


def training(steps: int) -> Iterator[tuple[str, float]]:
    """The steps of NR-GD in `imagenet-nc`: the first experience trains all of the network, the second what is above."""
    recipe = next(each for each in nr.study("imagenet-nc").recipes if each.name == "nr-gd")
    assert recipe.first and recipe.following and recipe.generator and recipe.replay.per_minibatch
    each, replayed = recipe.optimizer.minibatch // QUARTER, recipe.replay.per_minibatch // QUARTER
    short = replace(
        recipe,
        stream=None,
        first=replace(recipe.first, epochs=None, iterations=steps, decay_every=None),
        following=replace(recipe.following, epochs=None, iterations=steps),
        optimizer=replace(recipe.optimizer, minibatch=each),
        replay=replace(recipe.replay, memory=replayed, per_minibatch=replayed),
        generator=replace(
            recipe.generator,
            minibatch=each,
            per_minibatch=replayed,
            epochs=None,
            first_iterations=steps,
            iterations=steps,
        ),
    )
    learner = nr.build_learner(short, torch.rand(3, SIZE, SIZE), 2 * CLASSES)
    for index in range(2):
        labels = torch.arange(PICTURES) % CLASSES + index * CLASSES
        experience = nr.experience(torch.rand(PICTURES, 3, SIZE, SIZE), labels, 2 * CLASSES, index)
        new = each - index * replayed
        for part, seconds in timed(learner.learn(experience)).items():
            which = "the first experience" if index == 0 else f"a later one, {new} of {each} patterns new"
            yield f"{part} of NR-GD, {which}: new images", new / median(seconds[-steps:])
    yield "evaluation of NR-GD", predicting(learner, steps)


def frozen(steps: int) -> Iterator[tuple[str, float]]:
    """A network that is frozen and a sum: MobileNet's features, which the nearest mean counts."""
    recipe = next(each for each in nr.study("cifar50-winners").recipes if each.name == "nearest-mean")
    with_random_weights = replace(recipe.classifier, weights=None)
    plain: Recipe = replace(recipe, stream=None, classifier=with_random_weights)
    learner = nr.build_learner(plain, torch.rand(3, SIZE, SIZE), CLASSES)
    yield f"features of {recipe.classifier.backbone}, frozen", predicting(learner, steps)


def predicting(learner: Learner, steps: int) -> float:
    """Images a second of a processor, to be recognised."""
    images, seconds = torch.rand(32, 3, SIZE, SIZE), list[float]()
    for _ in range(steps):
        begun = time.process_time()
        learner.predict(images)
        seconds.append(time.process_time() - begun)
    return len(images) / median(seconds)


def timed(learning: Iterator[Step]) -> dict[str, list[float]]:
    """Seconds of a processor of each step, by its part."""
    found: dict[str, list[float]] = {}
    begun = time.process_time()
    for step in learning:
        found.setdefault(step.part, []).append(time.process_time() - begun)
        begun = time.process_time()
    return found


if __name__ == "__main__":
    tyro.cli(main)
