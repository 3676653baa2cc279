"""Studies that differ from another one: some of its arms and seeds, other settings, another backbone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from negreplay.builders.grids import Choices, check_choices, grid, parse_value
from negreplay.builders.study_files import LARGEST_STUDY, explain, parse_study, read_study
from negreplay.data.containers import read_file
from negreplay.errors import UserError, suggest
from negreplay.recipe import Study
from negreplay.recipe.checks import Strict

_BLOCKS = {
    "conv2_1": "0.0",
    "conv2_2": "1.0",
    "conv3_1": "1.1",
    "conv3_2": "2.0",
    "conv4_1": "2.1",
    "conv4_2": "3.0",
    **{f"conv5_{i}": f"3.{i}" for i in range(1, 6)},
    "conv5_6": "4.0",
    "conv6": "4.1",
}
MOBILENET_LAYERS = {
    "conv1": "bn1",
    **{f"{ours}/dw": f"blocks.{theirs}.bn1" for ours, theirs in _BLOCKS.items()},
    **{f"{ours}/sep": f"blocks.{theirs}.bn2" for ours, theirs in _BLOCKS.items()},
    "pool": "global_pool",
}
"""What timm calls the layers of `mobilenet_v1`: its batch norms end with the activation, as our layers do."""


@dataclass(frozen=True)
class Variant(Strict):
    """A study file that says only what differs from a study that ships with the library."""

    like: str
    name: str
    summary: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    arms: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


def read_any_study(path: Path, known: Sequence[Study]) -> Study:
    """The study in a file: a whole one, or a `Variant` of one of those `known`.

    Raises:
        UserError: the file is missing, a field is wrong, or it is like no study that is known.
    """
    try:
        fields = json.loads(read_file(path, LARGEST_STUDY))
    except (OSError, ValueError, RecursionError):
        fields = None  # `read_study` says what is wrong
    if not isinstance(fields, dict) or "like" not in fields:
        return read_study(path)
    try:
        variant = TypeAdapter(Variant).validate_python(fields)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from error
    studies = {study.name: study for study in known}
    if variant.like not in studies:
        raise UserError(f"{path}: like: there is no study {variant.like!r}: {suggest(variant.like, list(studies))}")
    study = changed(select(studies[variant.like], variant.arms, variant.seeds), variant.set, str(path))
    settings = ", ".join(f"{place} {json.dumps(value)}" for place, value in variant.set.items())
    summary = variant.summary or f"Like {variant.like}" + (f", with {settings}." if settings else ".")
    try:
        return replace(study, name=variant.name, summary=summary, reproduces=(), hours=None)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def select(study: Study, arms: Sequence[str], seeds: Sequence[int]) -> Study:
    """The study with these arms and seeds only; without any, with all of them.

    Raises:
        UserError: there is no such arm, or a seed is wrong.
    """
    known = [recipe.name for recipe in study.recipes]
    for arm in arms:
        if arm not in known:
            raise UserError(f"{study.name} has no arm {arm!r}: {suggest(arm, known)}")
    recipes = tuple(recipe for recipe in study.recipes if not arms or recipe.name in arms)
    try:
        return replace(study, recipes=recipes, seeds=tuple(seeds) or study.seeds)
    except ValueError as error:
        raise UserError(str(error)) from error


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """The places and values of settings `PLACE=VALUE` (see `parse_value`).

    Raises:
        UserError: there is no `=`, a place is named twice, or a value is missing or there twice.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting!r} has no value: give PLACE=VALUE, such as first.lr_head=0.01.")
        if place in values:
            raise UserError(f"--set {place} is given twice: give it once.")
        values[place] = parse_value(value)
    check_choices(values, "--set")
    return values


def changed(study: Study, settings: Mapping[str, Any], source: str = "--set") -> Study:
    """The study with other values at some places, such as `first.lr_head`, in all arms that have the place.

    Where values are `Choices`, there is an arm for each combination, whose name says it. The study no longer says what
    it reproduces and how long it takes.

    Raises:
        UserError: no arm has the place, or the value is wrong there; the sentence starts with `source`.
    """
    if not settings:
        return study
    if any(isinstance(value, Choices) for value in settings.values()):
        return grid(study, settings, lambda one, combination: changed(one, combination, source))
    content = asdict(replace(study, reproduces=(), hours=None))
    without: set[str] = set()
    for place, value in settings.items():
        failures = {arm["name"]: failure for arm in content["recipes"] if (failure := _set(arm, place, value))}
        if len(failures) == len(content["recipes"]):
            raise UserError(f"{source}: {place}: {next(iter(failures.values()))}")
        without |= failures.keys()
    try:
        return parse_study(json.dumps(content).encode(), source)
    except UserError as error:
        fitting = [arm["name"] for arm in content["recipes"] if arm["name"] not in without and _fits(content, arm)]
        if not fitting:
            raise
        raise UserError(f"{error} Only some arms can take this: name those as arms ({', '.join(fitting)}).") from error


def _fits(content: dict[str, Any], arm: dict[str, Any]) -> bool:
    """Whether the study is right with this arm alone."""
    try:
        parse_study(json.dumps({**content, "recipes": [arm]}).encode(), "")
    except UserError:
        return False
    return True


def _set(arm: dict[str, Any], place: str, value: object) -> str | None:
    """Sets the value in an arm, or says why there is no such place in it."""
    at, parts = arm, place.split(".")
    for depth, part in enumerate(parts):
        if part not in at:
            return f"there is no {part!r}: {suggest(part, list(at))}"
        if depth == len(parts) - 1:
            at[part] = value
            return None
        inner = at[part]
        if not isinstance(inner, dict):
            reason = "is null" if inner is None else "has no parts"
            return f"{'.'.join(parts[: depth + 1])} {reason} in every arm: give the whole of it a value."
        at = inner
    return None


def with_backbone(study: Study, backbone: str | None, pretrained: bool) -> Study:
    """The study on another network, with the weights that belong to it in its library, or with random ones.

    A MobileNetV1 of timm is cut where `mobilenet_v1` was; any other network at the layer of the same name.

    Raises:
        UserError: the network has no weights to download.
    """
    if backbone is None and not pretrained:
        return study
    recipes = []
    for recipe in study.recipes:
        classifier = recipe.classifier
        name, layer = backbone or classifier.backbone, classifier.replay_layer
        if classifier.backbone == "mobilenet_v1" and name.startswith("timm/mobilenetv1_"):
            layer = MOBILENET_LAYERS.get(layer, layer)
        try:
            classifier = replace(
                classifier, backbone=name, replay_layer=layer, weights=None, width=1.0, pretrained=pretrained
            )
        except ValueError as error:
            raise UserError(f"arm {recipe.name!r}: {error} Name one with --backbone.") from error
        recipes.append(replace(recipe, classifier=classifier))
    return replace(study, recipes=tuple(recipes), reproduces=(), hours=None)
