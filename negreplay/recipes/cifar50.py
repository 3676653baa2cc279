"""The paper's CORe50 network and scenarios on 50 classes of small photographs."""

from dataclasses import replace

from negreplay.recipe import (
    ClassifierRecipe,
    GeneratorRecipe,
    Phase,
    Recipe,
    Scenario,
    StreamRecipe,
    Study,
    Weights,
)
from negreplay.recipes.arms import six_arms

MOBILENET = Weights(
    file="mobilenet_v1_1.0_imagenet.safetensors",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    activation="relu6",
    padding="right-bottom",
    eps=1e-3,
)
NC = Recipe(
    name="no-replay",
    stream=StreamRecipe("cifar50", Scenario.NC, first_classes=10, classes=5, image_size=128),
    classifier=ClassifierRecipe("mobilenet_v1", "conv5_4/dw", weights=MOBILENET),
    first=Phase(epochs=4, lr_features=1e-3, lr_head=1e-2),
    following=Phase(epochs=4, lr_features=1e-4, lr_head=1e-2),
)
NIC = replace(
    NC,
    stream=StreamRecipe("cifar50", Scenario.NIC, first_classes=10, parts=8, image_size=128),
    evaluate_every=10,
)
NC_GENERATOR = GeneratorRecipe(body="conv", width=128, first_iterations=752, iterations=424)
NIC_GENERATOR = replace(NC_GENERATOR, first_iterations=96, iterations=20)

CIFAR50_NC = Study("cifar50-nc", "50 classes of photographs, 10 then 8 x 5 new ones.", six_arms(NC, 250, NC_GENERATOR))
CIFAR50_NIC = Study("cifar50-nic", "50 classes, one eighth of one class at a time.", six_arms(NIC, 50, NIC_GENERATOR))
