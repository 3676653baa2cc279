"""From a recipe to the objects it names: one `match` a kind, no registry."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.learners.latent_replay import LatentReplay
from negreplay.learners.penalties import NoPenalty, Penalty, SynapticIntelligence
from negreplay.nets.classifier import Classifier, cut
from negreplay.nets.generator import Generator
from negreplay.nets.heads import ConsolidatedHead, Head, PlainHead
from negreplay.nets.library import classifiers, library_net, pretrained_net
from negreplay.nets.mobilenet import MobileNetV1, load_weights
from negreplay.nets.renorm import BatchRenorm2d, renormalise
from negreplay.nets.resnet import SHAPES, ResNet
from negreplay.nets.small import SmallNet
from negreplay.nets.weights import fill
from negreplay.optimize import Device
from negreplay.recipe import (
    ClassifierRecipe,
    Front,
    HeadKind,
    LearnerRecipe,
    Mode,
    Recipe,
    Scenario,
    Source,
    StreamRecipe,
    Study,
    Weights,
)
from negreplay.replay.generated import Generated
from negreplay.replay.original import Original
from negreplay.replay.random import Random
from negreplay.replay.source import NoReplay, ReplaySource
from negreplay.streams.cifar import load_cifar
from negreplay.streams.core50 import core50_stream, load_core50
from negreplay.streams.digits import load_digits
from negreplay.streams.folders import load_images
from negreplay.streams.imagenet import load_imagenet, load_tiny_imagenet
from negreplay.streams.images import Images
from negreplay.streams.mnist import load_mnist
from negreplay.streams.selected import every
from negreplay.streams.stream import Data, Stream, new_both, new_classes, new_instances
from negreplay.streams.tables import load_table


def read_study(path: Path) -> Study:
    """The study that `dump_study` made, or that a user edited.

    Raises:
        UserError: the file is missing or a field is wrong.
    """
    try:
        return TypeAdapter(Study).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: give the path of a study.json.") from error
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong in a study, with its place and the remedy."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "study"
    reason = f"{place}: {first['msg'].removeprefix('Value error, ')}"
    match first["type"]:
        case "value_error":
            return reason
        case "json_invalid":
            return f"{reason}: correct it there, or write it anew with `negreplay show NAME --json`."
        case "missing":
            return f"{reason}: add it."
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{reason}: correct its name, or remove it."
        case _:
            return f"{reason}: it is {first['input']!r}."


def dump_study(study: Study) -> bytes:
    """The study as JSON that `read_study` takes back."""
    return json.dumps(asdict(study), indent=2).encode()


def find(name: str, place: Path, what: str, option: str) -> Path:
    """The file or folder called `name` (a zip or CSV too) in `place`; `place` itself, where that is what it is.

    Raises:
        UserError: it is not there.
    """
    options = [place / name, place / f"{name}.zip", place / f"{name}.csv"]
    if place.suffix or (place / "train").is_dir():
        options.insert(0, place)
    for option_path in options:
        if option_path.exists():
            return option_path
    raise UserError(f"the {what} {name!r} are not in {place}: say where they are with --{option} PATH.")


def build_data(recipe: StreamRecipe, place: Path) -> tuple[Data, Data]:
    """Training and test images; of the latter every `test_every`-th.

    Raises:
        UserError: they are not in `place`, or something is wrong with them.
    """
    train, test = _load(recipe, place)
    return train, every(test, recipe.test_every)


def _load(recipe: StreamRecipe, place: Path) -> tuple[Data, Data]:
    match recipe.data:
        case "digits":
            return load_digits()
        case "core50":
            return load_core50(place, recipe.images, recipe.categories)
        case "mnist" | "fashion-mnist":
            return load_mnist(recipe.data, place, recipe.images)
        case "cifar10" | "cifar100":
            return load_cifar(recipe.data, place, recipe.images)
        case "imagenet":
            return load_imagenet(place, recipe.images)
        case "tiny-imagenet":
            return load_tiny_imagenet(place, recipe.images)
        case name:
            path = find(name, place, "images", "data")
            load = load_table if path.suffix.lower() == ".csv" else load_images
            return load(path, recipe.images)


def build_stream(recipe: StreamRecipe, train: Data, test: Data, seed: int) -> Stream:
    """The stream of one seed."""
    if recipe.lists is not None:
        assert isinstance(train, Images), "build_data reads core50 as images"
        return core50_stream(train, test, recipe.lists, seed)
    match recipe.scenario:
        case Scenario.NI:
            return new_instances(train, test, recipe.parts, seed)
        case Scenario.NC:
            return new_classes(train, test, recipe.first_classes, recipe.classes, seed, recipe.order)
        case Scenario.NIC:
            return new_both(train, test, recipe.first_classes, recipe.parts, seed, recipe.order)


def build_backbone(recipe: ClassifierRecipe, weights: Path) -> nn.Module:
    """The network without a head, with pretrained weights where the recipe names them."""
    kind = recipe.weights or Weights("")
    file = find(kind.file, weights, "weights", "weights") if recipe.weights is not None else None
    match recipe.backbone:
        case "small":
            return SmallNet()
        case "mobilenet_v1":
            net = MobileNetV1(recipe.width, kind.activation, kind.padding, kind.eps, kind.mean, kind.std)
            if file is not None:
                load_weights(net, file)
        case name if name in SHAPES:
            net = ResNet(SHAPES[name], kind.mean, kind.std)
            if file is not None:
                fill(net, file, ("fc",))
        case name if name.startswith("timm/"):
            name = name.removeprefix("timm/")
            net = pretrained_net(name) if recipe.pretrained else library_net(name, kind.mean, kind.std)
            if file is not None:
                fill(net, file, classifiers(net))
        case name:
            known = ", ".join(("mobilenet_v1", *SHAPES, "small"))
            raise UserError(
                f"classifier.backbone is {name!r}: give {known}, or timm/ and the name of a network of timm."
            )
    return net


def build_learner(
    recipe: Recipe, data: Data, seed: int, weights: Path, device: Device, rng: torch.Generator
) -> LatentReplay:
    """The learner of one arm; arms of one seed start from the same weights."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        image, classes = data.read(torch.tensor([0])), len(data.names)
        front, back = cut(build_backbone(recipe.classifier, weights), recipe.classifier.replay_layer, image)
        try:
            latent = front.eval()(image)
        except AssertionError as error:  # a transformer's, which takes images of one size
            raise UserError(
                f"classifier.backbone does not take these images ({error}): set stream.images.size."
            ) from error
        features = back.eval()(latent).shape[1]
        head = build_head(recipe.learner, features, classes, recipe.replay.mode)
        classifier = Classifier(front, back, head, recipe.classifier.front is Front.BLOCKED)
        if recipe.classifier.renorm is not None:
            renormalise(classifier, recipe.classifier.renorm)
        classifier.to(device.name)  # what is trained; what is recalled stays in main memory, as data does
        source = build_source(recipe, latent[0], classes, device, rng)
        return LatentReplay(classifier, source, build_penalty(recipe, classifier), recipe, device, rng)


