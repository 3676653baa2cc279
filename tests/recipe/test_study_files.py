"""Recipes are values, and come back from their files; a mistake in a file is told with its field."""

import json
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from pieces import NR_GD, generator

from negreplay import recipe as r
from negreplay.builders.study_files import dump_study, read_study
from negreplay.errors import UserError
from negreplay.studies import DIGITS, STUDIES


def test_recipes_are_values():
    with pytest.raises(FrozenInstanceError):
        NR_GD.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
    assert replace(NR_GD) == NR_GD and hash(replace(NR_GD)) == hash(NR_GD)
    assert replace(NR_GD, evaluate_every=2) != NR_GD


def everything() -> r.Study:
    """A study in which every optional field is given."""
    classifier = r.ClassifierRecipe(
        "mobilenet_v1", "conv5_4/dw", r.Front.FIRST, 0.5, r.WeightsRecipe("w"), r.RenormRecipe(0.02, r_max=3.0)
    )
    replay = r.ReplayRecipe(r.Source.GENERATED, r.Mode.NEGATIVE, 300, 32, False)
    learner = r.LatentReplayRecipe(r.HeadKind.CWR_STAR, r.Mean.GLOBAL, r.SynapticIntelligenceRecipe(8e5, 1e-3, 1e-6))
    arm = r.Recipe(
        "all",
        r.StreamRecipe("mnist", r.Scenario.NC, order=tuple("0123456789"), images=r.ImageRecipe(32, 36, r.Augment.CROP)),
        classifier,
        r.PhaseRecipe(1, 0.1, 0.2, 15, 0.5, 0.1),
        r.PhaseRecipe(2, 0.0, 0.3),
        replay,
        generator(),
        learner,
        r.OptimizerRecipe("adam", 64, 0.8, 5e-4),
        7,
    )
    bare = replace(
        arm, name="bare", classifier=replace(classifier, weights=None, renorm=None), optimizer=r.OptimizerRecipe()
    )
    return r.Study("every", "Every field.", (arm, bare), (3, 1), ("table1", "figure3"), 2.5, "one GPU")


@pytest.mark.parametrize("original", [*STUDIES, everything()], ids=lambda s: s.name)
def test_a_study_comes_back_from_its_file(original, tmp_path):
    path = tmp_path / "study.json"
    path.write_bytes(dump_study(original))
    assert read_study(path) == original
    assert dump_study(read_study(path)) == dump_study(original)


def edited(tmp_path: Path, place: str, value: Any) -> Path:
    """The file of a study in which a user has set the field at `place`."""
    content = json.loads(dump_study(DIGITS))
    *way, last = place.split(".")
    at = content
    for part in way:
        at = at[int(part)] if isinstance(at, list) else at[part]
    at[last] = value
    path = tmp_path / "study.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        # A field that there is not, at every depth.
        ("colour", "red", "colour: Unexpected keyword argument"),
        ("recipes.0.colour", "red", "recipes.0.colour: Unexpected keyword argument"),
        ("recipes.0.stream.shuffle", True, "recipes.0.stream.shuffle: Unexpected keyword argument"),
        ("recipes.0.classifier.depth", 3, "recipes.0.classifier.depth: Unexpected keyword argument"),
        ("recipes.0.classifier.renorm.rmax", 3, "recipes.0.classifier.renorm.rmax: Unexpected keyword argument"),
        ("recipes.0.first.lr", 0.1, "recipes.0.first.lr: Unexpected keyword argument"),
        ("recipes.3.replay.size", 9, "recipes.3.replay.size: Unexpected keyword argument"),
        ("recipes.4.generator.iteration", 9, "recipes.4.generator.iteration: Unexpected keyword argument"),
        ("recipes.0.learner.lr", 9, "recipes.0.learner.lr: Unexpected keyword argument"),
        # A wrong type.
        ("seeds", 3, "seeds: Input should be a valid array"),
        ("seeds", [0, "one"], "seeds.1: Input should be a valid integer"),
        ("name", 5, "name: Input should be a valid string"),
        ("recipes.1.first.epochs", "many", "recipes.1.first.epochs: Input should be a valid integer"),
        ("recipes.1.first.epochs", 1.5, "recipes.1.first.epochs: Input should be a valid integer"),
        ("recipes.1.following.lr_head", None, "recipes.1.following.lr_head: Input should be a valid number"),
        (
            "recipes.2.replay.through_features",
            "maybe",
            "recipes.2.replay.through_features: Input should be a valid bool",
        ),
        ("recipes.2.classifier", "small", "recipes.2.classifier: Input should be an object"),
        # A wrong value: one that no enumeration knows, and ones that a recipe refuses.
        ("recipes.5.replay.source", "dreams", "recipes.5.replay.source: Input should be 'none', 'original', "),
        ("recipes.5.replay.mode", "neutral", "recipes.5.replay.mode: Input should be 'positive' or 'negative'"),
        ("recipes.0.learner.head", "CWR", "recipes.0.learner.head: Input should be 'cwr', 'cwr+', 'cwr*' or 'plain'"),
        (
            "recipes.0.learner",
            {"kind": "lwf", "strength": -1},
            "recipes.0.learner: learner.strength is -1.0: give 0 or",
        ),
        ("recipes.0.learner", {"kind": "lwf", "head": "plain"}, "recipes.0.learner.head: Unexpected keyword argument"),
        (
            "recipes.0.learner",
            {"kind": "lwx"},
            "recipes.0.learner.kind: it is 'lwx': give one of 'latent-replay', 'lwf', 'lwm', 'icarl', 'eeil', 'lucir',",
        ),
        (
            "recipes.0.learner.penalty",
            {"kind": "ewc", "strength": 1, "decay": 2},
            "recipes.0.learner.penalty: penalty.decay is 2.0: give a number from 0 to 1.",
        ),
        ("recipes.0.first.epochs", 0, "recipes.0.first: phase.epochs is 0: give 1 or more."),
        (
            "recipes.0.optimizer.momentum",
            1,
            "recipes.0.optimizer: optimizer.momentum is 1.0: give a number from 0 to below 1.",
        ),
        ("recipes.3.generator", {"epochs": 1}, "recipes.3: arm 'nr-od': generator has no effect"),
        ("seeds", [1, 1], "study: study.seeds is (1, 1): give each seed once."),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_field(place, value, expected, tmp_path):
    path = edited(tmp_path, place, value)
    with pytest.raises(UserError, match=f"^{re.escape(f'{path}: {expected}')}"):
        read_study(path)


def test_a_missing_field_is_named(tmp_path):
    content = json.loads(dump_study(DIGITS))
    del content["recipes"][1]["stream"]["scenario"]
    path = tmp_path / "study.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"recipes\.1\.stream\.scenario: Field required"):
        read_study(path)


def test_fields_with_a_usual_value_may_be_left_out(tmp_path):
    content = json.loads(dump_study(DIGITS))
    for recipe in content["recipes"]:
        del recipe["optimizer"]["momentum"], recipe["evaluate_every"]
    path = tmp_path / "study.json"
    path.write_text(json.dumps(content))
    assert read_study(path) == DIGITS


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'"digits"'])
def test_a_file_that_holds_no_study_is_named(content, tmp_path):
    path = tmp_path / "study.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{re.escape(f'{path}: study: ')}"):
        read_study(path)


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.json"
    with pytest.raises(
        UserError, match=rf"^there is no file {re.escape(str(path))}: give the path of a study\.json\.$"
    ):
        read_study(path)
