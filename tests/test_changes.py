"""Studies that say only what differs, and other backbones."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import Negreplay, digits, numbers, run

from negreplay.builders.changes import (
    MOBILENET_LAYERS,
    changed,
    parse_settings,
    read_any_study,
    select,
    with_backbone,
)
from negreplay.builders.grids import Choices
from negreplay.builders.nets import build_backbone
from negreplay.builders.study_files import read_study
from negreplay.errors import UserError
from negreplay.nets.classifier import cut
from negreplay.nets.library import library_net
from negreplay.nets.mobilenet import MobileNetV1
from negreplay.recipe import RenormRecipe, Study
from negreplay.studies import DIGITS, STUDIES

TIMM = "timm/mobilenetv1_100"
REPLAYING = replace(DIGITS, recipes=tuple(r for r in DIGITS.recipes if r.following is not None))
"""The digits' arms of latent replay."""
ON_MOBILENET = [study for study in STUDIES if any(r.classifier.backbone == "mobilenet_v1" for r in study.recipes)]


def test_settings_are_json_or_text():
    assert parse_settings(["first.lr_head=0.01", "stream.data=my=pets", "classifier.renorm=null", "a=[1,2]"]) == {
        "first.lr_head": 0.01,
        "stream.data": "my=pets",
        "classifier.renorm": None,
        "a": [1, 2],
    }


def test_a_setting_changes_all_arms_that_have_it():
    study = changed(DIGITS, {"first.lr_head": 0.01, "stream.first_classes": 2, "generator.lr": 0.5})
    assert [recipe.name for recipe in study.recipes] == [recipe.name for recipe in DIGITS.recipes]
    for ours, theirs in zip(study.recipes, DIGITS.recipes, strict=True):
        assert theirs.first is not None
        expected = replace(
            theirs,
            first=replace(theirs.first, lr_head=0.01),
            stream=replace(theirs.arriving, first_classes=2),
            generator=theirs.generator and replace(theirs.generator, lr=0.5),
        )
        assert ours == expected
    assert any(recipe.generator for recipe in study.recipes) and changed(DIGITS, {}) is DIGITS
    assert study.reproduces == () and study.hours is None
    nothing = changed(DIGITS, {"classifier.renorm": None})
    assert {recipe.classifier.renorm for recipe in nothing.recipes} == {None}
    assert isinstance(DIGITS.recipes[0].classifier.renorm, RenormRecipe)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["first.lr_hed=1"], "--set: first.lr_hed: there is no 'lr_hed': did you mean 'lr_head'?"),
        (["frst.lr_head=1"], "--set: frst.lr_head: there is no 'frst': did you mean 'first'?"),
        (["x=1"], "--set: x: there is no 'x': choose one of name, stream, classifier, "),
        (["first.epochs.x=1"], "--set: first.epochs.x: first.epochs has no parts in every arm"),
        (["classifier.weights.eps=1"], "--set: classifier.weights.eps: classifier.weights is null in every arm"),
        (["first.epochs=0"], "--set: recipes.0.first: phase.epochs is 0: give 1 or more."),
        (["first.epochs=many"], "--set: recipes.0.first.epochs: Input should be a valid integer"),
        (["first.epochs"], "--set 'first.epochs' has no value: give PLACE=VALUE, such as"),
        (["first.epochs=1", "first.epochs=2"], "--set first.epochs is given twice: give it once."),
        (["first.epochs=1,,2"], "--set: first.epochs has an empty value between commas: remove a comma."),
        (["first.epochs=1,2,1"], "--set: first.epochs has a value twice: give each once."),
        (["first.epochs=1,0"], "--set: recipes.0.first: phase.epochs is 0: give 1 or more."),
        (["first.epoch=1,2"], "--set: first.epoch: there is no 'epoch': did you mean 'epochs'?"),
        (['learner={"head": "plain"}'], "--set: recipes.0.learner.kind: Field required: add it."),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: list[str], expected: str):
    with pytest.raises(UserError) as failure:
        changed(REPLAYING, parse_settings(settings))
    assert str(failure.value).startswith(expected)


