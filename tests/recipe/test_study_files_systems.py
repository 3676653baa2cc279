"""Every system comes back from its file as the one that it was, and a mistake is told of the one that was meant."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from pieces import NO_REPLAY, NR_OD, study

from negreplay import recipe as r
from negreplay.builders.study_files import dump_study, read_study
from negreplay.errors import UserError

MLP = replace(NO_REPLAY, classifier=r.ClassifierRecipe("mlp", "input", renorm=None))
HERDED = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, choice=r.Choice.HERDING, per_class=2)
BESIDE = r.ReplayRecipe(
    r.Source.ORIGINAL,
    r.Mode.POSITIVE,
    memory=7,
    per_minibatch=3,
    choice=r.Choice.RANDOM,
    beside=True,
    weighting=r.Weighting.EXPERIENCES,
)
ALL = r.ReplayRecipe(r.Source.ORIGINAL, r.Mode.POSITIVE, choice=r.Choice.ALL)


def arm(learner: r.LearnerRecipe, replay: r.ReplayRecipe | None = None) -> r.Recipe:
    """With phases that count minibatches, and with Adam."""
    phase = r.PhaseRecipe(None, 0.1, 0.2, floor=0.5, iterations=9)
    base = replace(MLP, first=phase, following=phase, optimizer=r.OptimizerRecipe("adam", 16, 0.8, 0.0))
    return replace(base, learner=learner, replay=replay or r.ReplayRecipe())


def untrained(learner: r.LearnerRecipe) -> r.Recipe:
    domains = r.StreamRecipe("digits", r.Scenario.DOMAINS, 2, 2)
    return r.Recipe(NO_REPLAY.name, domains, MLP.classifier, learner=learner)


def plain(**options) -> r.LatentReplayRecipe:
    return r.LatentReplayRecipe(r.HeadKind.PLAIN, **options)


BALANCED = r.PhaseRecipe(3, 0.1, 0.2, decay_every=2, decay=0.5)
SYSTEMS: dict[str, r.Recipe] = {
    **{f"head {head}": arm(r.LatentReplayRecipe(head)) for head in r.HeadKind},
    **{f"outputs {outputs}": arm(plain(outputs=outputs)) for outputs in r.Outputs},
    "ar1": arm(r.LatentReplayRecipe(mean=r.Mean.GLOBAL, penalty=r.SynapticIntelligenceRecipe(2.0, None, 3.0, 0.5))),
    "exemplars": arm(plain(), HERDED),
    "beside": arm(plain(), BESIDE),
    "joint": arm(plain(), ALL),
    "ewc": arm(plain(penalty=r.EWCRecipe(2.0))),
    "online ewc": arm(plain(penalty=r.EWCRecipe(2.0, 0.5, 3))),
    "rwalk": arm(plain(penalty=r.RWalkRecipe(2.0, 0.5, 3)), HERDED),
    # These two differ in nothing but their kind.
    "rwalk as ewc": arm(plain(penalty=r.EWCRecipe(2.0, decay=0.5))),
    "ewc as rwalk": arm(plain(penalty=r.RWalkRecipe(2.0, decay=0.5))),
    "lwf": arm(r.LwFRecipe()),
    "lwf of all fields": arm(r.LwFRecipe(2.0, 3.0, r.Weighting.EXPERIENCES, r.Outputs.OWN), HERDED),
    "lwm": arm(r.LwMRecipe("conv3", 2.0, 3.0, 4.0)),
    "icarl": arm(r.ICaRLRecipe(), HERDED),
    "eeil": arm(r.EEILRecipe(BALANCED, 3.0, 0.5), HERDED),
    "lucir": arm(r.LUCIRRecipe(2.0, 0.25, 3), HERDED),
    "il2m": arm(r.IL2MRecipe(), HERDED),
    "bic": arm(r.BiCRecipe(3.0, 0.5, 4, 0.25), HERDED),
    "dgr": arm(r.DGRRecipe(3, True, 4.0, r.Outputs.OWN, 5, 6)),
    "nearest mean": untrained(r.NearestMeanRecipe()),
    "slda": untrained(r.SLDARecipe(0.5, roots=True)),
    "klda": untrained(r.KLDARecipe(3, 0.5, 0.25)),
    "fecam": untrained(r.FeCAMRecipe(2.0, 3.0, roots=False)),
    "rda": untrained(r.RDARecipe(0.25, 4, 0.5, roots=False)),
    "ridge": untrained(r.RidgeRecipe(0.5, mirrored=True)),
    "ranpac": untrained(r.RanPACRecipe(3, None, True)),
}


@pytest.mark.parametrize("recipe", SYSTEMS.values(), ids=SYSTEMS)
def test_a_study_of_the_system_comes_back_from_its_file(recipe: r.Recipe, tmp_path: Path):
    original, path = study(recipes=(NR_OD, recipe)), tmp_path / "study.json"
    path.write_bytes(dump_study(original))
    found = read_study(path)
    assert found == original and dump_study(found) == dump_study(original)
    assert type(found.recipes[1].learner) is type(recipe.learner)


def test_every_system_is_put_through_its_file():
    learners = {type(recipe.learner) for recipe in SYSTEMS.values()}
    learners_with_penalty = [one.learner for one in SYSTEMS.values() if isinstance(one.learner, r.LatentReplayRecipe)]
    penalties = {type(learner.penalty) for learner in learners_with_penalty}
    assert learners == set(r.LearnerRecipe.__args__)
    assert penalties == {type(None), r.SynapticIntelligenceRecipe, r.EWCRecipe, r.RWalkRecipe}


def in_place_of_the_learner(value: Any, folder: Path, recipe: r.Recipe = MLP) -> Path:
    content = json.loads(dump_study(study(recipes=(recipe,))))
    content["recipes"][0]["learner"] = value
    path = folder / "study.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("recipe", SYSTEMS.values(), ids=SYSTEMS)
def test_a_field_that_the_system_does_not_have_is_named(recipe: r.Recipe, tmp_path: Path):
    path = in_place_of_the_learner(asdict(recipe.learner) | {"colour": "red"}, tmp_path, recipe)
    with pytest.raises(UserError) as caught:
        read_study(path)
    expected = "recipes.0.learner.colour: Unexpected keyword argument: correct its name, or remove it."
    assert str(caught.value) == f"{path}: {expected}"


@pytest.mark.parametrize("recipe", SYSTEMS.values(), ids=SYSTEMS)
def test_of_a_system_only_its_kind_and_what_has_no_usual_value_need_be_given(recipe: r.Recipe, tmp_path: Path):
    usual = {
        field.name
        for field in fields(recipe.learner)
        if field.name not in ("kind", "layer", "balanced", "penalty", "head")
    }
    given = {name: value for name, value in asdict(recipe.learner).items() if name not in usual}
    (found,) = read_study(in_place_of_the_learner(given, tmp_path, recipe)).recipes
    assert asdict(found.learner).items() >= given.items() and type(found.learner) is type(recipe.learner)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"kind": "lwm"}, "recipes.0.learner.layer: Field required: add it."),
        ({"kind": "eeil"}, "recipes.0.learner.balanced: Field required: add it."),
        (
            {"kind": "eeil", "balanced": {"epochs": 0, "lr_features": 0.1, "lr_head": 0.1}},
            "recipes.0.learner.balanced: phase.epochs is 0: give 1 or more.",
        ),
        (
            {"kind": "bic", "epochs": "many"},
            "recipes.0.learner.epochs: Input should be a valid integer, unable to parse string as an integer: "
            "it is 'many'.",
        ),
        (
            {"kind": "latent-replay", "penalty": {"kind": "rwalk"}},
            "recipes.0.learner.penalty.strength: Field required: add it.",
        ),
        (
            {"kind": "latent-replay", "head": "cwr", "mean": "global"},
            "recipes.0.learner: learner.mean has no effect with head cwr: remove it.",
        ),
        (
            {"kind": "slda", "shrinkage": 0},
            "recipes.0.learner: learner.shrinkage is 0.0: give a number above 0, up to 1.",
        ),
        # Right by itself, but not in this arm.
        ({"kind": "il2m"}, "recipes.0: arm 'no-replay': il2m needs exemplars: replay.source original, choice herding."),
        ("lwf", "recipes.0.learner: Input should be an object: it is 'lwf'."),
        *(
            (
                {"kind": kind},
                f"recipes.0.learner.kind: it is {kind!r}: give one of 'latent-replay', 'lwf', 'lwm', 'icarl', 'eeil', "
                "'lucir', 'il2m', 'bic', 'dgr', 'nearest-mean', 'slda', 'klda', 'fecam', 'rda', 'ridge', 'ranpac'.",
            )
            for kind in ("LwF", 5, None)
        ),
        (
            {"kind": "latent-replay", "penalty": {"kind": "ewx", "strength": 1}},
            "recipes.0.learner.penalty.kind: it is 'ewx': give one of 'si', 'ewc', 'rwalk'.",
        ),
        ({"strength": 1}, "recipes.0.learner.kind: Field required: add it."),
        (
            {"kind": "latent-replay", "penalty": {"strength": 3}},
            "recipes.0.learner.penalty.kind: Field required: add it.",
        ),
    ],
)
def test_a_mistake_is_told_of_the_system_that_was_meant(value: Any, expected: str, tmp_path: Path):
    path = in_place_of_the_learner(value, tmp_path)
    with pytest.raises(UserError) as caught:
        read_study(path)
    assert str(caught.value) == f"{path}: {expected}"
