"""From a recipe to the images that arrive."""

from pathlib import Path

from negreplay.data.cifar import load_cifar
from negreplay.data.core50 import load_core50
from negreplay.data.data import Data
from negreplay.data.digits import load_digits
from negreplay.data.folders import load_images
from negreplay.data.imagenet import load_imagenet, load_tiny_imagenet
from negreplay.data.images import Images
from negreplay.data.mnist import load_mnist
from negreplay.data.selected import every
from negreplay.data.tables import load_table
from negreplay.files import find
from negreplay.recipe import Scenario, StreamRecipe
from negreplay.streams.official import core50_stream
from negreplay.streams.scenarios import new_both, new_classes, new_domains, new_instances
from negreplay.streams.stream import Stream


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
        case Scenario.DOMAINS:
            return new_domains(train, test, recipe.classes, seed, recipe.order)
        case Scenario.NIC:
            return new_both(train, test, recipe.first_classes, recipe.parts, seed, recipe.order)