def test_a_setting_that_only_some_arms_can_take_names_those():
    """And a setting that no arm can take does not."""
    study = replace(DIGITS, recipes=tuple(r for r in DIGITS.recipes if r.name in ("nr-od", "nr-gd", "slda")))
    with pytest.raises(UserError) as failure:
        changed(study, {"learner": {"kind": "latent-replay", "head": "plain"}})
    assert str(failure.value).startswith("--set: recipes.2: arm 'slda': following is missing: ")
    assert str(failure.value).endswith(" Only some arms can take this: name those as arms (nr-od, nr-gd).")
    for wrong in ({"learner": "global"}, {"learner.mean": "globl"}):
        with pytest.raises(UserError) as failure:
            changed(study, wrong)
        assert "some arms" not in str(failure.value)


def test_run_takes_settings(negreplay: Negreplay):
    done = run(negreplay, digits("no-replay", "nr-od"), "--set", "replay.memory=20", "--arms", "nr-od")
    assert done.code == 0 and len(numbers(Path("out"))) == 3
    assert [recipe.replay.memory for recipe in read_study(Path("out/study.json")).recipes] == [20]
    more = ("--set", "first.epochs=2", "--set", "following.epochs=2")
    assert run(negreplay, digits("no-replay"), *more, out="again").code == 0
    (arm,) = read_study(Path("again/study.json")).recipes
    assert arm.first is not None and arm.following is not None
    assert (arm.first.epochs, arm.following.epochs) == (2, 2)


def test_commas_make_choices_unless_they_are_json():
    assert parse_settings(["a=0.1,1e-3", "b=none,flip", "c=[1,2],[3]", 'd="x,y"', "e=null,2", "f=true,x"]) == {
        "a": Choices((0.1, 0.001)),
        "b": Choices(("none", "flip")),
        "c": Choices(([1, 2], [3])),
        "d": "x,y",
        "e": Choices((None, 2)),
        "f": Choices((True, "x")),
    }


def test_choices_make_a_grid_of_arms_that_have_the_setting():
    study = replace(DIGITS, recipes=tuple(r for r in DIGITS.recipes if r.name in ("no-replay", "nr-gd")))
    grid = changed(study, parse_settings(["first.epochs=1,2", "generator.lr=0.1,1e-3", "following.epochs=7"]))
    arms = {recipe.name: recipe for recipe in grid.recipes}
    assert list(arms) == [
        *("no-replay-epochs-1", "no-replay-epochs-2"),
        *(f"nr-gd-epochs-{epochs}-lr-{lr}" for epochs in (1, 2) for lr in (0.1, 0.001)),
    ]
    for arm in arms.values():
        assert arm.first is not None and arm.following is not None and arm.following.epochs == 7
        assert f"-epochs-{arm.first.epochs}" in arm.name
        assert arm.generator is None or arm.name.endswith(f"-lr-{arm.generator.lr}")
    one = changed(study, {"first.epochs": 2, "generator.lr": 0.1, "following.epochs": 7}).recipes[1]
    assert replace(one, name="nr-gd-epochs-2-lr-0.1") == arms["nr-gd-epochs-2-lr-0.1"]
    assert grid.reproduces == () and grid.hours is None


def test_names_of_a_grid_tell_arms_apart():
    (arm,) = select(DIGITS, ["nr-gd"], []).recipes
    study = replace(DIGITS, recipes=(arm,))
    both = changed(study, parse_settings(["first.epochs=1,2", "following.epochs=1,2"]))
    assert both.recipes[1].name == "nr-gd-first.epochs-1-following.epochs-2" and len(both.recipes) == 4
    orders = changed(study, parse_settings(['stream.order=[],["3","1"]']))
    assert [recipe.name for recipe in orders.recipes] == ["nr-gd-order-1", "nr-gd-order-2"]
    nothing = changed(study, parse_settings(["replay.per_minibatch=null,4"]))
    assert [recipe.name for recipe in nothing.recipes] == ["nr-gd-per_minibatch-null", "nr-gd-per_minibatch-4"]


