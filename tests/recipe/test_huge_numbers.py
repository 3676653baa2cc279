"""A study file with a number that no computer can work with is refused, and the message names the number's field."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pieces import NO_REPLAY, generator, study

from negreplay import recipe as r
from negreplay.builders.study_files import dump_study, read_study
from negreplay.errors import UserError

PHASE = r.PhaseRecipe(3, 0.1, 0.2, decay_every=2, decay=0.5, floor=0.5)
COUNTED = r.PhaseRecipe(None, 0.1, 0.2, floor=0.5, iterations=9)
PHOTOGRAPHS = r.StreamRecipe("pets", r.Scenario.NIC, 2, 2, 2, images=r.ImageRecipe(32, 36), test_every=2)
MOBILE = r.ClassifierRecipe("mobilenet_v1", "pool", width=0.5, weights=r.WeightsRecipe("w"))
MLP = r.ClassifierRecipe("mlp", "input", renorm=None)
HERDED = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, per_minibatch=3, choice=r.Choice.HERDING, per_class=2)
GENERATED = r.ReplayRecipe(r.Source.GENERATED, memory=9, per_minibatch=3)
BASE = replace(NO_REPLAY, stream=PHOTOGRAPHS, classifier=MLP, first=PHASE, following=COUNTED)
TRAINED: tuple[tuple[r.LearnerRecipe, r.ReplayRecipe], ...] = (
    (r.LatentReplayRecipe(penalty=r.SynapticIntelligenceRecipe(1.0)), r.ReplayRecipe()),
    (r.LatentReplayRecipe(penalty=r.EWCRecipe(1.0, decay=0.5, patterns=3)), r.ReplayRecipe()),
    (r.LatentReplayRecipe(penalty=r.RWalkRecipe(1.0)), r.ReplayRecipe()),
    (r.LwFRecipe(), HERDED),
    (r.LwMRecipe("hidden1"), HERDED),
    (r.ICaRLRecipe(), HERDED),
    (r.EEILRecipe(PHASE), HERDED),
    (r.LUCIRRecipe(), HERDED),
    (r.BiCRecipe(), HERDED),
    (r.DGRRecipe(distil=True), r.ReplayRecipe()),
)
ARMS = (
    replace(BASE, name="mobile", classifier=MOBILE),
    replace(BASE, name="epochs", replay=GENERATED, generator=generator(floor=0.5, per_minibatch=3)),
    replace(BASE, name="iterations", replay=GENERATED, generator=generator(None, first_iterations=2, iterations=2)),
    *(
        replace(BASE, name=f"{i}-{learner.kind}", learner=learner, replay=replay)
        for i, (learner, replay) in enumerate(TRAINED)
    ),
    replace(
        BASE, name="degraded", replay=r.ReplayRecipe(r.Source.RANDOM, memory=9, degraded=r.DegradedRecipe(0.1, 0.1))
    ),
    replace(BASE, name="statistics", replay=r.ReplayRecipe(r.Source.STATISTICS, memory=9, rank=3)),
    *(
        replace(BASE, name=learner.kind, first=None, following=None, optimizer=r.OptimizerRecipe(), learner=learner)
        for learner in (
            r.SLDARecipe(),
            r.KLDARecipe(),
            r.FeCAMRecipe(),
            r.RDARecipe(),
            r.RidgeRecipe(),
            r.RanPACRecipe(),
        )
    ),
)
STUDY = study(recipes=ARMS, hours=1.0)


def numbers(value: Any, *place: str | int) -> Iterator[tuple[str | int, ...]]:
    """The places of all numbers within a value of JSON."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(inner, *place, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


CONTENT = json.loads(dump_study(STUDY))
# A place that all arms share is tried in one of them; a place of the learner is tried in each.
EVERY = list({place if "learner" in place else place[2:] or place: place for place in numbers(CONTENT)}.values())


def with_number(place: tuple[str | int, ...], number: float | int, folder: Path) -> Path:
    """The file of a study with this number in this place, and with no other arm than the one of this place."""
    content = deepcopy(CONTENT)
    at = content
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = number
    if place[0] == "recipes":
        content["recipes"] = [content["recipes"][place[1]]]
    path = folder / "study.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("number", [10**31, 10**400, float("inf"), float("nan")], ids=["1e31", "1e400", "inf", "nan"])
def test_a_huge_number_is_refused_wherever_it_stands(number: float | int, tmp_path: Path):
    for place in EVERY:
        name = next(part for part in reversed(place) if isinstance(part, str))
        with pytest.raises(UserError, match=name):
            read_study(with_number(place, number, tmp_path))


def numeric(kind: Any) -> set[str]:
    """The names of all fields, at any depth of this class of values, that can be a number."""
    if get_args(kind):
        return set().union(*map(numeric, get_args(kind)))
    if not is_dataclass(kind):
        return set()
    hints = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}
    own = {name for name, hint in hints.items() if {int, float} & {hint, *get_args(hint)}}
    return own.union(*map(numeric, hints.values()))


def test_every_field_that_can_be_a_number_has_been_tried():
    tried = {part for place in EVERY for part in place if isinstance(part, str)}
    assert {"shrinkage", "test_every", "hours"} <= numeric(r.Study) <= tried


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: r.PhaseRecipe(1_000_001, 0.1, 0.1), "phase.epochs is 1000001: give 1000000 or less."),
        (lambda: r.OptimizerRecipe(minibatch=10**7), "optimizer.minibatch is 10000000: give 1000000 or less."),
        (lambda: generator(width=8193), "generator.width is 8193: give 8192 or less."),
        (lambda: generator(latent_dim=8193), "generator.latent_dim is 8193: give 8192 or less."),
        (lambda: replace(GENERATED, memory=10_000_001), "replay.memory is 10000001: give 10000000 or less."),
        (lambda: r.ImageRecipe(4097), "stream.images.size is 4097: give 4096 or less."),
        (lambda: replace(PHOTOGRAPHS, test_every=2**63), f"stream.test_every is {2**63}: give 1000000 or less."),
        (lambda: r.RenormRecipe(r_max=1e300), "renorm.r_max is 1e+300: give 1e+30 or less."),
    ],
)
def test_the_limit_is_named(make: Any, sentence: str):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == sentence


def test_numbers_at_the_limit_are_right():
    assert r.PhaseRecipe(10**6, 1e30, 1e30).lr_head == 1e30
    assert generator(width=8192, latent_dim=8192, minibatch=10**6).width == 8192
    assert replace(GENERATED, memory=10**7).memory == 10**7
    assert r.ImageRecipe(4096, 4096).size == 4096
