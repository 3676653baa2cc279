"""Every value that a recipe refuses, with its sentence, and those at the edge that it takes."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pieces import NO_REPLAY, NR_GD, NR_OD, generator, stream, study

from negreplay import recipe as r

NOT_A_NUMBER = float("nan")

WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: stream(first_classes=0), "stream.first_classes is 0: give 1 or more."),
    (lambda: stream(classes=0), "stream.classes is 0: give 1 or more."),
    (lambda: stream(parts=0), "stream.parts is 0: give 1 or more."),
    (lambda: stream(r.Scenario.NI), "stream.parts is 1: new-instances needs 2 or more."),
    (lambda: stream(r.Scenario.NIC), "stream.parts is 1: new-instances-and-classes needs 2 or more."),
    (lambda: stream(r.Scenario.DOMAINS, parts=0), "stream.parts is 0: give 1 or more."),
    (
        lambda: stream(r.Scenario.DOMAINS, first_classes=2, classes=5),
        "stream.first_classes and classes differ: in new-domains give both the same number.",
    ),
    (lambda: stream(test_every=0), "stream.test_every is 0: give 1 or more."),
    (lambda: stream(order=("1", "1")), "stream.order is ('1', '1'): name each class once."),
    (
        lambda: stream(r.Scenario.NI, parts=2, order=("1",)),
        "stream.order has no effect: in new-instances all classes arrive at once; remove it.",
    ),
    (
        lambda: stream(images=r.ImageRecipe(8)),
        "stream.images has no effect on digits, which have 8 x 8 pixels: remove it.",
    ),
    (lambda: stream(lists="nc"), "stream.lists is nc: core50, and nothing else, needs it."),
    (lambda: r.StreamRecipe("core50", r.Scenario.NC), "stream.lists is None: core50, and nothing else, needs it."),
    (lambda: stream(categories=True), "stream.categories has no effect: digits has none; remove it."),
    (
        lambda: r.StreamRecipe("core50", r.Scenario.NC, lists="nid"),
        "stream.lists is 'nid': give one of ni, nc, nic, nicv2_79, nicv2_196, nicv2_391.",
    ),
    (
        lambda: r.StreamRecipe("core50", r.Scenario.NI, lists="nc"),
        "stream.scenario is new-instances: nc is new-classes.",
    ),
    (
        lambda: r.StreamRecipe("core50", r.Scenario.NC, classes=5, lists="nc"),
        "stream.first_classes, classes, parts and order have no effect with lists: remove them.",
    ),
    (lambda: r.ImageRecipe(7), "stream.images.size is 7: give 8 or more."),
    (
        lambda: r.ImageRecipe(shorter_side=9),
        "stream.images.shorter_side is 9: give images.size too, no larger than that.",
    ),
    (
        lambda: r.ImageRecipe(9, shorter_side=8),
        "stream.images.shorter_side is 8: give images.size too, no larger than that.",
    ),
    (
        lambda: r.ImageRecipe(augment=r.Augment.RESIZED_CROP),
        "stream.images.augment is resized-crop-flip: give images.size, to which crops are resized.",
    ),
    (lambda: r.WeightsRecipe("w", activation="gelu"), "weights.activation is 'gelu': give one of ('relu', 'relu6')."),
    (
        lambda: r.WeightsRecipe("w", padding="left"),
        "weights.padding is 'left': give one of ('symmetric', 'right-bottom').",
    ),
    (lambda: r.WeightsRecipe("w", std=(1.0, 0.0, 1.0)), "weights.std is (1.0, 0.0, 1.0): give three numbers above 0."),
    (lambda: r.WeightsRecipe("w", eps=0.0), "weights.eps is 0.0: give a number above 0."),
    (lambda: r.RenormRecipe(first_momentum=1.5), "renorm.first_momentum is 1.5: give a number from 0 to 1."),
    (lambda: r.RenormRecipe(momentum=-0.1), "renorm.momentum is -0.1: give a number from 0 to 1."),
    (lambda: r.RenormRecipe(r_max=0.9), "renorm.r_max is 0.9: give 1 or more."),
    (lambda: r.RenormRecipe(d_max=-0.5), "renorm.d_max is -0.5: give 0 or more."),
    (lambda: r.ClassifierRecipe("small", "conv2", width=0.0), "classifier.width is 0.0: give a number above 0."),
    (
        lambda: r.ClassifierRecipe("mobilenet_v1", "pool", width=0.01),
        "classifier.width is 0.01: give 0.03125 or more.",
    ),
    (lambda: r.ClassifierRecipe("mobilenet_v1", "pool", width=9.0), "classifier.width is 9.0: give 8 or less."),
    (
        lambda: r.ClassifierRecipe("resnet18", "layer3", width=0.5),
        "classifier.width has no effect: only mobilenet_v1 has one; remove it.",
    ),
    (
        lambda: r.ClassifierRecipe("resnet18", "layer3", pretrained=True),
        "classifier.pretrained is true: only timm/... has weights to download.",
    ),
    (
        lambda: r.ClassifierRecipe("small", "conv2", weights=r.WeightsRecipe("w")),
        "classifier.weights has no effect: small is not pretrained; remove it.",
    ),
    (
        lambda: r.ClassifierRecipe("timm/resnet18", "layer3", weights=r.WeightsRecipe("w"), pretrained=True),
        "classifier.weights and classifier.pretrained exclude one another: remove one.",
    ),
    *(
        (
            lambda weights=weights: r.ClassifierRecipe("timm/resnet18", "layer3", weights=weights),
            "weights.activation, padding and eps are of mobilenet_v1 only: remove them.",
        )
        for weights in (
            r.WeightsRecipe("w", activation="relu6"),
            r.WeightsRecipe("w", padding="right-bottom"),
            r.WeightsRecipe("w", eps=1e-3),
        )
    ),
    (lambda: r.PhaseRecipe(0, 0.1, 0.1), "phase.epochs is 0: give 1 or more."),
    (lambda: r.PhaseRecipe(1, -0.1, 0.1), "phase.lr_features is -0.1: give 0 or more."),
    (lambda: r.PhaseRecipe(1, 0.1, NOT_A_NUMBER), "phase.lr_head is nan: give 0 or more."),
    (lambda: r.PhaseRecipe(1, 0.1, 0.1, decay_every=0), "phase.decay_every is 0: give 1 or more."),
    (lambda: r.PhaseRecipe(1, 0.1, 0.1, decay=0.0), "phase.decay is 0.0: give a number above 0, up to 1."),
    (lambda: r.PhaseRecipe(1, 0.1, 0.1, floor=1.5), "phase.floor is 1.5: give a number above 0, up to 1."),
    (lambda: r.PhaseRecipe(1, 0.1, 0.1, decay=1.5), "phase.decay is 1.5: give a number above 0, up to 1."),
    (lambda: r.PhaseRecipe(1, 0.1, 0.1, floor=0.0), "phase.floor is 0.0: give a number above 0, up to 1."),
    (
        lambda: r.PhaseRecipe(None, 0.1, 0.1),
        "phase needs either epochs or iterations: give one of them, and null for the other.",
    ),
    (
        lambda: r.PhaseRecipe(1, 0.1, 0.1, iterations=1),
        "phase needs either epochs or iterations: give one of them, and null for the other.",
    ),
    (lambda: r.PhaseRecipe(None, 0.1, 0.1, iterations=0), "phase.iterations is 0: give 1 or more."),
    (
        lambda: r.PhaseRecipe(None, 0.1, 0.1, decay_every=1, iterations=9),
        "phase.decay_every counts epochs: give phase.epochs, not phase.iterations.",
    ),
    (lambda: generator(optimizer="lion"), "generator.optimizer is 'lion': give adam or sgd."),
    (lambda: generator(silent=1.0), "generator.silent is 1.0: give a number from 0 to below 1."),
    (lambda: generator(floor=0.0), "generator.floor is 0.0: give a number above 0, up to 1."),
    (lambda: generator(0), "generator.epochs is 0: give 1 or more."),
    (lambda: r.GeneratorRecipe(first_iterations=0, iterations=5), "generator.first_iterations is 0: give 1 or more."),
    (lambda: r.GeneratorRecipe(first_iterations=5, iterations=-5), "generator.iterations is -5: give 1 or more."),
    (lambda: r.SynapticIntelligenceRecipe(-1.0), "penalty.strength is -1.0: give 0 or more."),
    (lambda: r.SynapticIntelligenceRecipe(1.0, clip=-1.0), "penalty.clip is -1.0: give 0 or more."),
    (
        lambda: r.SynapticIntelligenceRecipe(1.0, multiplier=float("inf")),
        "penalty.multiplier is inf: give 1e+30 or less.",
    ),
    (lambda: r.RenormRecipe(opening=-1.0), "renorm.opening is -1.0: give 0 or more."),
    (lambda: r.PhaseRecipe(1, 0.1, float("inf")), "phase.lr_head is inf: give 1e+30 or less."),
    (
        lambda: replace(NO_REPLAY, name="../no-replay"),
        "arm '../no-replay': name: give letters, digits, '.', '-' and '_' only, a letter or digit first.",
    ),
    (lambda: study(seeds=(2**32,)), "study.seeds is (4294967296,): give numbers from 0 to 4294967295."),
    (lambda: generator(body="lstm"), "generator.body is 'lstm': give conv or dense."),
    (lambda: generator(width=0), "generator.width is 0: give 1 or more."),
    (lambda: generator(latent_dim=0), "generator.latent_dim is 0: give 1 or more."),
    (lambda: generator(minibatch=0), "generator.minibatch is 0: give 1 or more."),
    (lambda: generator(beta=-1.0), "generator.beta is -1.0: give 0 or more."),
    (lambda: generator(eta=-1.0), "generator.eta is -1.0: give 0 or more."),
    (lambda: generator(lr=-1.0), "generator.lr is -1.0: give 0 or more."),
    *(
        (
            lambda given=given: generator(**given),
            "generator needs either epochs, or both first_iterations and iterations.",
        )
        for given in (
            {"epochs": None},
            {"first_iterations": 5},
            {"iterations": 5},
            {"first_iterations": 5, "iterations": 5},
            {"epochs": None, "first_iterations": 5},
            {"epochs": None, "iterations": 5},
        )
    ),
    *(
        (
            lambda share=share: generator(minibatch=16, per_minibatch=share),
            f"generator.per_minibatch is {share}: give 1 to 15, fewer than generator.minibatch.",
        )
        for share in (0, 16)
    ),
    (
        lambda: generator(minibatch=1, per_minibatch=1),
        "generator.per_minibatch is given, but a generator.minibatch of 1 has no room for it: remove it.",
    ),
    (lambda: r.OptimizerRecipe("lion"), "optimizer.kind is 'lion': give sgd or adam."),
    (lambda: r.OptimizerRecipe(momentum=-0.1), "optimizer.momentum is -0.1: give a number from 0 to below 1."),
    (lambda: r.OptimizerRecipe(minibatch=0), "optimizer.minibatch is 0: give 1 or more."),
    (lambda: r.OptimizerRecipe(momentum=1.0), "optimizer.momentum is 1.0: give a number from 0 to below 1."),
    (lambda: r.OptimizerRecipe(weight_decay=-1.0), "optimizer.weight_decay is -1.0: give 0 or more."),
    (
        lambda: r.LatentReplayRecipe(r.HeadKind.PLAIN, r.Mean.GLOBAL),
        "learner.mean has no effect with head plain: remove it.",
    ),
    (lambda: replace(NO_REPLAY, evaluate_every=0), "arm 'no-replay'.evaluate_every is 0: give 1 or more."),
    (
        lambda: replace(NR_OD, generator=generator()),
        "arm 'nr-od': generator has no effect: replay.source is not generated.",
    ),
    (
        lambda: replace(NR_GD, generator=None),
        "arm 'nr-gd': replay.source is generated: describe the generator.",
    ),
    (
        lambda: replace(NR_OD, replay=replace(NR_OD.replay, per_minibatch=32)),
        "arm 'nr-od': replay.per_minibatch is 32: give fewer than optimizer.minibatch (32).",
    ),
    (
        lambda: replace(NR_OD, classifier=replace(NR_OD.classifier, front=r.Front.TRAINED)),
        "arm 'nr-od': classifier.front is trained: replayed latents would go stale; block the front.",
    ),
    (
        lambda: replace(NR_OD, replay=replace(NR_OD.replay, mode=r.Mode.POSITIVE, through_features=False)),
        "arm 'nr-od': replay.through_features is false: this holds for negative replay only.",
    ),
    (
        lambda: study(recipes=(NR_OD, replace(NO_REPLAY, name="how", stream=None))),
        "arm 'how' has no stream: say what arrives.",
    ),
    (lambda: study(recipes=()), "study.recipes is empty: give at least one arm."),
    (lambda: study(seeds=()), "study.seeds is empty: give at least one seed."),
    (lambda: study(seeds=(1, -2)), "study.seeds is (1, -2): give numbers from 0 to 4294967295."),
    (lambda: study(hours=-1.0), "study.hours is -1.0: give 0 or more."),
    (lambda: study(seeds=(4, 4)), "study.seeds is (4, 4): give each seed once."),
    (lambda: study(recipes=(NR_OD, NR_OD)), "study.recipes has two arms of one name: ['nr-od', 'nr-od']."),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_value_is_told_in_a_sentence_that_names_the_field(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


RIGHT: list[Callable[[], Any]] = [
    lambda: stream(r.Scenario.NI, parts=2),
    lambda: r.StreamRecipe("pets", r.Scenario.NC, images=r.ImageRecipe(8, shorter_side=8)),
    lambda: r.StreamRecipe("core50", r.Scenario.NI, lists="ni", categories=True, test_every=20),
    lambda: r.PhaseRecipe(1, 0.1, 0.1, decay_every=1, decay=1.0, floor=1.0),
    lambda: r.WeightsRecipe("w", activation="relu6", padding="right-bottom", eps=1e-9),
    lambda: r.ClassifierRecipe("timm/resnet18", "layer3", pretrained=True),
    lambda: r.ClassifierRecipe("resnet18", "layer3", weights=r.WeightsRecipe("w", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))),
    lambda: r.RenormRecipe(first_momentum=1.0, momentum=0.0, r_max=1.0, d_max=0.0),
    lambda: r.PhaseRecipe(1, 0.0, 0.0),
    lambda: r.PhaseRecipe(None, 0.0, 0.0, iterations=1, decay=1.0, floor=1e-9),
    lambda: stream(r.Scenario.DOMAINS, first_classes=2, classes=2, order=("1", "0")),
    lambda: r.OptimizerRecipe("adam", momentum=0.0),
    # Beside a minibatch there is room for any number.
    lambda: replace(NR_OD, replay=replace(NR_OD.replay, per_minibatch=32, beside=True)),
    lambda: generator(body="conv", width=1, latent_dim=1, minibatch=2, per_minibatch=1, beta=0.0, eta=0.0, lr=0.0),
    lambda: generator(epochs=None, first_iterations=1, iterations=1),
    lambda: r.OptimizerRecipe(minibatch=1, momentum=0.0, weight_decay=0.0),
    lambda: r.LatentReplayRecipe(r.HeadKind.CWR_STAR, r.Mean.GLOBAL),
    lambda: replace(NR_OD, replay=replace(NR_OD.replay, per_minibatch=31, through_features=False)),
    lambda: replace(NO_REPLAY, classifier=replace(NO_REPLAY.classifier, front=r.Front.TRAINED)),
    lambda: study(recipes=(NR_OD,), seeds=(0,)),
    lambda: replace(NR_OD, stream=None),
    lambda: r.ClassifierRecipe("mobilenet_v1", "pool", width=1 / 32),
    lambda: r.ClassifierRecipe("mobilenet_v1", "pool", width=8.0),
]


@pytest.mark.parametrize("make", RIGHT)
def test_values_at_the_edge_are_right(make):
    assert make() == make()


def test_a_recipe_without_a_stream_says_so_when_its_stream_is_asked_for():
    assert NO_REPLAY.arriving is NO_REPLAY.stream
    with pytest.raises(ValueError, match=r"^arm 'no-replay' has no stream: say what arrives\.$"):
        _ = replace(NO_REPLAY, stream=None).arriving
