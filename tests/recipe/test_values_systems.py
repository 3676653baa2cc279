"""Every value that a system refuses, with its sentence; what a system needs, and what it cannot use."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pieces import NO_REPLAY, generator

from negreplay.recipe import (
    BiCRecipe,
    Choice,
    ClassifierRecipe,
    DGRRecipe,
    EEILRecipe,
    EWCRecipe,
    Front,
    HeadKind,
    ICaRLRecipe,
    IL2MRecipe,
    LatentReplayRecipe,
    LearnerRecipe,
    LUCIRRecipe,
    LwFRecipe,
    LwMRecipe,
    Mean,
    Mode,
    NearestMeanRecipe,
    OptimizerRecipe,
    Outputs,
    PhaseRecipe,
    Recipe,
    ReplayRecipe,
    RWalkRecipe,
    SLDARecipe,
    Source,
    SynapticIntelligenceRecipe,
    Weighting,
)

NOT_A_NUMBER = float("nan")
PHASE = PhaseRecipe(1, 0.1, 0.1)
HERDED = ReplayRecipe(Source.ORIGINAL, Mode.POSITIVE, 20, choice=Choice.HERDING)
DRAWN = replace(HERDED, choice=Choice.RANDOM)
REPLACED = replace(HERDED, choice=Choice.REPLACED)
ALL = replace(HERDED, memory=0, choice=Choice.ALL)
NOISE = ReplayRecipe(Source.RANDOM, Mode.POSITIVE, 20)
NEEDING = (ICaRLRecipe(), EEILRecipe(PHASE), LUCIRRecipe(), IL2MRecipe(), BiCRecipe())
OPTIONAL = (LwFRecipe(), LwMRecipe("conv3"))
UNTRAINED = (NearestMeanRecipe(), SLDARecipe())


MLP = ClassifierRecipe("mlp", "input", renorm=None)


def arm(learner: LearnerRecipe, replay: ReplayRecipe | None = None, **fields) -> Recipe:
    fields = {"classifier": MLP} | fields
    return replace(NO_REPLAY, name="x", learner=learner, replay=replay or ReplayRecipe(), **fields)


def untrained(learner: LearnerRecipe, replay: ReplayRecipe | None = None, **fields) -> Recipe:
    return Recipe("x", NO_REPLAY.stream, MLP, learner=learner, replay=replay or ReplayRecipe(), **fields)


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: SynapticIntelligenceRecipe(1.0, damping=0.0), "penalty.damping is 0.0: give a number above 0."),
    (lambda: EWCRecipe(-1.0), "penalty.strength is -1.0: give 0 or more."),
    (lambda: EWCRecipe(1.0, patterns=0), "penalty.patterns is 0: give 1 or more."),
    (lambda: EWCRecipe(1.0, decay=1.5), "penalty.decay is 1.5: give a number from 0 to 1."),
    (lambda: EWCRecipe(1.0, decay=-0.5), "penalty.decay is -0.5: give a number from 0 to 1."),
    (lambda: EWCRecipe(1.0, decay=NOT_A_NUMBER), "penalty.decay is nan: give a number from 0 to 1."),
    (lambda: RWalkRecipe(-1.0), "penalty.strength is -1.0: give 0 or more."),
    (lambda: RWalkRecipe(1.0, every=0), "penalty.every is 0: give 1 or more."),
    (lambda: RWalkRecipe(1.0, decay=0.0), "penalty.decay is 0.0: give a number above 0, up to 1."),
    (lambda: RWalkRecipe(1.0, decay=1.5), "penalty.decay is 1.5: give a number above 0, up to 1."),
    *(
        (
            lambda head=head: LatentReplayRecipe(head, Mean.GLOBAL),
            f"learner.mean has no effect with head {head}: remove it.",
        )
        for head in (HeadKind.CWR, HeadKind.CWR_PLUS, HeadKind.PLAIN)
    ),
    *(
        (
            lambda head=head, outputs=outputs: LatentReplayRecipe(head, outputs=outputs),
            f"learner.outputs has no effect with head {head}: remove it, or take the plain head.",
        )
        for head, outputs in zip(list(HeadKind)[:3], (Outputs.SEEN, Outputs.CURRENT, Outputs.OWN), strict=True)
    ),
    (lambda: LwFRecipe(strength=-1.0), "learner.strength is -1.0: give 0 or more."),
    (
        lambda: LwFRecipe(outputs=Outputs.CURRENT),
        "learner.outputs is current: LwF also trains the old ones; give all, seen or own-experience.",
    ),
    (lambda: LwMRecipe("conv3", strength=NOT_A_NUMBER), "learner.strength is nan: give 0 or more."),
    (lambda: LwMRecipe("conv3", attention=-1.0), "learner.attention is -1.0: give 0 or more."),
    (lambda: EEILRecipe(PHASE, noise=-1.0), "learner.noise is -1.0: give 0 or more."),
    (lambda: LUCIRRecipe(strength=-1.0), "learner.strength is -1.0: give 0 or more."),
    (lambda: LUCIRRecipe(margin=-1.0), "learner.margin is -1.0: give 0 or more."),
    (lambda: LUCIRRecipe(negatives=0), "learner.negatives is 0: give 1 or more."),
    (lambda: BiCRecipe(lr=-1.0), "learner.lr is -1.0: give 0 or more."),
    (lambda: BiCRecipe(epochs=0), "learner.epochs is 0: give 1 or more."),
    (lambda: BiCRecipe(validation=0.0), "learner.validation is 0.0: give a number between 0 and 1."),
    (lambda: BiCRecipe(validation=1.0), "learner.validation is 1.0: give a number between 0 and 1."),
    *(
        (
            lambda make=make, temperature=temperature: make(temperature=temperature),
            f"learner.temperature is {temperature}: give a number above 0.",
        )
        for make in (
            LwFRecipe,
            lambda **fields: LwMRecipe("conv3", **fields),
            lambda **fields: EEILRecipe(PHASE, **fields),
            BiCRecipe,
            DGRRecipe,
        )
        for temperature in (0.0, -1.0, NOT_A_NUMBER)
    ),
    (lambda: LwFRecipe(temperature=float("inf")), "learner.temperature is inf: give 1e+30 or less."),
    *(
        (lambda name=name: replace(DGRRecipe(), **{name: 0}), f"learner.{name} is 0: give 1 or more.")
        for name in ("replayed", "width", "latent_dim")
    ),
    (
        lambda: DGRRecipe(temperature=3.0),
        "learner.temperature has no effect: learner.distil is false; remove it.",
    ),
    (
        lambda: DGRRecipe(outputs=Outputs.CURRENT),
        "learner.outputs is current: DGR also trains the old ones; give all, seen or own-experience.",
    ),
    (lambda: SLDARecipe(0.0), "learner.shrinkage is 0.0: give a number above 0, up to 1."),
    (lambda: SLDARecipe(1.5), "learner.shrinkage is 1.5: give a number above 0, up to 1."),
    # What a system needs, in an arm.
    *(
        (
            lambda name=name, learner=learner, replay=replay: arm(learner, replay, **{name: None}),
            f"arm 'x': {name} is missing: say how long and how fast experiences are learned.",
        )
        for name in ("first", "following")
        for learner, replay in (
            (LatentReplayRecipe(), None),
            (LwFRecipe(), None),
            (DGRRecipe(), None),
            *((one, HERDED) for one in NEEDING),
        )
    ),
    *(
        (
            lambda learner=learner, name=name: replace(untrained(learner), **{name: PHASE}),
            f"arm 'x': {name} has no effect: {learner.kind} trains nothing; remove it.",
        )
        for name in ("first", "following")
        for learner in UNTRAINED
    ),
    *(
        (
            lambda learner=learner: untrained(learner, optimizer=OptimizerRecipe(minibatch=4)),
            f"arm 'x': optimizer has no effect: {learner.kind} trains nothing; remove it.",
        )
        for learner in UNTRAINED
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
            *((one, replace(HERDED, mode=Mode.NEGATIVE)) for one in (*NEEDING, *OPTIONAL)),
            *((one, replay) for one in OPTIONAL for replay in (REPLACED, ALL, NOISE)),
        )
    ),
    *(
        (
            lambda learner=learner: arm(learner, replace(HERDED, weighting=Weighting.EXPERIENCES)),
            f"arm 'x': replay.weighting has no effect on {learner.kind}: remove it.",
        )
        for learner in (*NEEDING, *OPTIONAL)
    ),
    *(
        (
            lambda make=make, learner=learner, replay=replay: make(learner, replay),
            f"arm 'x': replay has no effect on {learner.kind}: remove it.",
        )
        for make, learner in ((arm, DGRRecipe()), *((untrained, one) for one in UNTRAINED))
        for replay in (HERDED, NOISE, ReplayRecipe(mode=Mode.POSITIVE))
    ),
    (
        lambda: arm(DGRRecipe(), classifier=replace(MLP, replay_layer="hidden1")),
        "arm 'x': classifier.replay_layer is hidden1: dgr makes images; take input.",
    ),
    *(
        (
            lambda learner=learner, replay=replay: arm(learner, replay, classifier=replace(MLP, front=Front.FIRST)),
            f"arm 'x': classifier.front learns: {learner.kind} learns above the replay layer only; block it.",
        )
        for learner, replay in ((DGRRecipe(), None), *((one, HERDED) for one in (*NEEDING, *OPTIONAL)))
    ),
    (
        lambda: arm(LwFRecipe(), replace(NOISE, source=Source.GENERATED), generator=generator()),
        "arm 'x': lwf replays exemplars: source original, mode positive, choice random or herding.",
    ),
    (
        lambda: arm(LatentReplayRecipe(HeadKind.PLAIN, outputs=Outputs.CURRENT), HERDED),
        "arm 'x': learner.outputs is current: replayed patterns have no output then; set source none.",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_value_of_a_system_is_told_in_a_sentence_that_names_the_field(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


RIGHT: list[Callable[[], Any]] = [
    lambda: SynapticIntelligenceRecipe(0.0, clip=0.0, multiplier=0.0, damping=1e-12),
    lambda: EWCRecipe(0.0, decay=0.0, patterns=1),
    lambda: EWCRecipe(0.0, decay=1.0),
    lambda: RWalkRecipe(0.0, decay=1.0, every=1),
    lambda: LwFRecipe(0.0, 1e-3, Weighting.EXPERIENCES, Outputs.OWN),
    lambda: LwFRecipe(outputs=Outputs.ALL),
    lambda: LwMRecipe("conv3", 0.0, 0.0, 1e-3),
    lambda: EEILRecipe(PHASE, 1e-3, 0.0),
    lambda: LUCIRRecipe(0.0, 0.0, 1),
    lambda: BiCRecipe(1e-3, 1e-9, 1, 0.0),
    lambda: BiCRecipe(validation=0.999),
    lambda: DGRRecipe(1, width=1, latent_dim=1, outputs=Outputs.OWN),
    lambda: DGRRecipe(distil=True, temperature=1e-3, outputs=Outputs.ALL),
    lambda: SLDARecipe(1.0),
    *(lambda head=head: arm(LatentReplayRecipe(head)) for head in HeadKind),
    *(lambda outputs=outputs: arm(LatentReplayRecipe(HeadKind.PLAIN, outputs=outputs)) for outputs in Outputs),
    *(lambda learner=learner: arm(learner) for learner in (*OPTIONAL, DGRRecipe())),
    *(lambda learner=learner: arm(learner, HERDED) for learner in (*OPTIONAL, *NEEDING)),
    *(lambda learner=learner: arm(learner, DRAWN) for learner in (*OPTIONAL, *NEEDING)),
    *(lambda learner=learner: untrained(learner) for learner in UNTRAINED),
    *(
        lambda replay=replay: arm(LatentReplayRecipe(HeadKind.PLAIN), replay)
        for replay in (REPLACED, ALL, DRAWN, NOISE)
    ),
    lambda: arm(LatentReplayRecipe(), replace(HERDED, mode=Mode.NEGATIVE, weighting=Weighting.EXPERIENCES)),
]


@pytest.mark.parametrize("make", RIGHT)
def test_values_of_systems_at_the_edge_are_right(make):
    assert make() == make()


@pytest.mark.parametrize("replay", [None, REPLACED, ALL, HERDED, NOISE])
def test_who_keeps_training_data(replay: ReplayRecipe | None):
    keeps = replay is not None and replay.source is Source.ORIGINAL
    assert arm(LatentReplayRecipe(HeadKind.PLAIN), replay).keeps_data == keeps


def test_every_system_has_a_kind_of_its_own():
    learners = (LatentReplayRecipe(), *OPTIONAL, *NEEDING, DGRRecipe(), *UNTRAINED)
    penalties = (SynapticIntelligenceRecipe(1.0), EWCRecipe(1.0), RWalkRecipe(1.0))
    for some in (learners, penalties):
        assert len({one.kind for one in some}) == len(some)
