"""The embedded default: scikit-learn's handwritten digits, two new classes at a time, in under two minutes."""

from negreplay.recipe import (
    ClassifierRecipe,
    Front,
    GeneratorRecipe,
    Phase,
    Recipe,
    Scenario,
    StreamRecipe,
    Study,
)
from negreplay.recipes.arms import six_arms

NO_REPLAY = Recipe(
    name="no-replay",
    stream=StreamRecipe(data="digits", scenario=Scenario.NC, first_classes=2, classes=1),
    classifier=ClassifierRecipe(backbone="small", replay_layer="conv2", front=Front.FIRST),
    first=Phase(epochs=10, lr_features=0.05, lr_head=0.05),
    following=Phase(epochs=10, lr_features=0.005, lr_head=0.05),
)
GENERATOR = GeneratorRecipe(body="dense", width=256, latent_dim=32, first_iterations=300, iterations=150)


DIGITS = Study(
    name="digits",
    summary="Ten handwritten digits, 8 x 8 pixels: two classes, then one at a time.",
    recipes=six_arms(NO_REPLAY, 100, GENERATOR),
)
