"""ImageNet-1000 as its competition's folders, and Tiny-ImageNet; the classes are WordNet numbers, in their order.

References:
    O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 115, 2015.
"""

from pathlib import Path

from negreplay.data.containers import Files, Member, listing
from negreplay.data.decoding import reason_of
from negreplay.data.folders import enclosing, load_images
from negreplay.data.images import Images, images_of
from negreplay.data.screening import SUFFIXES
from negreplay.errors import NotThereError, UserError
from negreplay.recipe import ImageRecipe

_TINY = "tiny-imagenet-200"
_ANNOTATIONS = "val/val_annotations.txt"
_REMEDY = "get it from its official address"


def load_imagenet(place: Path, recipe: ImageRecipe) -> tuple[Images, Images]:
    """The training and validation images of `train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG`, or of some of the classes.

    Args:
        place: the folder that holds both, or the one around it, where it is called `imagenet`.
        recipe: how the images are read.

    Raises:
        UserError: a folder is missing, the validation images are not sorted by class, or one cannot be decoded.
    """
    root = place / "imagenet"
    if not root.is_dir():
        root = place
    validation = root / "val"
    if not (root / "train").is_dir() or not validation.is_dir():
        raise NotThereError(
            f"there is no imagenet with its folders train and val in {place}: put them into {place / 'imagenet'}."
        )
    if not any(path.is_dir() for path in validation.iterdir()):
        raise UserError(
            f"{validation} holds no folder for each class: move each image to val/<wnid>/, the class that "
            "ILSVRC2012_validation_ground_truth.txt gives it."
        )
    return load_images(root, recipe, official=True)


def load_tiny_imagenet(place: Path, recipe: ImageRecipe) -> tuple[Images, Images]:
    """The training and validation images of `tiny-imagenet-200`, a folder or a zip, 64 x 64 unless the recipe says.

    Raises:
        UserError: it is missing or incomplete, or the first image cannot be decoded.
    """
    options = [option for option in (place / _TINY, place / f"{_TINY}.zip", place) if option.exists()]
    path = next((option for option in options if option.name in (_TINY, f"{_TINY}.zip")), None)
    if path is None:
        raise NotThereError(f"there is no {_TINY} and no {_TINY}.zip in {place}: put one of them there, as published.")
    files, members = listing(path)
    root = enclosing(members)
    by_path = {member.path.removeprefix(root): member for member in members}
    train: dict[str, list[Member]] = {}
    for inside, member in by_path.items():
        parts = inside.split("/")
        if parts[0::2] == ["train", "images"] and len(parts) == 4 and inside.lower().endswith(SUFFIXES):
            train.setdefault(parts[1], []).append(member)
    names = tuple(sorted(train))
    if not names:
        raise UserError(f"{path} has no images in train/<class>/images: {_REMEDY}.")
    listed = [(member, c) for c, name in enumerate(names) for member in train[name]]
    test = _annotated(path, files, by_path, root, names)
    return images_of(files, listed, names, recipe, True, root), images_of(files, test, names, recipe, False, root)


def _annotated(
    path: Path, files: Files, by_path: dict[str, Member], root: str, names: tuple[str, ...]
) -> list[tuple[Member, int]]:
    """The validation images with their classes, in the order of the file that says so."""
    try:
        lines = files.read(root + _ANNOTATIONS).decode().splitlines()
    except Exception as error:  # a damaged zip raises whatever its kind of compression does
        raise UserError(f"{path / _ANNOTATIONS} cannot be read ({reason_of(error)}): {_REMEDY}.") from error
    number = {name: c for c, name in enumerate(names)}
    listed = []
    for place, line in enumerate(lines, start=1):
        match line.split("\t"):
            case [file, name, *_] if name in number and f"val/images/{file}" in by_path:
                listed.append((by_path[f"val/images/{file}"], number[name]))
            case _:
                reason = f"line {place}, names no image and class that are there"
                raise UserError(f"{path / _ANNOTATIONS}, {reason}: {_REMEDY}.")
    if missing := set(range(len(names))) - {c for _, c in listed}:
        raise UserError(f"{path} has no validation images of {names[min(missing)]}: {_REMEDY}.")
    return listed
