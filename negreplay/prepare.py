"""What a cell needs, made ready: its stream and its learner, over stored latents where an image has one for good.

A `Cell` is one arm with one seed, plain data that can be sent to another process.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_data, build_stream
from negreplay.data.data import Data, example_of
from negreplay.data.latents import LatentStore, StoredLatents
from negreplay.devices import Device
from negreplay.errors import UserError, suggest
from negreplay.learners.learner import Learner
from negreplay.nets.classifier import INPUT, fingerprint
from negreplay.optimize import Step
from negreplay.recipe import Augment, Front, Recipe, StreamRecipe, Study
from negreplay.results.metrics import Row
from negreplay.streams.stream import Stream


@dataclass(frozen=True)
class Places:
    """Where a run finds things and computes; `store` None encodes images anew each time they are read."""

    data: Path
    weights: Path
    store: Path | None
    device: Device = field(default_factory=Device)


@dataclass(frozen=True)
class Cell:
    """One arm with one seed, and the file that keeps its state, which is written anew every so many seconds.

    If it `goes_back`, a loss that is not finite does not end it (see `negreplay.cell`).
    """

    recipe: Recipe
    seed: int
    checkpoint: Path
    places: Places
    every: float = 60.0
    goes_back: bool = False


@dataclass(frozen=True)
class Event:
    """Something that happened: a step, or the end of an experience, with its row where it was evaluated.

    `index` is that of the experience, from 0.
    """

    arm: str
    seed: int
    index: int
    experiences: int
    step: Step | None
    row: Row | None


def check_cells(cells: Iterable[Cell]) -> Stream:
    """Builds all that the cells need and lets it go, to refuse a wrong recipe before anything is written.

    Returns:
        The stream of the first one.

    Raises:
        UserError: data or weights are missing, or a recipe does not fit them.
    """
    open_data.cache_clear()  # images may have changed since an earlier run of this process
    streams: list[Stream] = []
    for cell in cells:
        try:
            streams = [*streams[:1], build_cell(cell)[0]]
        except (RuntimeError, ValueError) as error:  # torch's, where shapes do not fit or memory does not suffice
            raise UserError(
                f"arm {cell.recipe.name!r} cannot be built ({str(error).splitlines()[0]}): "
                "make its classifier, generator and replay.memory fit the images."
            ) from error
    return streams[0]


def encode_cells(cells: Iterable[Cell]) -> Iterator[Event]:
    """Encodes all images that the cells will need, so that several processes do not encode the same ones at once."""
    open_data.cache_clear()  # images may have changed since an earlier run of this process
    for cell in encoding_cells(cells):
        yield from over_latents(cell, *build_cell(cell)[:2])


def encoding_cells(cells: Iterable[Cell]) -> list[Cell]:
    """One of the cells for each pair of a front and images of which all latents are stored."""
    first: dict[object, Cell] = {}
    for cell in filter(_storable, cells):
        classifier, stream = cell.recipe.classifier, cell.recipe.arriving
        pretrained = classifier.weights is not None or classifier.pretrained
        front = classifier, None if pretrained else cell.seed
        first.setdefault((front, images_of(stream)), cell)
    return list(first.values())


def build(
    study: Study,
    arm: str,
    seed: int = 0,
    *,
    data: Path = Path("data"),
    weights: Path = Path("weights"),
    device: Device | None = None,
) -> tuple[Stream, Learner]:
    """The stream of a study and the learner of one of its arms, before the first experience.

    Args:
        study: such as `negreplay.study("digits")`.
        arm: the name of one of its recipes, such as `nr-gd`.
        seed: draws the order of classes, the weights that no file gives, and all that is random in learning.
        data: where the images are; `digits` needs none.
        weights: where files of weights are.
        device: where it computes; a processor, in float32, if it is not given.

    Raises:
        UserError: there is no such arm, images or weights are missing, or they do not fit the recipe.
    """
    recipes = {recipe.name: recipe for recipe in study.recipes}
    if arm not in recipes:
        raise UserError(f"{study.name} has no arm {arm!r}: {suggest(arm, list(recipes))}")
    places = Places(data, weights, None, device or Device())
    return build_cell(Cell(recipes[arm], seed, Path(), places))[:2]


def build_cell(cell: Cell) -> tuple[Stream, Learner, torch.Generator]:
    """The stream of a cell, its learner before the first experience, and the generator of all its draws."""
    rng = torch.Generator().manual_seed(cell.seed)
    stream = build_stream(cell.recipe.arriving, *open_data(cell.recipe.arriving, cell.places.data), cell.seed)
    device = cell.places.device
    learner = build_learner(
        cell.recipe,
        *example_of(stream.train),
        seed=cell.seed,
        weights=cell.places.weights,
        device=device,
        rng=rng,
        patterns=len(stream.train.labels),
    )
    return stream, learner, rng


def over_latents(cell: Cell, stream: Stream, learner: Learner) -> Generator[Event, None, Stream]:
    """The stream of a cell over stored latents, where its images have them; what is not stored is encoded first."""
    if not _storable(cell):
        return stream
    learner.eval()
    assert cell.places.store is not None, "only a storable cell comes here"
    store = LatentStore(cell.places.store)
    front = fingerprint(learner.classifier.front)

    def encode(images: Tensor) -> Tensor:
        return learner.classifier.encode(images).cpu()

    train = yield from _events(store.encode(stream.train, encode, front), cell, len(stream))
    test = yield from _events(store.encode(stream.test, encode, front), cell, len(stream))
    return stream.over(train, test)


def _events(
    encoding: Generator[tuple[int, int], None, StoredLatents], cell: Cell, experiences: int
) -> Generator[Event, None, StoredLatents]:
    """Passes the progress of an encoding on as events, and returns its latents."""
    while True:
        try:
            done, total = next(encoding)
        except StopIteration as end:
            return end.value
        yield Event(cell.recipe.name, cell.seed, 0, experiences, Step("encoding", done, total, 0.0), None)


def images_of(recipe: StreamRecipe) -> tuple[object, ...]:
    """The settings of a stream that decide which images are opened, whatever becomes of them."""
    return recipe.data, recipe.images, recipe.categories, recipe.test_every


@lru_cache(maxsize=2)
def open_data(recipe: StreamRecipe, place: Path) -> tuple[Data, Data]:
    """Images are opened once and shared by the arms and seeds of one process."""
    return build_data(recipe, place)


def _storable(cell: Cell) -> bool:
    """Whether an image has one latent for good: its front never learns, and the image is always the same."""
    constant = cell.recipe.classifier.front is Front.BLOCKED and cell.recipe.arriving.images.augment is Augment.NONE
    images = cell.recipe.classifier.replay_layer == INPUT  # which need no store
    return cell.places.store is not None and constant and not images
