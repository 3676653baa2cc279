"""How a system learns, as values: one class for each system.

A system states its facts by itself (`SystemRecipe`). A study.json knows it by its `kind`.
"""

from negreplay.recipe.systems.distillation import LwFRecipe, LwMRecipe
from negreplay.recipe.systems.exemplars import BiCRecipe, EEILRecipe, ICaRLRecipe, IL2MRecipe, LUCIRRecipe
from negreplay.recipe.systems.generative import DGRRecipe
from negreplay.recipe.systems.latent_replay import LatentReplayRecipe
from negreplay.recipe.systems.statistics import (
    FeCAMRecipe,
    KLDARecipe,
    NearestMeanRecipe,
    RanPACRecipe,
    RDARecipe,
    RidgeRecipe,
    SLDARecipe,
)

LearnerRecipe = (
    LatentReplayRecipe
    | LwFRecipe
    | LwMRecipe
    | ICaRLRecipe
    | EEILRecipe
    | LUCIRRecipe
    | IL2MRecipe
    | BiCRecipe
    | DGRRecipe
    | NearestMeanRecipe
    | SLDARecipe
    | KLDARecipe
    | FeCAMRecipe
    | RDARecipe
    | RidgeRecipe
    | RanPACRecipe
)
