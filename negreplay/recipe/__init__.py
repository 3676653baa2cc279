"""What a run is made of, as plain values.

A `Study` is what `negreplay run` takes: a few `Recipe`s (arms) and the seeds. A recipe names the stream, the
classifier, how long and how fast an experience is learned, and what is replayed in which mode. Nothing here knows
torch, so listing and showing recipes is instant; `negreplay.builders` turns these values into objects.

Every class validates itself: a wrong value raises `ValueError` with a sentence that names the field and the remedy.
"""

from negreplay.recipe.learning import (
    Choice,
    Mode,
    OptimizerRecipe,
    Phase,
    ReplayRecipe,
    Source,
    Weighting,
)
from negreplay.recipe.nets import ClassifierRecipe, Front, GeneratorRecipe, Renorm, Weights
from negreplay.recipe.stream import Augment, ImageRecipe, Scenario, StreamRecipe
from negreplay.recipe.study import Recipe, Study
from negreplay.recipe.systems import (
    DGR,
    EEIL,
    EWC,
    IL2M,
    LUCIR,
    SLDA,
    BiC,
    HeadKind,
    ICaRL,
    LatentReplay,
    LearnerRecipe,
    LwF,
    LwM,
    Mean,
    NearestMean,
    Outputs,
    PenaltyRecipe,
    RWalk,
    SynapticIntelligence,
)

__all__ = [
    "DGR",
    "EEIL",
    "EWC",
    "IL2M",
    "LUCIR",
    "SLDA",
    "Augment",
    "BiC",
    "Choice",
    "ClassifierRecipe",
    "Front",
    "GeneratorRecipe",
    "HeadKind",
    "ICaRL",
    "ImageRecipe",
    "LatentReplay",
    "LearnerRecipe",
    "LwF",
    "LwM",
    "Mean",
    "Mode",
    "NearestMean",
    "OptimizerRecipe",
    "Outputs",
    "PenaltyRecipe",
    "Phase",
    "RWalk",
    "Recipe",
    "Renorm",
    "ReplayRecipe",
    "Scenario",
    "Source",
    "StreamRecipe",
    "Study",
    "SynapticIntelligence",
    "Weighting",
    "Weights",
]
