"""Images from a folder or a zip, `<split>/<class>/<image>`.

The splits are `train` and `test` (`val`, `valid` or `validation` where there is no `test`); one enclosing folder is
allowed. Hidden files, files that are no images, and anything deeper than `<split>/<class>/<image>` are ignored.
"""

from pathlib import Path

from negreplay.data.containers import Member, listing
from negreplay.data.images import Images, images_of
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""How the names of images end, in small letters."""
_TEST = ("test", "val", "valid", "validation")
_LAYOUT = "arrange the images as train/<class>/<image> and test/<class>/<image>"
_Split = dict[str, list[Member]]


def load_images(path: Path, recipe: ImageRecipe) -> tuple[Images, Images]:
    """The training and test images of a folder or zip; classes are numbered in the order of their names.

    A class that has test images only is among the names, for the stream to refuse.

    Raises:
        UserError: `path` is missing, is neither a folder nor a zip, or has no train or test folder; or a class has no
            training images in its folder, or none to test it with; or the first image cannot be decoded.
    """
    files, members = listing(path)
    root = enclosing(members)
    tree = _tree(members, root)
    train = tree.get("train")
    if not train:
        raise UserError(f"{path} has no train folder with a folder for each class: {_LAYOUT}.")
    held_out = next((tree[name] for name in _TEST if tree.get(name)), None)
    if held_out is None:
        raise UserError(f"{path} has no test folder with a folder for each class: {_LAYOUT}.")
    _check_classes(path, train, held_out)
    names = tuple(sorted(train.keys() | held_out.keys()))

    def images(split: _Split) -> Images:
        listed = [(member, c) for c, name in enumerate(names) for member in split.get(name, ())]
        return images_of(files, listed, names, recipe, split is train, root)

    return images(train), images(held_out)


def enclosing(members: list[Member]) -> str:
    """The one folder around the splits, with its slash; empty where there is none."""
    splits = {"train", *_TEST}
    folders = [member.path.split("/")[:-1] for member in members]
    if any(parts[0] in splits for parts in folders if parts):
        return ""
    outer = {parts[0] for parts in folders if len(parts) > 1 and parts[1] in splits}
    return f"{outer.pop()}/" if len(outer) == 1 else ""


def _tree(members: list[Member], root: str) -> dict[str, _Split]:
    """The images by split and class; a folder without images is there too, so that it can be refused."""
    tree: dict[str, _Split] = {}
    for member in members:
        if not member.path.startswith(root):
            continue
        match member.path.removeprefix(root).split("/"):
            case [split, name, file] if name:
                held = tree.setdefault(split, {}).setdefault(name, [])
                if file.lower().endswith(SUFFIXES):
                    held.append(member)
    return tree


def _check_classes(path: Path, train: _Split, test: _Split) -> None:
    for name, images in train.items():
        if not images:
            raise UserError(f"{path}: the folder train/{name} holds no images: add some, or remove the folder.")
        if not test.get(name):
            raise UserError(f"{path}: class {name!r} has training images but none to test it: add some to test/{name}.")
