"""From a recipe to the images that arrive."""

from pathlib import Path

import torch

from negreplay.data.cifar import load_cifar
from negreplay.data.containers import is_hidden
from negreplay.data.core50 import load_core50
from negreplay.data.data import Data
from negreplay.data.digits import load_digits
from negreplay.data.folders import LAYOUT, contents, load_images
from negreplay.data.imagenet import load_imagenet, load_tiny_imagenet
from negreplay.data.images import Images
from negreplay.data.mnist import load_mnist
from negreplay.data.screening import SUFFIXES, some
from negreplay.data.selected import every
from negreplay.data.tables import load_table
from negreplay.data.webdataset import are_shards, load_shards
from negreplay.errors import NotThereError, UserError
from negreplay.files import find
from negreplay.recipe import Scenario, StreamRecipe
from negreplay.streams.official import core50_stream
from negreplay.streams.scenarios import new_both, new_classes, new_domains, new_instances
from negreplay.streams.stream import Stream


def build_data(recipe: StreamRecipe, place: Path) -> tuple[Data, Data]:
    """The training images, and every `test_every`-th test image.

    Raises:
        UserError: they are not in `place`, or something is wrong with them.
    """
    train, test = _load(recipe, place)
    _check_tested(test, recipe.test_every)
    return train, every(test, min(recipe.test_every, len(test.labels)))


def _check_tested(test: Data, step: int) -> None:
    """Refuses test images without some class, which would be left out of the accuracies in silence."""

    def untested(step: int) -> list[str]:
        counts = torch.bincount(test.labels[:: min(step, len(test.labels) + 1)], minlength=len(test.names))
        return [name for name, count in zip(test.names, counts.tolist(), strict=True) if not count]

    if missing := untested(1):
        raise UserError(f"the test set has no images of some classes ({some(missing)}): add some of each.")
    if missing := untested(step):
        enough = next(less for less in range(min(step, len(test.labels)) - 1, 0, -1) if not untested(less))
        raise UserError(
            f"stream.test_every is {step}, which leaves no test images of some classes ({some(missing)}): "
            f"lower it, for example to {enough}."
        )


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
            path = _find_images(name, place)
            if are_shards(path):
                return load_shards(path, recipe.images)
            load = load_table if path.suffix.lower() == ".csv" else load_images
            return load(path, recipe.images)


def _find_images(name: str, place: Path) -> Path:
    """The folder, zip or CSV of a data set, which may be `place` itself."""
    if (place / "train").is_dir() or are_shards(place):
        return place
    try:
        return find(name, place, "images", (".zip", ".csv"))
    except NotThereError as error:
        raise NotThereError(f"{str(error).removesuffix('.')}{_contents_of(name, place)}.") from error


def _contents_of(name: str, place: Path) -> str:
    """What a folder contains instead, and another remedy; its folders are not searched, for they may be large."""
    made = f", or make them there with `negreplay data cifar50 --root {place / name} --from ARCHIVE`"
    made = made if name == "cifar50" else ""
    try:
        folders = [path for path in place.iterdir() if path.is_dir() and not is_hidden(path.name)]
        files = [path.name for path in place.iterdir() if path.is_file() and not is_hidden(path.name)]
        inside = [path.name for folder in folders for path in folder.iterdir() if path.is_file()]
    except OSError:  # nothing is there, or it may not be looked at
        return made
    unsorted = any(name.lower().endswith(SUFFIXES) for name in (*files, *inside))
    remedy = f", or {LAYOUT} in {place}" if unsorted else made
    return f" ({contents({folder.name for folder in folders}, files)}){remedy}"


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
        case Scenario.DOMAINS:
            return new_domains(train, test, recipe.classes, seed, recipe.order)
        case Scenario.NIC:
            return new_both(train, test, recipe.first_classes, recipe.parts, seed, recipe.order)