def variant(folder: Path, **fields: object) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps(fields))
    return path


def test_a_file_says_only_what_differs(negreplay: Negreplay, tmp_path: Path):
    path = variant(tmp_path, like="digits", name="mine", set={"first.lr_head": 0.01}, arms=["nr-gd"], seeds=[0])
    study = read_any_study(path, STUDIES)
    (arm,) = (recipe for recipe in DIGITS.recipes if recipe.name == "nr-gd")
    assert arm.first is not None
    assert study.recipes == (replace(arm, first=replace(arm.first, lr_head=0.01)),)
    assert (study.name, study.seeds, study.reproduces, study.hours) == ("mine", (0,), (), None)
    assert study.summary == "Like digits, with first.lr_head 0.01."
    shown = negreplay("show", path, "--json")
    (tmp_path / "whole.json").write_text(shown.out)
    assert read_study(tmp_path / "whole.json") == study


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"like": "digts", "name": "mine"}, "like: there is no study 'digts': did you mean 'digits'?"),
        ({"like": "digits"}, "name: Field required: add it."),
        ({"like": "digits", "name": "../mine"}, "study.name is '../mine': give letters, digits"),
        ({"like": "digits", "name": "mine", "sets": {}}, "sets: Unexpected keyword argument"),
        ({"like": "digits", "name": "mine", "set": {"first.epoch": 1}}, "first.epoch: there is no 'epoch'"),
    ],
)
def test_a_wrong_difference_is_named(tmp_path: Path, fields: dict[str, object], expected: str):
    path = variant(tmp_path, **fields)
    with pytest.raises(UserError) as failure:
        read_any_study(path, STUDIES)
    assert str(failure.value).startswith(f"{path}: {expected}")


# Other backbones


def test_each_layer_of_a_mobilenet_has_its_equal_in_timm():
    """The same outputs at the same depth: as many convolutions have been passed."""
    image, ours, theirs = torch.zeros(1, 3, 64, 64), MobileNetV1().eval(), library_net("mobilenetv1_100").eval()
    layers = [name for name, _ in ours.named_children() if name != "normalise"]
    assert set(MOBILENET_LAYERS) == set(layers)
    for layer in ("conv1", "conv2_2/sep", "conv4_1/dw", "conv5_4/dw", "conv6/sep", "pool"):
        fronts = cut(ours, layer, image)[0], cut(theirs, MOBILENET_LAYERS[layer], image)[0]
        passed = [sum(isinstance(m, torch.nn.Conv2d) for m in front.modules()) for front in fronts]
        assert passed[0] == passed[1] > 0, layer
        assert fronts[0](image).shape == fronts[1](image).shape, layer


@pytest.mark.parametrize("study", ON_MOBILENET, ids=[study.name for study in ON_MOBILENET])
def test_every_study_of_a_mobilenet_builds_on_that_of_timm(study: Study, tmp_path: Path):
    image, shapes = torch.zeros(1, 3, 128, 128), {"conv5_4/dw": (512, 8, 8), "pool": (1024,)}
    replaced = with_backbone(study, TIMM, pretrained=False)
    pairs = {(a.classifier, b.classifier) for a, b in zip(study.recipes, replaced.recipes, strict=True)}
    for before, after in pairs:
        net = build_backbone(after, tmp_path, image).eval()
        front, back = cut(net, after.replay_layer, image)
        latent = front.eval()(image)
        assert latent.shape[1:] == shapes[before.replay_layer]
        assert back.eval()(latent).shape == (1, 1024)


def test_run_refuses_a_backbone_that_does_not_fit(negreplay: Negreplay):
    study = digits("no-replay")
    failed = run(negreplay, study, "--pretrained").sentence()
    assert "only timm/... has weights to download. Name one with --backbone." in failed
    failed = negreplay("run", "digits", "--backbone", "timm/resnet18", "--out", "out").sentence()
    assert "has no layer 'conv2': " in failed and not Path("out").exists()
