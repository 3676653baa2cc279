"""Continual learning with generative negative replay.

The names below are the public ones (docs/library.md). Each is imported from its room when it is first asked for: so
`import negreplay` answers at once, and torch waits until something needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negreplay.bridges.estimator import NegreplayClassifier as NegreplayClassifier
    from negreplay.builders.learners import build_learner as build_learner
    from negreplay.data.data import Tensors as Tensors
    from negreplay.devices import Device as Device
    from negreplay.errors import UserError as UserError
    from negreplay.evaluation import Accuracies as Accuracies
    from negreplay.evaluation import evaluate as evaluate
    from negreplay.learners.closed_form import ClosedForm as ClosedForm
    from negreplay.learners.latent_replay import LatentReplay as LatentReplay
    from negreplay.learners.learner import Learner as Learner
    from negreplay.nets.classifier import Classifier as Classifier
    from negreplay.nets.classifier import cut as cut
    from negreplay.nets.generator import Generator as Generator
    from negreplay.nets.heads import ConsolidatedHead as ConsolidatedHead
    from negreplay.nets.heads import Head as Head
    from negreplay.nets.heads import PlainHead as PlainHead
    from negreplay.nets.heads import block_replayed as block_replayed
    from negreplay.nets.heads import consolidate as consolidate
    from negreplay.optimize import Step as Step
    from negreplay.patterns import Batch as Batch
    from negreplay.patterns import Mixture as Mixture
    from negreplay.patterns import Patterns as Patterns
    from negreplay.patterns import counts_of as counts_of
    from negreplay.prepare import build as build
    from negreplay.recipe import ClassifierRecipe as ClassifierRecipe
    from negreplay.recipe import GeneratorRecipe as GeneratorRecipe
    from negreplay.recipe import Mean as Mean
    from negreplay.recipe import Mode as Mode
    from negreplay.recipe import PhaseRecipe as PhaseRecipe
    from negreplay.recipe import Recipe as Recipe
    from negreplay.recipe import ReplayRecipe as ReplayRecipe
    from negreplay.recipe import Study as Study
    from negreplay.replay.exemplars import Exemplars as Exemplars
    from negreplay.replay.generated import Generated as Generated
    from negreplay.replay.original import Original as Original
    from negreplay.replay.random import Random as Random
    from negreplay.replay.source import ReplaySource as ReplaySource
    from negreplay.replay.statistics import Statistics as Statistics
    from negreplay.slow_paths import avoid_slow_paths as avoid_slow_paths
    from negreplay.statistics import ClassMeans as ClassMeans
    from negreplay.statistics import Sketches as Sketches
    from negreplay.statistics import Triangle as Triangle
    from negreplay.streams.scenarios import new_both as new_both
    from negreplay.streams.scenarios import new_classes as new_classes
    from negreplay.streams.scenarios import new_instances as new_instances
    from negreplay.streams.stream import Experience as Experience
    from negreplay.streams.stream import Stream as Stream
    from negreplay.streams.stream import experience as experience
    from negreplay.studies import study as study

__version__ = "0.1.0"

PUBLIC = {
    "bridges.estimator": ("NegreplayClassifier",),
    "builders.learners": ("build_learner",),
    "data.data": ("Tensors",),
    "devices": ("Device",),
    "errors": ("UserError",),
    "evaluation": ("Accuracies", "evaluate"),
    "learners.closed_form": ("ClosedForm",),
    "learners.latent_replay": ("LatentReplay",),
    "learners.learner": ("Learner",),
    "nets.classifier": ("Classifier", "cut"),
    "nets.generator": ("Generator",),
    "nets.heads": ("ConsolidatedHead", "Head", "PlainHead", "block_replayed", "consolidate"),
    "optimize": ("Step",),
    "patterns": ("Batch", "Mixture", "Patterns", "counts_of"),
    "prepare": ("build",),
    "recipe": (
        *("ClassifierRecipe", "GeneratorRecipe", "Mean", "Mode"),
        *("PhaseRecipe", "Recipe", "ReplayRecipe", "Study"),
    ),
    "replay.exemplars": ("Exemplars",),
    "replay.generated": ("Generated",),
    "replay.original": ("Original",),
    "replay.random": ("Random",),
    "replay.source": ("ReplaySource",),
    "replay.statistics": ("Statistics",),
    "slow_paths": ("avoid_slow_paths",),
    "statistics": ("ClassMeans", "Sketches", "Triangle"),
    "streams.scenarios": ("new_both", "new_classes", "new_instances"),
    "streams.stream": ("Experience", "Stream", "experience"),
    "studies": ("study",),
}
"""The public names, by the room from which each comes."""

_ROOMS = {name: room for room, names in PUBLIC.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'negreplay' has no attribute {name!r}")
    value = getattr(import_module(f"negreplay.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
