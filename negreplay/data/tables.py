"""Images from a table of paths: a CSV with the columns path, label and split."""

import csv
import os
import unicodedata
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from negreplay.data.containers import Folder, Member, read_file
from negreplay.data.images import Images, images_of
from negreplay.data.screening import screen, some
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe

_COLUMNS = ("path", "label", "split")


class _Row(NamedTuple):
    """A line of the table; rows are in the order of their classes, then of their paths."""

    label: str
    path: str
    split: str
    line: int


def load_table(table: Path, recipe: ImageRecipe) -> tuple[Images, Images]:
    """The training and test images that a CSV lists; classes are numbered in the order of their names.

    The first line names the columns `path` (from the folder of the CSV, or absolute), `label` (the name of a class)
    and `split` (`train` or `test`); others are ignored. Images are ordered by class, then by path, so the order of
    the lines does not matter.

    Raises:
        UserError: a column is missing, a line is wrong, an image stands in two lines, a class has no training or no
            test images, or images are missing or cannot be read.
    """
    rows = sorted(_rows(table))
    _check_once(table, rows)
    there = {(row.label, row.split) for row in rows}
    number = {name: c for c, name in enumerate(sorted({row.label for row in rows}))}
    for name in number:
        for split in ("train", "test"):
            if (name, split) not in there:
                raise UserError(f"{table}: class {name!r} has no images in split {split}: add some, or remove it.")
    files = Folder(table.parent)
    members, _ = screen(files, [Member(row.path, 0, "") for row in rows], all_images=True)
    numbered = list(zip(rows, members, strict=True))

    def images(split: str) -> Images:
        listed = [(member, number[row.label]) for row, member in numbered if row.split == split]
        return images_of(files, listed, tuple(number), recipe, split == "train")

    return images("train"), images("test")


def _rows(table: Path) -> Iterator[_Row]:
    for line, (path, label, split) in lines_of(table, _COLUMNS):
        if not path or not label or split not in ("train", "test"):
            raise UserError(f"{table}, line {line}: it needs a path, a label, and train or test as its split.")
        yield _Row(unicodedata.normalize("NFC", label), path, split, line)


def lines_of(table: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV: the number of each, and what it has in some columns, which are named by the first line.

    Fields are parted by commas, or by semicolons or tabs where the first line has no comma: as spreadsheets write it.

    Raises:
        UserError: the file cannot be read, lacks a column, or has no lines below the first.
    """
    line = None
    try:
        text = read_file(table).decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = next((of for of in ",;\t" if of in first), ",")
        reader = csv.DictReader(StringIO(text, newline=""), strict=True, delimiter=delimiter)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{table} has no column {missing[0]!r}: begin it with a line {','.join(columns)}.")
        for row in reader:
            line = reader.line_num
            yield line, [row[column] or "" for column in columns]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{table} cannot be read ({error}): save it as a CSV in UTF-8.") from error
    if line is None:
        raise UserError(f"{table} lists no images: add a line for each.")


def _check_once(table: Path, rows: list[_Row]) -> None:
    """An image in two lines is a mistake of the table: it would count twice, or contradict itself."""
    by_image: dict[str, list[_Row]] = {}
    for row in sorted(rows, key=lambda row: row.line):
        by_image.setdefault(os.path.normpath(table.parent / row.path), []).append(row)
    mistakes = []
    for repeated in (of_image for of_image in by_image.values() if len(of_image) > 1):
        lines = " and ".join(str(row.line) for row in repeated)
        labels, splits = sorted({row.label for row in repeated}), {row.split for row in repeated}
        labelled = f" as {' and '.join(labels)}" if len(labels) > 1 else ""
        in_both = " as training and test image" if len(splits) > 1 else ""
        mistakes.append(f"lines {lines} name {repeated[0].path}{labelled}{in_both}")
    if mistakes:
        raise UserError(f"{table}: {some(mistakes)}: give each image one line.")
