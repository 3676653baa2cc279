"""Every arm, small, with images and streams on which it learns in a moment."""

from dataclasses import replace

import pytest
import torch
from states import state_of
from torch import Tensor

from negreplay.builders.learners import build_learner
from negreplay.data.data import Tensors, example_of
from negreplay.learners.latent_replay import LatentReplay
from negreplay.learners.learner import Learner
from negreplay.optimize import Step
from negreplay.recipe import (
    Front,
    GeneratorRecipe,
    HeadKind,
    Mode,
    OptimizerRecipe,
    PhaseRecipe,
    Recipe,
    ReplayRecipe,
    Source,
    SynapticIntelligenceRecipe,
)
from negreplay.streams.stream import Stream
from negreplay.studies import DIGITS

CLASSES, EACH, MEMORY = 5, 6, 6

# The arms of the digits study, small enough to be learned in a moment; the front learns in the first experience.
BASE = replace(
    DIGITS.recipes[0],
    first=PhaseRecipe(1, 0.05, 0.05),
    following=PhaseRecipe(1, 0.005, 0.05),
    optimizer=OptimizerRecipe(minibatch=4),
)
GENERATOR = GeneratorRecipe(width=16, latent_dim=4, minibatch=8, first_iterations=3, iterations=2)


def replaying(source: Source, mode: Mode, through_features: bool = True) -> Recipe:
    replay = ReplayRecipe(source, mode, MEMORY, through_features=through_features)
    return replace(BASE, replay=replay, generator=GENERATOR if source is Source.GENERATED else None)


def naive(recipe: Recipe) -> Recipe:
    return replace(recipe, learner=replace(recipe.learner, head=HeadKind.PLAIN))


NO_REPLAY = BASE
PR_OD, NR_OD = (replaying(Source.ORIGINAL, mode) for mode in Mode)
PR_GD, NR_GD = (replaying(Source.GENERATED, mode) for mode in Mode)
CWR = replace(BASE, following=PhaseRecipe(1, 0.0, 0.05))
AR1 = replace(
    BASE,
    classifier=replace(BASE.classifier, front=Front.TRAINED),
    learner=replace(BASE.learner, penalty=SynapticIntelligenceRecipe(strength=1e3)),
)
ARMS = {
    "no-replay": NO_REPLAY,
    "pr-od": PR_OD,
    "pr-gd": PR_GD,
    "nr-od": NR_OD,
    "nr-gd": NR_GD,
    "nr-rd": replaying(Source.RANDOM, Mode.NEGATIVE),
    "naive": naive(NO_REPLAY),
    "naive pr-od": naive(PR_OD),
    "naive pr-gd": naive(PR_GD),
    "naive nr-gd": naive(NR_GD),
    "cwr*": CWR,
    "ar1": AR1,
    "nr-od, head only": replaying(Source.ORIGINAL, Mode.NEGATIVE, through_features=False),
    "nr-gd, blocked front": replace(NR_GD, classifier=replace(BASE.classifier, front=Front.BLOCKED)),
}
EVERY_ARM = pytest.mark.parametrize("arm", ARMS)


def images() -> Tensors:
    """Noisy images of five classes, each with a bright spot of its own."""
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    x = 0.3 * torch.rand(len(labels), 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for c in range(CLASSES):
        x[labels == c, :, c : c + 3, 1 + c : 4 + c] += 0.7
    return Tensors(x, labels, tuple("abcde"), "test")


def stream_of(*classes: list[int]) -> Stream:
    """An experience of these classes after the other; a class that comes twice comes with the same images."""
    data = images()
    found = [torch.isin(data.labels, torch.tensor(some)).nonzero().flatten() for some in classes]
    return Stream(data, data, found)


def build_any(recipe: Recipe, weights: int = 0, seed: int = 0) -> Learner:
    rng = torch.Generator().manual_seed(seed)
    data = images()
    return build_learner(recipe, *example_of(data), seed=weights, rng=rng, patterns=len(data.labels))


def build(recipe: Recipe, weights: int = 0, seed: int = 0) -> LatentReplay:
    learner = build_any(recipe, weights, seed)
    assert isinstance(learner, LatentReplay)
    return learner


def learn(learner: Learner, *experiences) -> list[Step]:
    return [step for experience in experiences for step in learner.learn(experience)]


def predictions(learner: LatentReplay) -> Tensor:
    return learner.predict(images().x)


def features_of(learner: LatentReplay) -> dict[str, Tensor]:
    """Weights and statistics of the feature extractor; the limits and momentum of batch renormalisation are neither."""
    state = state_of(learner.classifier)
    limits = ("momentum", "r_max", "d_max")
    return {name: tensor for name, tensor in state.items() if name[:4] != "head" and not name.endswith(limits)}
