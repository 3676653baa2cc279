from pathlib import Path

import pytest
import torch
from pictures import plain, save

from negreplay.data.tables import load_table
from negreplay.errors import UserError
from negreplay.recipe import Augment, ImageRecipe

LINES = [
    "photos/a.png,dog,train",
    "photos/b.png,cat,train",
    "photos/c.png,dog,test",
    '"photos/d, e.png",cat,test',
    "photos/f.png,cat,train",
]


def write(folder: Path, lines: list[str], header: str = "path,label,split") -> Path:
    for k, name in enumerate(("a", "b", "c", "d, e", "f")):
        save(plain((40 * k, 0, 0)), folder / "photos" / f"{name}.png")
    table = folder / "pets.csv"
    table.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return table


def test_reads_labels_names_and_pixels(tmp_path: Path):
    train, test = load_table(write(tmp_path, LINES), ImageRecipe())
    assert train.names == test.names == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 1] and test.labels.tolist() == [0, 1]
    assert train.read(torch.arange(3))[:, 0, 0, 0].mul(255).round().tolist() == [40, 160, 0]
    assert test.read(torch.arange(2))[:, 0, 0, 0].mul(255).round().tolist() == [120, 80]
    assert not train.augmented


def test_the_order_of_lines_and_columns_and_other_columns_do_not_matter(tmp_path: Path):
    expected, _ = load_table(write(tmp_path, LINES), ImageRecipe())
    mixed = [",".join((*line.rsplit(",", 2)[::-1], "7")) for line in reversed(LINES)]
    found, _ = load_table(write(tmp_path, mixed, "\ufeffsplit,label,path,year"), ImageRecipe())
    assert found.paths == expected.paths and torch.equal(found.labels, expected.labels)


def test_paths_may_be_absolute_and_training_images_are_varied(tmp_path: Path):
    table = write(tmp_path, [line.replace("photos", str(tmp_path / "photos")) for line in LINES])
    train, test = load_table(table, ImageRecipe(8, augment=Augment.FLIP))
    assert train.read(torch.arange(3)).shape == (3, 3, 8, 8)
    assert train.augmented and not test.augmented


WRONG: list[tuple[list[str], str, str]] = [
    (LINES, "path,class,split", "has no column 'label': begin it with a line path,label,split"),
    ([], "", "has no column 'path'"),
    ([], "path,label,split", "lists no images: add a line for each"),
    (
        [*LINES, "photos/a.png,dog,validation"],
        "path,label,split",
        "line 7: it needs a path, a label, and train or test",
    ),
    ([*LINES, "photos/a.png"], "path,label,split", "line 7: it needs a path, a label, and train or test"),
    ([*LINES, ",dog,train"], "path,label,split", "line 7: it needs a path, a label, and train or test"),
    ([*LINES, '"photos'], "path,label,split", r"cannot be read \(.*\): save it as a CSV in UTF-8"),
    ([*LINES, "photos/g.png,eel,train"], "path,label,split", "class 'eel' has no images in split test: add some"),
    ([*LINES, "photos/g.png,eel,test"], "path,label,split", "class 'eel' has no images in split train: add some"),
    ([*LINES, "photos/a.png,dog,train"], "path,label,split", r"lines 2 and 7 name photos/a\.png: give each image one"),
    (
        [*LINES, "photos/../photos/a.png,eel,train"],
        "path,label,split",
        r"lines 2 and 7 name photos/a\.png as dog and eel:",
    ),
    (
        [*LINES, "photos/b.png,cat,test", "photos/a.png,dog,train"],
        "path,label,split",
        r"lines 2 and 8 name photos/a\.png, lines 3 and 7 name photos/b\.png as training and test image: give",
    ),
]


@pytest.mark.parametrize(("lines", "header", "sentence"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named(tmp_path: Path, lines: list[str], header: str, sentence: str):
    with pytest.raises(UserError, match=rf"pets\.csv.* {sentence}"):
        load_table(write(tmp_path, lines, header), ImageRecipe())


def test_a_missing_image_is_named(tmp_path: Path):
    table = write(tmp_path, LINES)
    (tmp_path / "photos" / "b.png").unlink()
    with pytest.raises(UserError, match=r"photos/b\.png is no readable image \(No such file or directory\): replace"):
        load_table(table, ImageRecipe())


def test_a_table_that_is_not_text(tmp_path: Path):
    table = write(tmp_path, LINES)
    table.write_bytes(b"path,label,split\n\xff\xfe,dog,train\n")
    with pytest.raises(UserError, match=r"pets\.csv cannot be read"):
        load_table(table, ImageRecipe())