def build_head(recipe: LearnerRecipe, features: int, classes: int, mode: Mode) -> Head:
    """The head of a learner."""
    match recipe.head:
        case HeadKind.CWR:
            return ConsolidatedHead(features, classes, mode, recipe.mean)
        case HeadKind.PLAIN:
            return PlainHead(features, classes, mode)


def build_source(
    recipe: Recipe, example: Float[Tensor, "*latent"], classes: int, device: Device, rng: torch.Generator
) -> ReplaySource:
    """The source of replayed patterns, which are like the `example`."""
    memory, spec, latent = recipe.replay.memory, recipe.generator, tuple(example.shape)
    match recipe.replay.source:
        case Source.NONE:
            return NoReplay()
        case Source.ORIGINAL:
            return Original(latent, memory, rng)
        case Source.RANDOM:
            return Random(latent, classes, memory, rng)
        case Source.GENERATED:
            assert spec is not None, "Recipe demands a generator for generated replay"
            signed = bool((example < 0).any())
            generator = Generator(latent, classes, spec.latent_dim, spec.body, spec.width, spec.silent, signed)
            return Generated(generator.to(device.name), memory, spec, device, rng)


def build_penalty(recipe: Recipe, classifier: Classifier) -> Penalty:
    """The penalty on the feature extractor; batch renormalisation and the head are left free."""
    spec = recipe.learner.penalty
    if spec is None:
        return NoPenalty()
    free = {
        id(p) for m in classifier.modules() if isinstance(m, BatchRenorm2d | nn.BatchNorm2d) for p in m.parameters()
    }
    free |= {id(p) for p in classifier.head.parameters()}
    return SynapticIntelligence([p for p in classifier.parameters() if p.requires_grad and id(p) not in free], spec)
