"""What a run is made of, as plain values.

A `Study` is what `negreplay run` takes: a few `Recipe`s (arms) and the seeds. A recipe names the stream, the
classifier, how long and how fast an experience is learned, and what is replayed in which mode. Nothing here knows
torch, so listing and showing recipes is instant; `negreplay.builders` turns these values into objects.

Every class validates itself: a wrong value raises `ValueError` with a sentence that names the field and the remedy.
"""

from negreplay.recipe.learning import (
    Choice as Choice,
)
from negreplay.recipe.learning import (
    Covariance as Covariance,
)
from negreplay.recipe.learning import (
    DegradedRecipe as DegradedRecipe,
)
from negreplay.recipe.learning import (
    Mode as Mode,
)
from negreplay.recipe.learning import (
    OptimizerRecipe as OptimizerRecipe,
)
from negreplay.recipe.learning import (
    PhaseRecipe as PhaseRecipe,
)
from negreplay.recipe.learning import (
    ReplayRecipe as ReplayRecipe,
)
from negreplay.recipe.learning import (
    Source as Source,
)
from negreplay.recipe.learning import (
    Weighting as Weighting,
)
from negreplay.recipe.nets import (
    ClassifierRecipe as ClassifierRecipe,
)
from negreplay.recipe.nets import (
    Front as Front,
)
from negreplay.recipe.nets import (
    GeneratorRecipe as GeneratorRecipe,
)
from negreplay.recipe.nets import (
    HeadKind as HeadKind,
)
from negreplay.recipe.nets import (
    Mean as Mean,
)
from negreplay.recipe.nets import (
    Outputs as Outputs,
)
from negreplay.recipe.nets import (
    RenormRecipe as RenormRecipe,
)
from negreplay.recipe.nets import (
    WeightsRecipe as WeightsRecipe,
)
from negreplay.recipe.stream import (
    Augment as Augment,
)
from negreplay.recipe.stream import (
    ImageRecipe as ImageRecipe,
)
from negreplay.recipe.stream import (
    Scenario as Scenario,
)
from negreplay.recipe.stream import (
    StreamRecipe as StreamRecipe,
)
from negreplay.recipe.study import (
    Recipe as Recipe,
)
from negreplay.recipe.study import (
    Study as Study,
)
from negreplay.recipe.systems import (
    BiCRecipe as BiCRecipe,
)
from negreplay.recipe.systems import (
    DGRRecipe as DGRRecipe,
)
from negreplay.recipe.systems import (
    EEILRecipe as EEILRecipe,
)
from negreplay.recipe.systems import (
    FeCAMRecipe as FeCAMRecipe,
)
from negreplay.recipe.systems import (
    ICaRLRecipe as ICaRLRecipe,
)
from negreplay.recipe.systems import (
    IL2MRecipe as IL2MRecipe,
)
from negreplay.recipe.systems import (
    KLDARecipe as KLDARecipe,
)
from negreplay.recipe.systems import (
    LatentReplayRecipe as LatentReplayRecipe,
)
from negreplay.recipe.systems import (
    LearnerRecipe as LearnerRecipe,
)
from negreplay.recipe.systems import (
    LUCIRRecipe as LUCIRRecipe,
)
from negreplay.recipe.systems import (
    LwFRecipe as LwFRecipe,
)
from negreplay.recipe.systems import (
    LwMRecipe as LwMRecipe,
)
from negreplay.recipe.systems import (
    NearestMeanRecipe as NearestMeanRecipe,
)
from negreplay.recipe.systems import (
    RanPACRecipe as RanPACRecipe,
)
from negreplay.recipe.systems import (
    RDARecipe as RDARecipe,
)
from negreplay.recipe.systems import (
    RidgeRecipe as RidgeRecipe,
)
from negreplay.recipe.systems import (
    SLDARecipe as SLDARecipe,
)
from negreplay.recipe.systems.penalties import (
    EWCRecipe as EWCRecipe,
)
from negreplay.recipe.systems.penalties import (
    PenaltyRecipe as PenaltyRecipe,
)
from negreplay.recipe.systems.penalties import (
    RWalkRecipe as RWalkRecipe,
)
from negreplay.recipe.systems.penalties import (
    SynapticIntelligenceRecipe as SynapticIntelligenceRecipe,
)
from negreplay.recipe.systems.statistics import (
    CLOSED_FORM as CLOSED_FORM,
)
from negreplay.recipe.systems.statistics import (
    ClosedFormRecipe as ClosedFormRecipe,
)
from negreplay.recipe.systems.system import (
    Replays as Replays,
)
from negreplay.recipe.systems.system import (
    SystemRecipe as SystemRecipe,
)
