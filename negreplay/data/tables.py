"""Images from a table of paths: a CSV with the columns path, label and split."""

import csv
from pathlib import Path

import torch

from negreplay.data.images import Images, listed_images
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

_COLUMNS = ("path", "label", "split")


def load_table(table: Path, recipe: ImageRecipe) -> tuple[Images, Images]:
    """The training and test images that a CSV lists; classes are numbered in the order of their names.

    The first line names the columns `path` (from the folder of the CSV, or absolute), `label` (the name of a class)
    and `split` (`train` or `test`); others are ignored. Images are ordered by class, then by path, so the order of
    the lines does not matter.

    Raises:
        UserError: a column or an image is missing, a line is wrong, a class has no training or no test images, or the
            first image cannot be decoded.
    """
    splits = _rows(table)
    in_train, in_test = ({label for label, _ in rows} for rows in splits.values())
    names = tuple(sorted(in_train | in_test))
    for name in names:
        for there, split in ((in_train, "train"), (in_test, "test")):
            if name not in there:
                raise UserError(f"{table}: class {name!r} has no images in split {split}: add some, or remove it.")
    number = {name: c for c, name in enumerate(names)}

    def images(split: str) -> Images:
        rows = sorted(splits[split])
        labels = torch.tensor([number[label] for label, _ in rows])
        return listed_images(table.parent, [path for _, path in rows], labels, names, recipe, split == "train")

    return images("train"), images("test")


def _rows(table: Path) -> dict[str, list[tuple[str, str]]]:
    """Label and path of each image, by split."""
    splits: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{table} has no column {missing[0]!r}: begin it with a line path,label,split.")
            for row in reader:
                path, label, split = (row[column] or "" for column in _COLUMNS)
                if not path or not label or split not in splits:
                    raise UserError(
                        f"{table}, line {reader.line_num}: it needs a path, a label, and train or test as its split."
                    )
                splits[split].append((label, path))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{table} cannot be read ({error}): save it as a CSV in UTF-8.") from error
    if not any(splits.values()):
        raise UserError(f"{table} lists no images: add a line for each.")
    return splits
