"""One arm with one seed: the outer loop over experiences, resumable after each.

A `Cell` is plain data, so that it can be sent to another process; `learn_cell` is a generator of `Event`s, so that
whoever runs it decides what to show.
"""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_data, build_stream
from negreplay.checkpoint import Position, load_checkpoint, save_checkpoint
from negreplay.data.data import Data
from negreplay.data.decoded import decode_once
from negreplay.data.latents import LatentStore
from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.learners.learner import Learner
from negreplay.nets.classifier import INPUT, fingerprint
from negreplay.optimize import Step
from negreplay.recipe import Augment, Front, Recipe, StreamRecipe
from negreplay.results.metrics import Row, accuracies, by_experience
from negreplay.streams.stream import Stream

EVALUATED_AT_ONCE = 250
"""Test patterns in one forward pass."""


@dataclass(frozen=True)
class Places:
    """Where a run finds things and computes; `store` None encodes images anew each time they are read."""

    data: Path
    weights: Path
    store: Path | None
    device: Device = field(default_factory=Device)


@dataclass(frozen=True)
class Cell:
    """One arm with one seed, and the file that keeps its state."""

    recipe: Recipe
    seed: int
    checkpoint: Path
    places: Places


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


def check_cells(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Builds all that the cells need and lets it go, to refuse a wrong recipe before anything is written.

    Returns:
        The names of the classes of the first one.

    Raises:
        UserError: data or weights are missing, or a recipe does not fit them.
    """
    _data.cache_clear()  # images may have changed since an earlier run of this process
    names: list[tuple[str, ...]] = []
    for cell in cells:
        try:
            names.append(_build(cell)[0].names)
        except (RuntimeError, ValueError) as error:  # torch's, where shapes do not fit or memory does not suffice
            raise UserError(
                f"arm {cell.recipe.name!r} cannot be built ({str(error).splitlines()[0]}): "
                "make its classifier, generator and replay.memory fit the images."
            ) from error
    return names[0]


def learn_cell(cell: Cell) -> Iterator[Event]:
    """Learns what is left of the stream; saves after each experience."""
    recipe = cell.recipe
    stream, learner, rng = _build(cell)
    constant = _constant(learner)
    position = load_checkpoint(cell.checkpoint, learner, rng, constant)
    if _storable(cell):
        stream = yield from _stored(cell, stream, learner)
    clock = Clock()
    _forget_peak()
    for experience in stream[position.learned :]:
        for step in learner.learn(replace(experience, data=decode_once(experience.data))):
            clock.add(step.part)
            yield Event(recipe.name, cell.seed, experience.index, len(stream), step, None)
        clock.add("classifier")
        row = None
        if _due(experience.index, len(stream), recipe.evaluate_every):
            row = evaluate(learner, stream, cell, experience.index, clock)
        position = Position(experience.index + 1, position.rows if row is None else (*position.rows, row))
        save_checkpoint(cell.checkpoint, learner, rng, position, constant)
        yield Event(recipe.name, cell.seed, experience.index, len(stream), None, row)


class Clock:
    """Seconds spent in each part of the work since the last evaluation."""

    def __init__(self) -> None:
        self.seconds = {"classifier": 0.0, "generator": 0.0, "evaluation": 0.0}
        self.last = time.perf_counter()

    def add(self, part: str) -> None:
        """Books the time since the last call on this part."""
        now = time.perf_counter()
        self.seconds[part] += now - self.last
        self.last = now

    def take(self) -> tuple[float, float, float]:
        """Training, generator and evaluation seconds; starts again from zero."""
        taken = self.seconds["classifier"], self.seconds["generator"], self.seconds["evaluation"]
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        return taken


def evaluate(learner: Learner, stream: Stream, cell: Cell, index: int, clock: Clock) -> Row:
    """Accuracy after an experience, on the whole and on the growing test set.

    Only the growing one is read: a class never seen is never predicted, so the rest of the whole test set is wrong
    without a look.
    """
    classes, arrived = len(stream.names), stream.arrivals()
    correct, told = np.zeros((2, classes), dtype=np.int64)
    for x, y in stream.growing_test(index).batches(EVALUATED_AT_ONCE):
        scores = learner.predict(x, stream.test.encoded).cpu()
        correct += _right(scores, y, classes)
        if arrived is not None:
            told += _right(scores.masked_fill(arrived[y].unsqueeze(1) != arrived, -torch.inf), y, classes)
    totals = torch.bincount(stream.test.labels, minlength=classes).numpy()
    seen = np.isin(np.arange(classes), stream.seen(index).numpy())
    whole, growing, per_class = accuracies(correct, totals, seen)
    agnostic = aware = None
    if arrived is not None:
        agnostic, aware = (by_experience(found, totals, arrived.numpy(), index) for found in (correct, told))
    clock.add("evaluation")
    train_seconds, generator_seconds, evaluate_seconds = clock.take()
    return Row(
        arm=cell.recipe.name,
        seed=cell.seed,
        experience=index,
        experiences=len(stream),
        classes_seen=int(seen.sum()),
        test_images=int(totals[seen].sum()),
        whole=whole,
        growing=growing,
        per_class=dict(zip(stream.names, per_class, strict=True)),
        train_seconds=train_seconds,
        generator_seconds=generator_seconds,
        evaluate_seconds=evaluate_seconds,
        kept_bytes=learner.kept_bytes,
        peak_bytes=_peak(),
        task_agnostic=agnostic,
        task_aware=aware,
    )


def _right(scores: Float[Tensor, "n _"], labels: Int[Tensor, " n"], classes: int) -> NDArray[np.integer]:
    """For each class, how many of its patterns have their highest score there."""
    return torch.bincount(labels[scores.argmax(dim=1) == labels], minlength=classes).numpy()


def _due(index: int, experiences: int, every: int) -> bool:
    return (index + 1) % every == 0 or index == experiences - 1


def _constant(learner: Learner) -> frozenset[str]:
    """State that no experience changes: a front blocked from the start, which the recipe rebuilds."""
    if learner.recipe.classifier.front is not Front.BLOCKED:
        return frozenset()
    return frozenset(name for name in learner.state_dict() if name.startswith("classifier.front."))


@lru_cache(maxsize=2)
def _data(recipe: StreamRecipe, place: Path) -> tuple[Data, Data]:
    """Images are opened once and shared by the arms and seeds of one process."""
    return build_data(recipe, place)


def encode_cells(cells: Iterable[Cell]) -> Iterator[Event]:
    """Encodes all images that the cells will need, so that several processes do not encode the same ones at once."""
    _data.cache_clear()  # images may have changed since an earlier run of this process
    prepared = set()
    for cell in filter(_storable, cells):
        classifier, stream = cell.recipe.classifier, cell.recipe.stream
        seed = classifier.weights or classifier.pretrained or cell.seed
        key = classifier, stream.data, stream.images, stream.test_every, seed
        if key not in prepared:
            prepared.add(key)
            yield from _stored(cell, *_build(cell)[:2])


def _storable(cell: Cell) -> bool:
    """Whether an image has one latent for good: its front never learns, and the image is always the same."""
    constant = cell.recipe.classifier.front is Front.BLOCKED and cell.recipe.stream.images.augment is Augment.NONE
    images = cell.recipe.classifier.replay_layer == INPUT  # which need no store
    return cell.places.store is not None and constant and not images


def _build(cell: Cell) -> tuple[Stream, Learner, torch.Generator]:
    """The stream, the learner before its first experience, and the one random generator that all draws come from."""
    rng = torch.Generator().manual_seed(cell.seed)
    stream = build_stream(cell.recipe.stream, *_data(cell.recipe.stream, cell.places.data), cell.seed)
    device = cell.places.device
    return stream, build_learner(cell.recipe, stream.train, cell.seed, cell.places.weights, device, rng), rng


def _stored(cell: Cell, stream: Stream, learner: Learner) -> Generator[Event, None, Stream]:
    """The same stream over stored latents; images that are not in the store yet are encoded first."""
    learner.eval()
    assert cell.places.store is not None, "only a storable cell comes here"
    store = LatentStore(cell.places.store)
    front = fingerprint(learner.classifier.front)

    def encode(images: Tensor) -> Tensor:
        return learner.classifier.encode(images).cpu()

    found: list[Data] = []
    for data in (stream.train, stream.test):
        for done, total in store.encode(data, encode, front):
            yield Event(cell.recipe.name, cell.seed, 0, len(stream), Step("encoding", done, total, 0.0), None)
        latents = store.open(data, front)
        assert latents is not None, "the store keeps what it has encoded"
        found.append(latents)
    return stream.over(*found)


def _forget_peak() -> None:
    """Lets the kernel's record of peak memory start anew, so that it is this cell's own (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Peak resident memory of this process in bytes; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
