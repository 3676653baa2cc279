"""The paper's CORe50 network and scenarios on 50 classes of small photographs, with settings tuned on them.

They have the shapes of CORe50 NC and NIC-391, and can stand in for them in the paper's tables and figures. Hours are
measured for the pooled studies and estimated from the seconds of a step for the others. Expect the accuracies of
benchmarks/: at the pooled features 49 without replay and 65 (NC) or 66 (NIC) with NR-OD.
"""

from dataclasses import replace

from negreplay.recipe import (
    ClassifierRecipe,
    GeneratorRecipe,
    ImageRecipe,
    PhaseRecipe,
    Recipe,
    Scenario,
    StreamRecipe,
    Study,
)
from negreplay.studies.arms import six_arms
from negreplay.studies.core50_nc import MOBILENET

NC = Recipe(
    name="no-replay",
    stream=StreamRecipe("cifar50", Scenario.NC, first_classes=10, classes=5, images=ImageRecipe(128)),
    classifier=ClassifierRecipe("mobilenet_v1", "conv5_4/dw", weights=MOBILENET),
    first=PhaseRecipe(epochs=6, lr_features=1e-3, lr_head=0.05),
    following=PhaseRecipe(epochs=6, lr_features=2e-5, lr_head=0.05),
)
NIC = replace(
    NC,
    stream=StreamRecipe("cifar50", Scenario.NIC, first_classes=10, parts=8, images=ImageRecipe(128)),
    evaluate_every=10,
)
NC_GENERATOR = GeneratorRecipe(body="conv", width=128, beta=0.1, eta=0.1, first_iterations=752, iterations=424)
NIC_GENERATOR = replace(NC_GENERATOR, first_iterations=96, iterations=20)

CIFAR50_NC = Study(
    "cifar50-nc",
    "50 classes of photographs, 10 then 8 x 5 new ones.",
    six_arms(NC, 250, NC_GENERATOR),
    hours=4.5,
)
CIFAR50_NIC = Study(
    "cifar50-nic",
    "50 classes of photographs, one eighth of one at a time.",
    six_arms(NIC, 50, NIC_GENERATOR),
    hours=6.0,
)


def pooled(no_replay: Recipe) -> Recipe:
    """The same stream with the replay layer at the pooled features, so that only the head learns."""
    phase = PhaseRecipe(epochs=6, lr_features=0.0, lr_head=0.05)
    classifier = replace(no_replay.classifier, replay_layer="pool")
    return replace(no_replay, classifier=classifier, first=phase, following=phase)


POOLED_NC_GENERATOR = replace(NC_GENERATOR, body="dense", width=512)
POOLED_NIC_GENERATOR = replace(NIC_GENERATOR, body="dense", width=512)

CIFAR50_NC_POOLED = Study(
    "cifar50-nc-pooled",
    "50 classes of photographs, 10 then 8 x 5 new ones; replay at the pooled features, only the head learns.",
    six_arms(pooled(NC), 250, POOLED_NC_GENERATOR),
    hours=0.4,
)
CIFAR50_NIC_POOLED = Study(
    "cifar50-nic-pooled",
    "50 classes of photographs, one eighth of one at a time; replay at the pooled features, only the head learns.",
    six_arms(pooled(NIC), 50, POOLED_NIC_GENERATOR),
    hours=0.7,
)
