"""What recalled latents of conv5_4/dw are worth, and what a source keeps for them.

    python benchmarks/recalled_latents.py --data DATA --weights WEIGHTS --store LATENTS

The latents of the first classes of `cifar50-nc` are absorbed at once, and 100 a class are recalled. *Recognised* is the
share of them that a linear head over the layers above, taught by all real latents, takes for their class. *Useful* is
the accuracy on real test latents of such a head that was taught by recalled latents only. What is *kept* is counted for
original latents of these classes, and for statistics and the generator of all 50.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import tyro
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.data.data import View
from negreplay.learners.learner import Learner
from negreplay.nets.classifier import Classifier
from negreplay.optimize import blocked
from negreplay.patterns import Memory, nothing
from negreplay.prepare import Cell, Places, build_cell, over_latents
from negreplay.recipe import Covariance, Recipe, ReplayRecipe, Source
from negreplay.slow_paths import avoid_slow_paths
from negreplay.streams.stream import Stream
from negreplay.studies.cifar50 import NC, NC_GENERATOR

EACH, AT_ONCE = 100, 100
"""Latents of a class that are recalled, and latents that are read at a time."""


def sources(classes: int) -> dict[str, Recipe]:
    """An arm for each source of latents."""
    recalled = EACH * classes
    statistics = ReplayRecipe(Source.STATISTICS, memory=recalled, covariance=Covariance.DIAGONAL)
    replays = {
        "original": ReplayRecipe(Source.ORIGINAL, memory=recalled),
        "original-5": ReplayRecipe(Source.ORIGINAL, memory=5 * classes),
        "diagonal": statistics,
        "separable": replace(statistics, covariance=Covariance.SEPARABLE),
        "rank-8": replace(statistics, covariance=Covariance.LOW_RANK, rank=8),
        "rank-32": replace(statistics, covariance=Covariance.LOW_RANK, rank=32),
        "generated": ReplayRecipe(Source.GENERATED, memory=recalled),
    }
    base = replace(NC, stream=replace(NC.arriving, first_classes=classes))
    return {
        name: replace(base, name=name, replay=replay, generator=NC_GENERATOR if name == "generated" else None)
        for name, replay in replays.items()
    }


def main(
    names: tyro.conf.Positional[tuple[str, ...]] = ("original", "original-5", "diagonal", "separable", "rank-8"),
    classes: int = 10,
    seed: int = 0,
    data: Path = Path("data"),
    weights: Path = Path("weights"),
    store: Path = Path("latents"),
) -> None:
    """Prints a line of a table for each source.

    Args:
        names: the sources: original, original-5, diagonal, separable, rank-8, rank-32, generated.
        classes: how many classes are absorbed, 10 or more of 50.
        seed: draws the classes and the latents.
        data: folder that holds the images.
        weights: folder of the weights.
        store: folder of encoded latents, which are written where they are missing (3.3 GB).
    """
    avoid_slow_paths()
    torch.set_num_threads(1)
    arms, places = sources(classes), Places(data, weights, store)
    stream, learner = built(Cell(arms["original"], seed, Path(), places))
    train = measured(learner.classifier, stream[0].data)
    present = torch.isin(stream.test.labels, torch.tensor(stream[0].classes)).nonzero().flatten()
    test = measured(learner.classifier, View(stream.test, present))
    judge = taught(*train, seed)
    print(f"a head taught by all real latents: {accuracy(judge, *test):.1f}\n", flush=True)
    print("| source | kept, MB | recognised | useful |\n| --- | --- | --- | --- |", flush=True)
    for name in names:
        _, learner = built(Cell(arms[name], seed, Path(), places))
        with blocked(learner.classifier):
            for _ in learner.source.absorb(learner.classifier, stream[0], nothing()):
                pass
        kept = sum(tensor.nbytes for tensor in learner.source.state_dict().values()) / 1e6
        made = measured(learner.classifier, learner.source.recall())
        useful = accuracy(taught(*made, seed), *test)
        print(f"| {name} | {kept:.1f} | {accuracy(judge, *made):.1f} | {useful:.1f} |", flush=True)


def built(cell: Cell) -> tuple[Stream, Learner]:
    """The stream of an arm over stored latents, and its learner before the first experience."""
    stream, learner, _ = build_cell(cell)
    encoding = over_latents(cell, stream, learner)
    while True:
        try:
            next(encoding)
        except StopIteration as end:
            return end.value, learner.eval()


Measured = tuple[Float[Tensor, "n f"], Int[Tensor, " n"]]
"""Features above the replay layer, and their classes."""


@torch.no_grad()
def measured(classifier: Classifier, latents: View | Memory) -> Measured:
    """The features of latents, and their classes."""
    return torch.cat([classifier.features(x) for x in read(latents)]), latents.labels


def read(latents: View | Memory) -> Iterator[Tensor]:
    """All latents, some at a time."""
    for rows in torch.arange(len(latents.labels)).split(AT_ONCE):
        yield latents.data.read(latents.rows[rows]) if isinstance(latents, View) else latents.read(rows)


def taught(x: Float[Tensor, "n f"], y: Int[Tensor, " n"], seed: int) -> nn.Linear:
    """A linear head, taught for six epochs at the study's rate, which falls to 0 along a line."""
    rng, head = torch.Generator().manual_seed(seed), nn.Linear(x.shape[1], 50)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    batches = [rows for _ in range(6) for rows in torch.randperm(len(y), generator=rng).split(128)]
    optimizer = torch.optim.SGD(head.parameters(), 0.05, 0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(batches))
    for rows in batches:
        optimizer.zero_grad()
        F.cross_entropy(head(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
    return head


@torch.no_grad()
def accuracy(head: nn.Linear, x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> float:
    """The share of features that are taken for their class, in %."""
    return 100 * float((head(x).argmax(1) == y).float().mean())


if __name__ == "__main__":
    tyro.cli(main)
