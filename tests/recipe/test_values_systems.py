"""Every value that a system refuses, with its sentence; what a system needs, and what it cannot use."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pieces import NO_REPLAY, generator

from negreplay import recipe as r

NOT_A_NUMBER = float("nan")
PHASE = r.PhaseRecipe(1, 0.1, 0.1)
HERDED = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, 20, choice=r.Choice.HERDING)
DRAWN = replace(HERDED, choice=r.Choice.RANDOM)
REPLACED = replace(HERDED, choice=r.Choice.REPLACED)
ALL = replace(HERDED, memory=0, choice=r.Choice.ALL)
NOISE = r.ReplayRecipe(r.Source.RANDOM, r.Mode.POSITIVE, 20)
NEEDING = (r.ICaRLRecipe(), r.EEILRecipe(PHASE), r.LUCIRRecipe(), r.IL2MRecipe(), r.BiCRecipe())
OPTIONAL = (r.LwFRecipe(), r.LwMRecipe("conv3"))
UNTRAINED = (
    r.NearestMeanRecipe(),
    r.SLDARecipe(),
    r.KLDARecipe(),
    r.FeCAMRecipe(),
    r.RDARecipe(),
    r.RidgeRecipe(),
    r.RanPACRecipe(),
)


MLP = r.ClassifierRecipe("mlp", "input", renorm=None)


def arm(learner: r.LearnerRecipe, replay: r.ReplayRecipe | None = None, **fields) -> r.Recipe:
    fields = {"classifier": MLP} | fields
    return replace(NO_REPLAY, name="x", learner=learner, replay=replay or r.ReplayRecipe(), **fields)


def untrained(learner: r.LearnerRecipe, replay: r.ReplayRecipe | None = None, **fields) -> r.Recipe:
    given = {"classifier": MLP, "replay": replay or r.ReplayRecipe()} | fields
    return r.Recipe("x", NO_REPLAY.stream, learner=learner, **given)


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: r.SynapticIntelligenceRecipe(1.0, damping=0.0), "penalty.damping is 0.0: give a number above 0."),
    (lambda: r.EWCRecipe(-1.0), "penalty.strength is -1.0: give 0 or more."),
    (lambda: r.EWCRecipe(1.0, patterns=0), "penalty.patterns is 0: give 1 or more."),
    (lambda: r.EWCRecipe(1.0, decay=1.5), "penalty.decay is 1.5: give a number from 0 to 1."),
    (lambda: r.EWCRecipe(1.0, decay=-0.5), "penalty.decay is -0.5: give a number from 0 to 1."),
    (lambda: r.EWCRecipe(1.0, decay=NOT_A_NUMBER), "penalty.decay is nan: give a number from 0 to 1."),
    (lambda: r.RWalkRecipe(-1.0), "penalty.strength is -1.0: give 0 or more."),
    (lambda: r.RWalkRecipe(1.0, every=0), "penalty.every is 0: give 1 or more."),
    (lambda: r.RWalkRecipe(1.0, decay=0.0), "penalty.decay is 0.0: give a number above 0, up to 1."),
    (lambda: r.RWalkRecipe(1.0, decay=1.5), "penalty.decay is 1.5: give a number above 0, up to 1."),
    *(
        (
            lambda head=head: r.LatentReplayRecipe(head, r.Mean.GLOBAL),
            f"learner.mean has no effect with head {head}: remove it.",
        )
        for head in (r.HeadKind.CWR, r.HeadKind.CWR_PLUS, r.HeadKind.PLAIN)
    ),
    *(
        (
            lambda head=head, outputs=outputs: r.LatentReplayRecipe(head, outputs=outputs),
            f"learner.outputs has no effect with head {head}: remove it, or take the plain head.",
        )
        for head, outputs in zip(list(r.HeadKind)[:3], (r.Outputs.SEEN, r.Outputs.CURRENT, r.Outputs.OWN), strict=True)
    ),
    (lambda: r.LwFRecipe(strength=-1.0), "learner.strength is -1.0: give 0 or more."),
    (
        lambda: r.LwFRecipe(outputs=r.Outputs.CURRENT),
        "learner.outputs is current: LwF also trains the old ones; give all, seen or own-experience.",
    ),
    (lambda: r.LwMRecipe("conv3", strength=NOT_A_NUMBER), "learner.strength is nan: give 0 or more."),
    (lambda: r.LwMRecipe("conv3", attention=-1.0), "learner.attention is -1.0: give 0 or more."),
    (lambda: r.EEILRecipe(PHASE, noise=-1.0), "learner.noise is -1.0: give 0 or more."),
    (lambda: r.LUCIRRecipe(strength=-1.0), "learner.strength is -1.0: give 0 or more."),
    (lambda: r.LUCIRRecipe(margin=-1.0), "learner.margin is -1.0: give 0 or more."),
    (lambda: r.LUCIRRecipe(negatives=0), "learner.negatives is 0: give 1 or more."),
    (lambda: r.BiCRecipe(lr=-1.0), "learner.lr is -1.0: give 0 or more."),
    (lambda: r.BiCRecipe(epochs=0), "learner.epochs is 0: give 1 or more."),
    (lambda: r.BiCRecipe(validation=0.0), "learner.validation is 0.0: give a number between 0 and 1."),
    (lambda: r.BiCRecipe(validation=1.0), "learner.validation is 1.0: give a number between 0 and 1."),
    *(
        (
            lambda make=make, temperature=temperature: make(temperature=temperature),
            f"learner.temperature is {temperature}: give a number above 0.",
        )
        for make in (
            r.LwFRecipe,
            lambda **fields: r.LwMRecipe("conv3", **fields),
            lambda **fields: r.EEILRecipe(PHASE, **fields),
            r.BiCRecipe,
            r.DGRRecipe,
        )
        for temperature in (0.0, -1.0, NOT_A_NUMBER)
    ),
    (lambda: r.LwFRecipe(temperature=float("inf")), "learner.temperature is inf: give 1e+30 or less."),
    *(
        (lambda name=name: replace(r.DGRRecipe(), **{name: 0}), f"learner.{name} is 0: give 1 or more.")
        for name in ("replayed", "width", "latent_dim")
    ),
    (
        lambda: r.DGRRecipe(temperature=3.0),
        "learner.temperature has no effect: learner.distil is false; remove it.",
    ),
    (
        lambda: r.DGRRecipe(outputs=r.Outputs.CURRENT),
        "learner.outputs is current: DGR also trains the old ones; give all, seen or own-experience.",
    ),
    (lambda: r.SLDARecipe(0.0), "learner.shrinkage is 0.0: give a number above 0, up to 1."),
    (lambda: r.SLDARecipe(1.5), "learner.shrinkage is 1.5: give a number above 0, up to 1."),
    (lambda: r.KLDARecipe(shrinkage=0.0), "learner.shrinkage is 0.0: give a number above 0, up to 1."),
    (lambda: r.KLDARecipe(units=0), "learner.units is 0: give 1 or more."),
    (lambda: r.KLDARecipe(gamma=0.0), "learner.gamma is 0.0: give a number above 0."),
    (lambda: r.FeCAMRecipe(variance=0.0), "learner.variance is 0.0: give a number above 0."),
    (lambda: r.FeCAMRecipe(covariance=-1.0), "learner.covariance is -1.0: give 0 or more."),
    (lambda: r.RDARecipe(shared=1.5), "learner.shared is 1.5: give 1 or less."),
    (lambda: r.RDARecipe(rank=0), "learner.rank is 0: give 1 or more."),
    (lambda: r.RidgeRecipe(0.0), "learner.ridge is 0.0: give a number above 0."),
    (lambda: r.RanPACRecipe(units=0), "learner.units is 0: give 1 or more."),
    (lambda: r.RanPACRecipe(ridge=float("nan")), "learner.ridge is nan: give a number above 0."),
    # What a system needs, in an arm.
    *(
        (
            lambda name=name, learner=learner, replay=replay: arm(learner, replay, **{name: None}),
            f"arm 'x': {name} is missing: say how long and how fast experiences are learned.",
        )
        for name in ("first", "following")
        for learner, replay in (
            (r.LatentReplayRecipe(), None),
            (r.LwFRecipe(), None),
            (r.DGRRecipe(), None),
            *((one, HERDED) for one in NEEDING),
        )
    ),
    *(
        (
            lambda learner=learner: replace(untrained(learner), following=PHASE),
            f"arm 'x': following has no effect: {learner.kind} trains in the first experience only; remove it.",
        )
        for learner in UNTRAINED
    ),
    *(
        (
            lambda learner=learner: untrained(learner, optimizer=r.OptimizerRecipe(minibatch=4)),
            f"arm 'x': optimizer has no effect: {learner.kind} trains nothing; remove it.",
        )
        for learner in UNTRAINED
    ),
    (
        lambda: r.PhaseRecipe(5, 0.1, 0.1, decay_every=2, cosine=True),
        "phase.decay_every and phase.cosine exclude one another: remove one.",
    ),
    (
        lambda: untrained(r.SLDARecipe(), classifier=replace(MLP, front=r.Front.FIRST)),
        "arm 'x': classifier.front is first-experience, but slda counts features once: block it.",
    ),
    (
        lambda: untrained(r.RanPACRecipe(), classifier=replace(MLP, front=r.Front.TRAINED), first=PHASE),
        "arm 'x': classifier.front is trained, but ranpac counts features once: let it learn in the first experience, "
        "or block it.",
    ),
    *(
        (
            lambda learner=learner, replay=replay: arm(learner, replay),
            f"arm 'x': {learner.kind} needs exemplars: replay.source original, choice herding.",
        )
        for learner in NEEDING
        for replay in (None, REPLACED, ALL, NOISE)
    ),
    *(
        (
            lambda learner=learner, replay=replay: arm(learner, replay),
            f"arm 'x': {learner.kind} replays exemplars: source original, mode positive, choice random or herding.",
        )
        for learner, replay in (
            *((one, replace(HERDED, mode=r.Mode.NEGATIVE)) for one in (*NEEDING, *OPTIONAL)),
            *((one, replay) for one in OPTIONAL for replay in (REPLACED, ALL, NOISE)),
        )
    ),
    *(
        (
            lambda learner=learner: arm(learner, replace(HERDED, weighting=r.Weighting.EXPERIENCES)),
            f"arm 'x': replay.weighting has no effect on {learner.kind}: remove it.",
        )
        for learner in (*NEEDING, *OPTIONAL)
    ),
    *(
        (
            lambda make=make, learner=learner, replay=replay: make(learner, replay),
            f"arm 'x': replay has no effect on {learner.kind}: remove it.",
        )
        for make, learner in ((arm, r.DGRRecipe()), *((untrained, one) for one in UNTRAINED))
        for replay in (HERDED, NOISE, r.ReplayRecipe(mode=r.Mode.POSITIVE))
    ),
    (
        lambda: arm(r.DGRRecipe(), classifier=replace(MLP, replay_layer="hidden1")),
        "arm 'x': classifier.replay_layer is hidden1: dgr makes images; take input.",
    ),
    *(
        (
            lambda learner=learner, replay=replay: arm(learner, replay, classifier=replace(MLP, front=r.Front.FIRST)),
            f"arm 'x': classifier.front learns: {learner.kind} learns above the replay layer only; block it.",
        )
        for learner, replay in ((r.DGRRecipe(), None), *((one, HERDED) for one in (*NEEDING, *OPTIONAL)))
    ),
    (
        lambda: arm(r.LwFRecipe(), replace(NOISE, source=r.Source.GENERATED), generator=generator()),
        "arm 'x': lwf replays exemplars: source original, mode positive, choice random or herding.",
    ),
    (
        lambda: arm(r.LatentReplayRecipe(r.HeadKind.PLAIN, outputs=r.Outputs.CURRENT), HERDED),
        "arm 'x': learner.outputs is current: replayed patterns have no output then; set source none.",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_value_of_a_system_is_told_in_a_sentence_that_names_the_field(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


RIGHT: list[Callable[[], Any]] = [
    lambda: r.SynapticIntelligenceRecipe(0.0, clip=0.0, multiplier=0.0, damping=1e-12),
    lambda: r.EWCRecipe(0.0, decay=0.0, patterns=1),
    lambda: r.EWCRecipe(0.0, decay=1.0),
    lambda: r.RWalkRecipe(0.0, decay=1.0, every=1),
    lambda: r.LwFRecipe(0.0, 1e-3, r.Weighting.EXPERIENCES, r.Outputs.OWN),
    lambda: r.LwFRecipe(outputs=r.Outputs.ALL),
    lambda: r.LwMRecipe("conv3", 0.0, 0.0, 1e-3),
    lambda: r.EEILRecipe(PHASE, 1e-3, 0.0),
    lambda: r.LUCIRRecipe(0.0, 0.0, 1),
    lambda: r.BiCRecipe(1e-3, 1e-9, 1, 0.0),
    lambda: r.BiCRecipe(validation=0.999),
    lambda: r.DGRRecipe(1, width=1, latent_dim=1, outputs=r.Outputs.OWN),
    lambda: r.DGRRecipe(distil=True, temperature=1e-3, outputs=r.Outputs.ALL),
    lambda: r.SLDARecipe(1.0),
    lambda: r.RanPACRecipe(1, None),
    lambda: r.FeCAMRecipe(1e-9, 0.0, roots=False),
    lambda: r.RDARecipe(1.0, 1, 1e-9, roots=False),
    lambda: untrained(r.SLDARecipe(), classifier=replace(MLP, front=r.Front.FIRST), first=PHASE),
    lambda: untrained(r.RidgeRecipe(), first=PHASE, optimizer=r.OptimizerRecipe(minibatch=4)),
    *(lambda head=head: arm(r.LatentReplayRecipe(head)) for head in r.HeadKind),
    *(lambda outputs=outputs: arm(r.LatentReplayRecipe(r.HeadKind.PLAIN, outputs=outputs)) for outputs in r.Outputs),
    *(lambda learner=learner: arm(learner) for learner in (*OPTIONAL, r.DGRRecipe())),
    *(lambda learner=learner: arm(learner, HERDED) for learner in (*OPTIONAL, *NEEDING)),
    *(lambda learner=learner: arm(learner, DRAWN) for learner in (*OPTIONAL, *NEEDING)),
    *(lambda learner=learner: untrained(learner) for learner in UNTRAINED),
    *(
        lambda replay=replay: arm(r.LatentReplayRecipe(r.HeadKind.PLAIN), replay)
        for replay in (REPLACED, ALL, DRAWN, NOISE)
    ),
    lambda: arm(r.LatentReplayRecipe(), replace(HERDED, mode=r.Mode.NEGATIVE, weighting=r.Weighting.EXPERIENCES)),
]


@pytest.mark.parametrize("make", RIGHT)
def test_values_of_systems_at_the_edge_are_right(make):
    assert make() == make()


@pytest.mark.parametrize("replay", [None, REPLACED, ALL, HERDED, NOISE])
def test_who_keeps_training_data(replay: r.ReplayRecipe | None):
    keeps = replay is not None and replay.source is r.Source.ORIGINAL
    assert arm(r.LatentReplayRecipe(r.HeadKind.PLAIN), replay).keeps_data == keeps


def test_every_system_has_a_kind_of_its_own():
    learners = (r.LatentReplayRecipe(), *OPTIONAL, *NEEDING, r.DGRRecipe(), *UNTRAINED)
    penalties = (r.SynapticIntelligenceRecipe(1.0), r.EWCRecipe(1.0), r.RWalkRecipe(1.0))
    for some in (learners, penalties):
        assert len({one.kind for one in some}) == len(some)
