"""Images from a folder or a zip, `<split>/<class>/<image>`.

The splits are `train` and `test` (`val`, `valid` or `validation` where there is no `test`); one enclosing folder is
allowed. All that lies below `<split>/<class>/`, however deep, belongs to the class. Hidden files are ignored.
"""

import unicodedata
from collections.abc import Collection
from pathlib import Path

from negreplay.data.containers import Files, Member, listing
from negreplay.data.images import Images, images_of
from negreplay.data.screening import SUFFIXES, LeftOut, screen, some
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

TEST = ("test", "val", "valid", "validation")
"""Names of the split that tests; the first that is there is used."""
LAYOUT = "arrange the images as train/<class>/<image> and test/<class>/<image>"
_Split = dict[str, list[Member]]


def load_images(path: Path, recipe: ImageRecipe, official: bool = False) -> tuple[Images, Images]:
    """The training and test images of a folder or zip; classes are numbered in the order of their names.

    Names are compared in Unicode's composed form (NFC), for systems differ in how they write letters with accents. A
    class that has test images only is among the names, for the stream to refuse.

    Args:
        path: the folder or zip.
        recipe: how the images are read.
        official: whether it is an official set, whose files are trusted: those with the name of an image are images,
            and their sizes and times stand for their content. Of others each is read once.

    Raises:
        UserError: `path` is missing, is neither a folder nor a zip, or has no train or test folder; or a class has no
            training images in its folder, or none to test it with; or images cannot be read.
    """
    files, members = listing(path)
    root = enclosing(members)
    tree = _tree(members, root)
    test_name = next((name for name in TEST if tree.get(name)), "test")
    for name in ("train", test_name):
        if not tree.get(name):
            raise UserError(
                f"{path} has no {name} folder with a folder for each class; {_contents(members, root)}: {LAYOUT}."
            )
    images, left_out = _images_among(files, tree, ("train", test_name), official)
    train, test = images["train"], images[test_name]
    _check_classes(path, tree["train"], train, test, left_out)
    names = tuple(sorted(train.keys() | test.keys()))
    left_out = sorted([*left_out, *_outside(members, root, ("train", test_name))])

    def split(by_class: _Split) -> Images:
        listed = [(member, c) for c, name in enumerate(names) for member in by_class.get(name, ())]
        left = [of for of in left_out if of.path.startswith(f"{root}{test_name}/") == (by_class is test)]
        return images_of(files, listed, names, recipe, by_class is train, root, left)

    return split(train), split(test)


def enclosing(members: list[Member]) -> str:
    """The one folder around the splits, with its slash; empty where there is none."""
    splits = {"train", *TEST}
    folders = [member.path.split("/")[:-1] for member in members]
    if any(parts[0] in splits for parts in folders if parts):
        return ""
    outer = {parts[0] for parts in folders if len(parts) > 1 and parts[1] in splits}
    return f"{outer.pop()}/" if len(outer) == 1 else ""


def _tree(members: list[Member], root: str) -> dict[str, _Split]:
    """The files by split and class; a folder without files is there too, so that it can be refused."""
    tree: dict[str, _Split] = {}
    for member in members:
        match member.path.removeprefix(root).split("/") if member.path.startswith(root) else []:
            case [split, name, _, *_] if name:
                of_class = tree.setdefault(split, {}).setdefault(unicodedata.normalize("NFC", name), [])
                if not member.path.endswith("/"):
                    of_class.append(member)
    return tree


def _images_among(
    files: Files, tree: dict[str, _Split], splits: tuple[str, str], official: bool
) -> tuple[dict[str, _Split], list[LeftOut]]:
    """The images by split and class, and the other files there."""
    members = [member for split in splits for of_class in tree[split].values() for member in of_class]
    if official:
        images, left_out = [member for member in members if member.path.lower().endswith(SUFFIXES)], []
    else:
        images, left_out = screen(files, members)
    by_path = {member.path: member for member in images}
    among = {
        split: {
            name: [by_path[member.path] for member in of_class if member.path in by_path]
            for name, of_class in tree[split].items()
        }
        for split in splits
    }
    return among, left_out


def _outside(members: list[Member], root: str, splits: tuple[str, str]) -> list[LeftOut]:
    """The images that lie in no class of a split: those in another folder are one, and stand under its name."""
    outside = set[LeftOut]()
    for member in members:
        if not member.path.lower().endswith(SUFFIXES):
            continue
        match member.path.removeprefix(root).split("/") if member.path.startswith(root) else [member.path]:
            case [split, _] if split in splits:
                outside.add(LeftOut(member.path, "it lies in no folder of a class"))
            case [folder, _, *_] if folder not in splits:
                reason = f"{splits[1]} is the test set" if folder in TEST else "it is neither train nor test"
                outside.add(LeftOut(f"{root}{folder}/", reason))
            case [_]:
                outside.add(LeftOut(member.path, "it lies in no folder of a class"))
            case _:
                pass  # it belongs to a class
    return sorted(outside)


def _contents(members: list[Member], root: str) -> str:
    inside = [member.path.removeprefix(root) for member in members if member.path.startswith(root)]
    return contents(
        {path.split("/")[0] for path in inside if "/" in path}, {path for path in inside if "/" not in path}
    )


def contents(folders: Collection[str], files: Collection[str]) -> str:
    """What lies at the top of a folder, for whoever has another arrangement than the one that is wanted."""
    images = sum(file.lower().endswith(SUFFIXES) for file in files)
    seen = [f"the folder{'s' if len(folders) > 1 else ''} {some(sorted(folders))}"] if folders else []
    seen += ["1 image that lies in no folder" if images == 1 else f"{images} images that lie in no folder"][:images]
    return f"it holds {' and '.join(seen) or 'no folders and no images'}"


def _check_classes(path: Path, files: _Split, train: _Split, test: _Split, left_out: list[LeftOut]) -> None:
    reasons = dict(left_out)
    for name, images in train.items():
        if not images:
            others = some(f"{member.path} ({reasons.get(member.path)})" for member in files[name])
            but = f", but {others}" if others else ""
            raise UserError(f"{path}: the folder train/{name} holds no images{but}: add some, or move the folder away.")
        if not test.get(name):
            raise UserError(f"{path}: class {name!r} has training images but none to test it: add some to test/{name}.")
