"""The embedded default: scikit-learn's handwritten digits, four classes and then one at a time.

The study takes a minute and a half on two cores (measured). Expect the final accuracies of README.md, which are means
of three seeds: 55.5 without replay, and 60.6 with noise. With generated patterns expect 86.7 in positive and 82.3 in
negative replay, with original ones 89.5 and 87.0.
"""

from dataclasses import replace

from negreplay.recipe import (
    ClassifierRecipe,
    Front,
    GeneratorRecipe,
    OptimizerRecipe,
    PhaseRecipe,
    Recipe,
    RenormRecipe,
    Scenario,
    SLDARecipe,
    StreamRecipe,
    Study,
)
from negreplay.studies.arms import six_arms

NO_REPLAY = Recipe(
    name="no-replay",
    stream=StreamRecipe("digits", Scenario.NC, first_classes=4, classes=1),
    classifier=ClassifierRecipe("small", "conv2", front=Front.FIRST, renorm=RenormRecipe(first_momentum=0.1)),
    first=PhaseRecipe(epochs=20, lr_features=0.05, lr_head=0.05),
    following=PhaseRecipe(epochs=10, lr_features=0.001, lr_head=0.1),
    optimizer=OptimizerRecipe(minibatch=32),
)
GENERATOR = GeneratorRecipe(width=128, latent_dim=32, beta=0.1, eta=0.1, first_iterations=300, iterations=100)

SLDA = replace(NO_REPLAY, name="slda", following=None, learner=SLDARecipe())
"""The network learns from the first experience, as in the other arms, and then only sums of its features are kept."""

DIGITS = Study(
    name="digits",
    summary="Handwritten digits of 8 x 8 pixels: four classes, then one at a time.",
    recipes=(*six_arms(NO_REPLAY, 50, GENERATOR), SLDA),
    hours=0.03,
)
