"""Latent replay of `cifar50-systems` at other rates: one first experience for all arms, and some following ones.

python benchmarks/latent_rates.py first.pt no-replay
python benchmarks/latent_rates.py first.pt nr-gd --global-mean --lr-head 5e-3 --lr-features 0 --eta 0
"""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
import tyro
from torch import Tensor

from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_data, build_stream
from negreplay.data.data import example_of
from negreplay.devices import Device
from negreplay.evaluation import evaluate
from negreplay.learners.latent_replay import LatentReplay
from negreplay.optimize import blocked
from negreplay.patterns import drawn, nothing
from negreplay.recipe import LatentReplayRecipe, Mean, Recipe
from negreplay.slow_paths import avoid_slow_paths
from negreplay.streams.stream import Experience, Stream
from negreplay.studies.arms import six_arms
from negreplay.studies.cifar50_systems import GENERATOR, LATENT

SEED = 7
"""One that the study does not use."""
DEVICE = Device(precision="bfloat16")
ARMS = {recipe.name: recipe for recipe in six_arms(LATENT, 1000, GENERATOR)}


def main(
    first: tyro.conf.Positional[Path],
    arm: tyro.conf.Positional[str],
    global_mean: bool = False,
    lr_head: float = 0.05,
    lr_features: float = 5e-3,
    eta: float = 0.1,
    experiences: int = 4,
    data: Path = Path("data"),
) -> None:
    """Prints, after each experience, the accuracy on the classes seen and on those of the first one.

    Args:
        first: what the first experience teaches; learned and written where it is missing.
        arm: of latent replay.
        global_mean: whether one scalar is taken from all rows of the head, instead of each row's own mean.
        lr_head: rate of the head in the following experiences.
        lr_features: rate of the layers between the replay layer and the head.
        eta: weight of the generator's classification loss.
        experiences: how many are learned, with the first one.
        data: folder that holds the images.
    """
    avoid_slow_paths()
    torch.set_num_threads(1)
    if not first.exists():
        torch.save(taught(data), first)
    recipe = ARMS[arm]
    assert isinstance(recipe.learner, LatentReplayRecipe) and recipe.following, "all these arms learn by latent replay"
    recipe = replace(
        recipe,
        learner=replace(recipe.learner, mean=Mean.GLOBAL if global_mean else Mean.PER_CLASS),
        following=replace(recipe.following, lr_head=lr_head, lr_features=lr_features),
        generator=replace(recipe.generator, eta=eta) if recipe.generator else None,
    )
    stream, learner = built(recipe, data)
    learner.classifier.load_state_dict(torch.load(first))
    begun = stream[0]
    learner.classifier.head.end(begun.counts, torch.zeros_like(begun.counts))
    learner.classifier.block_front()
    with blocked(learner.classifier):
        list(learner.source.absorb(learner.classifier, begun, nothing()))
    tell(recipe, learner, stream, 0)
    if recipe.generator:
        tell_generated(learner, begun)
    for experience in islice(stream, 1, experiences):
        list(learner.learn(experience))
        tell(recipe, learner, stream, experience.index)


def built(recipe: Recipe, data: Path) -> tuple[Stream, LatentReplay]:
    """The stream and the learner before its first experience."""
    train, test = build_data(recipe.arriving, data)
    learner = build_learner(recipe, *example_of(train), seed=SEED, device=DEVICE)
    assert isinstance(learner, LatentReplay), "all these arms learn by latent replay"
    return build_stream(recipe.arriving, train, test, SEED), learner


def taught(data: Path) -> dict[str, Tensor]:
    """What the first experience leaves in the classifier, before the head is consolidated."""
    stream, learner = built(LATENT, data)
    experience = stream[0]
    learner.classifier.head.begin(experience.counts, torch.zeros_like(experience.counts))
    list(learner.train_classifier(experience, nothing()))
    return learner.classifier.state_dict()


def tell(recipe: Recipe, learner: LatentReplay, stream: Stream, index: int) -> None:
    """Prints a line of accuracies."""
    row = evaluate(learner, stream, index)
    early = [row.per_class[stream.names[c]] or 0.0 for c in stream[0].classes]
    print(f"{index + 1}: {100 * row.growing:.1f}, first classes {100 * sum(early) / len(early):.1f}", flush=True)


@torch.no_grad()
def tell_generated(learner: LatentReplay, experience: Experience) -> None:
    """Prints how much of a generated memory the classifier recognises, and how it varies beside real latents."""
    made, real = learner.source.recall(), next(iter(experience.batches(250)))
    latents = made.read(*drawn(torch.arange(len(made.labels)), made.augmented, learner.rng))
    right = learner.predict(latents, encoded=True).argmax(1) == made.labels
    with DEVICE.computing():
        encoded = learner.classifier.encode(real.x).float()
    print(
        f"recognised {100 * right.float().mean():.1f}, deviation {latents.std():.2f}, of real ones {encoded.std():.2f}"
    )


if __name__ == "__main__":
    tyro.cli(main)
