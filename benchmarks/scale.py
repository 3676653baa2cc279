"""A million latents of ten thousand classes in a thousand experiences, learned by two processes together.

    python benchmarks/scale.py

The latents are made up: around a centre of each class, far enough apart to be told from one another. They lie in the
store, in blocks with checksums, of which each process encodes a share. Printed is for each learner: seconds, latents in
a second, the largest memory of a process (of which pages of the store are a part), and the accuracy at the end.
"""

import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from jaxtyping import Float, Int
from torch import Tensor, distributed

import negreplay as nr
from negreplay.data.latents import LatentStore, StoredLatents
from negreplay.evaluation import evaluate
from negreplay.learners.learner import Learner
from negreplay.ranks import Ranks, joined, present
from negreplay.recipe import LearnerRecipe, NearestMeanRecipe, SLDARecipe
from negreplay.slow_paths import avoid_slow_paths
from negreplay.streams.stream import Stream

SHAPE = 512, 1, 1
LEARNERS: dict[str, LearnerRecipe] = {"nearest mean": NearestMeanRecipe(), "slda": SLDARecipe()}


@dataclass(frozen=True)
class MadeUp:
    """Latents that are computed from the number of their row, so that nothing has to be kept of them."""

    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    centres: Float[Tensor, "classes size"]
    noise: Float[Tensor, "many size"]
    fingerprint: str
    encoded: bool = False
    augmented: bool = False

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k size 1 1"]:
        noise = self.noise[rows * 40503 % len(self.noise)]
        return (self.centres[self.labels[rows]] + noise).view(-1, *SHAPE)


def made_up(classes: int, latents: int, each: str) -> MadeUp:
    """Latents of classes one after the other, equally many of each."""
    rng = torch.Generator().manual_seed(0)
    centres, noise = (torch.randn(many, SHAPE[0], generator=rng) for many in (classes, 65_521))
    labels = torch.arange(latents) * classes // latents
    names = tuple(map(str, range(classes)))
    return MadeUp(labels, names, centres, 3 * noise.roll(len(each), 0), f"{each}-{classes}-{latents}")


def main(
    latents: int = 1_000_000, classes: int = 10_000, experiences: int = 1_000, ranks: int = 2, folder: Path = Path()
) -> None:
    """Prints a table.

    Args:
        latents: in all.
        classes: in all.
        experiences: with equally many classes each.
        ranks: processes.
        folder: where the store is for a while.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        context = multiprocessing.get_context("spawn")
        parts = [
            context.Process(target=member, args=(Ranks(rank, ranks), place, latents, classes, experiences))
            for rank in range(ranks)
        ]
        for part in parts:
            part.start()
        for part in parts:
            part.join()
        assert not any(part.exitcode for part in parts), "a process has failed"


def member(ranks: Ranks, place: str, latents: int, classes: int, experiences: int) -> None:
    """What each process does."""
    avoid_slow_paths()
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{place}/group", rank=ranks.rank, world_size=ranks.count)
    with joined(ranks), torch.no_grad():
        begun = time.perf_counter()
        store = LatentStore(Path(place))
        train, test = (
            stored(store, made_up(classes, count, each)) for each, count in (("train", latents), ("test", classes))
        )
        say(f"{latents:,} latents encoded in {time.perf_counter() - begun:.0f} s by {ranks.count} processes")
        say("| learner | seconds | latents/s | memory of a process, MB | final accuracy, % |")
        say("| --- | --- | --- | --- | --- |")
        order = torch.arange(latents).split(latents // experiences)
        stream = Stream(train, test, list(order))
        for name, system in LEARNERS.items():
            begun = time.perf_counter()
            learner = taught(stream, system)
            seconds = time.perf_counter() - begun
            accuracy = 100 * evaluate(learner, stream, experiences - 1).whole
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            say(f"| {name} | {seconds:.0f} | {latents / seconds:,.0f} | {peak:,.0f} | {accuracy:.1f} |")
    distributed.destroy_process_group()


def stored(store: LatentStore, data: MadeUp) -> StoredLatents:
    """The data in the store, where each rank puts its share."""
    encoding = store.encode(data, lambda images: images, "made-up")
    while True:
        try:
            next(encoding)
        except StopIteration as end:
            return end.value


def taught(stream: Stream, system: LearnerRecipe) -> Learner:
    """A learner that has seen the whole stream."""
    recipe = nr.Recipe("scale", None, nr.ClassifierRecipe("pixels", "input", renorm=None), learner=system)
    learner = nr.build_learner(recipe, torch.zeros(SHAPE), classes=len(stream.names))
    for experience in stream:
        for _ in learner.learn(experience):
            pass
    return learner


def say(line: str) -> None:
    """Prints a line once."""
    if present().leads:
        print(line, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
