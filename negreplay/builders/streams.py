"""From a recipe to the images that arrive."""

from pathlib import Path

from negreplay.errors import UserError
from negreplay.recipe import Scenario, StreamRecipe
from negreplay.streams.cifar import load_cifar
from negreplay.streams.core50 import core50_stream, load_core50
from negreplay.streams.digits import load_digits
from negreplay.streams.folders import load_images
from negreplay.streams.imagenet import load_imagenet, load_tiny_imagenet
from negreplay.streams.images import Images
from negreplay.streams.mnist import load_mnist
from negreplay.streams.selected import every, new_domains
from negreplay.streams.stream import Data, Stream, new_both, new_classes, new_instances
from negreplay.streams.tables import load_table


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
        case Scenario.DOMAINS:
            return new_domains(train, test, recipe.classes, seed, recipe.order)
        case Scenario.NIC:
            return new_both(train, test, recipe.first_classes, recipe.parts, seed, recipe.order)
