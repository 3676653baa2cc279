"""Folders of pictures with a folder for each class: squares of one colour, each a little different."""

from pathlib import Path

import numpy as np
from PIL import Image

from negreplay.photographs import networks
from negreplay.photographs.lessons import learn
from negreplay.photographs.model import Lesson, Model
from negreplay.photographs.pictures import labelled_pictures
from negreplay.recipe import LearnerRecipe, RDARecipe

COLOURS = {"red": (200, 30, 10), "green": (20, 180, 40), "blue": (30, 40, 210), "white": (240, 240, 240)}
SIZE = 32


def picture(colour: tuple[int, int, int], number: int) -> Image.Image:
    """The same picture for the same number."""
    noise = np.random.default_rng(number).integers(-25, 25, (SIZE, SIZE, 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def album(folder: Path, *names: str, numbers: range = range(12)) -> Path:
    """A folder with pictures of some classes; pictures of other classes have other numbers."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            colour = COLOURS.get(name, (120, 120, 120))
            picture(colour, number + 1000 * list(COLOURS).index(name)).save(folder / name / f"{number}.png")
    return folder


def new(spec: LearnerRecipe | None = None, hold: bool = True) -> Model:
    return Model.new(networks.network(), spec or RDARecipe(rank=4), SIZE, hold)


def teach(model: Model, folder: Path, skip: bool = False) -> Lesson:
    """A lesson, to its end."""
    steps = learn(model, labelled_pictures(folder), skip)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
