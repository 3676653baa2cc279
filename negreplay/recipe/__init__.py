"""What a run is made of, as plain values.

A `Study` is what `negreplay run` takes: a few `Recipe`s (arms) and the seeds. A recipe names the stream, the
classifier, how long and how fast an experience is learned, and what is replayed in which mode. Nothing here knows
torch, so listing and showing recipes is instant; `negreplay.build` turns these values into objects.

Every class validates itself: a wrong value raises `ValueError` with a sentence that names the field and the remedy.
"""

from negreplay.recipe.learning import (
    HeadKind,
    LearnerRecipe,
    Mean,
    Mode,
    Phase,
    ReplayRecipe,
    Source,
    SynapticIntelligence,
)
from negreplay.recipe.nets import ClassifierRecipe, Front, GeneratorRecipe, Renorm, Weights
from negreplay.recipe.stream import Augment, ImageRecipe, Scenario, StreamRecipe
from negreplay.recipe.study import Recipe, Study

__all__ = [
    "Augment",
    "ClassifierRecipe",
    "Front",
    "GeneratorRecipe",
    "HeadKind",
    "ImageRecipe",
    "LearnerRecipe",
    "Mean",
    "Mode",
    "Phase",
    "Recipe",
    "Renorm",
    "ReplayRecipe",
    "Scenario",
    "Source",
    "StreamRecipe",
    "Study",
    "SynapticIntelligence",
    "Weights",
]
