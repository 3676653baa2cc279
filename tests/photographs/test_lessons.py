"""What a lesson promises: each picture counts once, order changes nothing, and odd albums are refused whole."""

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from albums import COLOURS, album, new, picture, teach
from PIL import Image

from negreplay.builders.learners import build_learner
from negreplay.data.folders import load_images
from negreplay.errors import UserError
from negreplay.photographs.changes import rename
from negreplay.photographs.lessons import HELD_BACK
from negreplay.photographs.model import Model
from negreplay.photographs.pictures import fingerprint_of
from negreplay.recipe import LearnerRecipe, NearestMeanRecipe, RanPACRecipe, RDARecipe, SLDARecipe
from negreplay.streams.scenarios import new_classes


def probabilities(model: Model) -> dict[str, list[float]]:
    """What the model says of four pictures that it has not seen, by class."""
    images = torch.stack([torch.tensor(np.asarray(picture(of, 9999))).movedim(-1, 0) / 255 for of in COLOURS.values()])
    scores = model.judge.score(model.judge.features(images, encoded=False)) / model.learner.temperature
    return dict(zip(model.names, scores.softmax(dim=1).T.tolist(), strict=True))


@pytest.mark.parametrize("spec", [RDARecipe(rank=4), SLDARecipe(), NearestMeanRecipe(), RanPACRecipe(units=200)])
def test_pictures_may_come_in_any_order(tmp_path: Path, spec: LearnerRecipe):
    """New classes, new pictures of old classes, or all of them at once: the end is the same."""
    names = list(COLOURS)
    whole, parts = new(spec), new(spec)
    teach(whole, album(tmp_path / "all", *names, numbers=range(24)))
    for number, (classes, numbers) in enumerate(
        [(names[2:], range(9)), (names[:1], range(24)), (names[1:], range(9, 24)), (names[1:2], range(9))]
    ):
        teach(parts, album(tmp_path / str(number), *classes, numbers=numbers))
    one, other = probabilities(whole), probabilities(parts)
    assert one.keys() == other.keys() == set(names)
    for name in names:
        assert one[name] == pytest.approx(other[name], abs=2e-3)
    assert whole.accuracy() == {name: parts.accuracy()[name] for name in whole.accuracy()}
    assert whole.counts == parts.counts


def test_a_tenth_is_held_back_by_its_pixels(tmp_path: Path):
    model = new()
    lesson = teach(model, album(tmp_path, "red", "blue", numbers=range(100)))
    held, learned = sum(lesson.held_back.values()), sum(lesson.learned.values())
    assert held + learned == 200 and 8 <= held <= 34
    expected = sum(fingerprint_of(np.asarray(picture(COLOURS["red"], n))) % HELD_BACK == 0 for n in range(100))
    assert lesson.held_back["red"] == expected
    assert len(model.labels) == held and lesson.accuracy.keys() == {"red", "blue"}
    without = new(hold=False)
    assert sum(teach(without, tmp_path).learned.values()) == 200 and without.accuracy() == {}


def test_a_picture_that_has_come_before_is_not_counted_again(tmp_path: Path):
    model = new()
    teach(model, album(tmp_path / "one", "red", "blue"))
    before = {name: of.clone() for name, of in model.learner.state_dict().items()}
    (tmp_path / "two" / "red").mkdir(parents=True)
    picture(COLOURS["red"], 3).save(tmp_path / "two" / "red" / "another name.bmp")
    lesson = teach(model, tmp_path / "two")
    assert lesson.known == 1 and not lesson.learned
    after = model.learner.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_class_whose_only_picture_would_be_held_back_is_known_all_the_same(tmp_path: Path):
    number = next(n for n in range(99) if fingerprint_of(np.asarray(picture(COLOURS["red"], n))) % HELD_BACK == 0)
    model = new()
    teach(model, album(tmp_path / "one", "blue"))
    (tmp_path / "two" / "red").mkdir(parents=True)
    picture(COLOURS["red"], number).save(tmp_path / "two" / "red" / "x.png")
    lesson = teach(model, tmp_path / "two")
    assert lesson.held_back == {"red": 1} and "red" not in lesson.accuracy, "it is taught, and so tells nothing"
    assert probabilities(model)["red"][0] > 0.5


def test_a_picture_in_two_classes_is_refused(tmp_path: Path):
    album(tmp_path / "one", "red", "blue")
    picture(COLOURS["red"], 3).save(tmp_path / "one" / "blue" / "copy.png")
    picture(COLOURS["red"], 5).save(tmp_path / "one" / "blue" / "copy 5.png")
    with pytest.raises(UserError, match=r"^red/3\.png is the same picture as blue/copy\.png, red/5\.png is the same"):
        teach(new(), tmp_path / "one")
    lesson = teach(new(), tmp_path / "one", skip=True)
    assert lesson.examples == {
        "red/3.png": "is the same picture as blue/copy.png",
        "red/5.png": "is the same picture as blue/copy 5.png",
    }
    (tmp_path / "one" / "blue" / "copy 5.png").unlink()
    (tmp_path / "one" / "blue" / "copy.png").unlink()
    model = new()
    teach(model, tmp_path / "one")
    (tmp_path / "two" / "blue").mkdir(parents=True)
    picture(COLOURS["red"], 3).save(tmp_path / "two" / "blue" / "x.png")
    with pytest.raises(
        UserError, match=r"^blue/x\.png has been learned as 'red' before: keep each picture in one class"
    ):
        teach(model, tmp_path / "two")


def test_damaged_pictures_are_refused_all_at_once_or_skipped(tmp_path: Path):
    album(tmp_path, "red", "blue")
    whole = (tmp_path / "red" / "0.png").read_bytes()
    (tmp_path / "red" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "blue" / "text.jpg").write_text("no picture")
    (tmp_path / "blue" / "notes.txt").write_text("no picture either")
    with pytest.raises(UserError, match=r"is no readable image"):
        teach(new(), tmp_path)
    lesson = teach(new(), tmp_path, skip=True)
    assert lesson.left_out == 3 and sum(lesson.learned.values()) + sum(lesson.held_back.values()) == 24


def test_files_cut_short_are_named_all_at_once_and_a_class_without_pictures_is_none(tmp_path: Path):
    album(tmp_path / "one", "red")
    whole = (tmp_path / "one" / "red" / "0.png").read_bytes()
    for number in (1, 2):
        (tmp_path / "one" / "red" / f"{number}.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        UserError, match=r"^2 files are no readable images, .*red/1\.png .*red/2\.png .*leave them out\.$"
    ):
        teach(new(), tmp_path / "one")
    model = new()
    teach(model, tmp_path / "one", skip=True)
    for kind in (whole, whole[: len(whole) // 2]):
        (tmp_path / "two" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "two" / "cat" / "x.png").write_bytes(kind)
        assert teach(model, tmp_path / "two", skip=True).left_out == 1
        assert model.names == ["red"] and len(model.lessons) == 1
    with pytest.raises(UserError, match=r"^no picture can be learned, cat/x\.png \(.*\): give others\.$"):
        teach(new(), tmp_path / "two", skip=True)


def test_a_name_that_is_typed_is_the_one_of_a_folder(tmp_path: Path):
    model = new()
    teach(model, album(tmp_path, "red", "blue"))
    rename(model, "red", "e\u0301 ")
    assert model.names == ["blue", "\u00e9"]
    rename(model, "e\u0301", "red")
    assert model.names == ["blue", "red"]


def test_a_heic_picture_says_what_reads_it(tmp_path: Path):
    album(tmp_path, "red")
    (tmp_path / "red" / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic")
    lesson = teach(new(), tmp_path)
    assert lesson.left_out == 1
    (reason,) = lesson.examples.values()
    assert reason == "HEIC files are not read: convert it to JPEG, for instance with the Python package pillow-heif"


@pytest.mark.parametrize(("name", "other"), [("Red", "red"), ("STRASSE", "straße"), (" a  b ", "a b")])
def test_names_that_differ_in_capital_letters_only_are_refused(tmp_path: Path, name: str, other: str):
    for each in (name, other):
        (tmp_path / each).mkdir()
        picture((9, 9, 9), len(each) + ord(each[0])).save(tmp_path / each / "x.png")
    with pytest.raises(UserError, match=r"differ in capital letters or spaces only: call both the same\.$"):
        teach(new(), tmp_path)


def test_a_class_may_have_any_name_but_one(tmp_path: Path):
    names = ["日本語", "a <b>&amp;", "\x1b[31mred", "é"]
    for number, name in enumerate([*names, "unknown"]):
        (tmp_path / name).mkdir()
        for k in range(3):
            picture((50 * number, 9, 9), 10 * number + k).save(tmp_path / name / f"{k}.png")
    with pytest.raises(UserError, match=r"^a class is called 'unknown'"):
        teach(new(), tmp_path)
    for file in (tmp_path / "unknown").iterdir():
        file.unlink()
    (tmp_path / "unknown").rmdir()
    model = new()
    teach(model, tmp_path)
    assert set(model.names) == set(names)


ODD = {
    "flat": r"has no folder with pictures; it holds 1 image that lies in no folder: make a folder for each class",
    "splits": r"holds the folders test and train, and each folder is taken for a class: give .*train\.$",
    "empty": r"has no folder with pictures; it holds the folder red: make a folder for each class",
    "text": r"holds no pictures, but red/notes.txt \(it is no image\)",
    "nowhere": r"does not exist: give the path of a folder",
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_albums_are_refused(tmp_path: Path, kind: str):
    folder = tmp_path / "album"
    if kind == "flat":
        folder.mkdir()
        picture((1, 2, 3), 0).save(folder / "x.png")
    elif kind == "splits":
        album(folder / "train", "red")
        album(folder / "test", "red")
    elif kind != "nowhere":
        (folder / "red").mkdir(parents=True)
        if kind == "text":
            (folder / "red" / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=ODD[kind]):
        teach(new(), folder)


def test_zips_and_tables_hold_albums_too(tmp_path: Path):
    album(tmp_path / "pictures", "red", "blue")
    folder = teach(new(), tmp_path / "pictures")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for path in sorted((tmp_path / "pictures").rglob("*.png")):
            file.write(path, f"monday/{path.relative_to(tmp_path / 'pictures')}")
    with (tmp_path / "a.csv").open("w", newline="") as table:
        rows = [
            (f"pictures/{of.parent.name}/{of.name}", of.parent.name) for of in (tmp_path / "pictures").rglob("*.png")
        ]
        csv.writer(table).writerows([("path", "label"), *rows])
    (tmp_path / "b.csv").write_text((tmp_path / "a.csv").read_text().replace(",", ";"))
    for path in (tmp_path / "a.zip", tmp_path / "a.csv", tmp_path / "b.csv"):
        lesson = teach(new(), path)
        assert (lesson.learned, lesson.held_back) == (folder.learned, folder.held_back)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,class\nx.png,red", r"has no column 'label': begin it with a line path,label\.$"),
        ("path,label\nx.png,", r"line 2: it needs a path and a label\.$"),
        ("path,label\n0.png,a\n0.png,b\n", r"^0\.png is listed in two classes, 'a' and 'b': keep each"),
        ("path,label\n", r"lists no images: add a line for each\.$"),
        ("path,label\nnone.png,red", r"none\.png is no readable image \(No such file or directory\)"),
    ],
)
def test_odd_tables_are_refused(tmp_path: Path, text: str, sentence: str):
    (tmp_path / "a.csv").write_text(text)
    picture(COLOURS["red"], 0).save(tmp_path / "0.png")
    with pytest.raises(UserError, match=sentence):
        teach(new(), tmp_path / "a.csv")


@pytest.mark.parametrize("count", [1, 2])
def test_few_pictures_are_enough(tmp_path: Path, count: int):
    model = new()
    teach(model, album(tmp_path, *list(COLOURS)[:count], numbers=range(1)))
    said = probabilities(model)
    assert all(np.isfinite(of).all() for of in said.values())
    if count == 2:
        assert said["red"][0] > 0.5 and said["green"][1] > 0.5


def test_odd_pictures_are_pictures(tmp_path: Path):
    """Grey, 16 bits, transparent, CMYK, animated, tall, one pixel."""
    album(tmp_path, "red", "blue")
    image = picture(COLOURS["red"], 77)
    folder = tmp_path / "red"
    image.convert("L").save(folder / "grey.png")
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(folder / "deep.png")
    image.convert("RGBA").save(folder / "transparent.png")
    image.convert("CMYK").save(folder / "print.jpg")
    image.save(folder / "moving.gif", save_all=True, append_images=[picture(COLOURS["red"], 78)])
    image.resize((3, 700)).save(folder / "tall.png")
    image.resize((1, 1)).save(folder / "dot.png")
    lesson = teach(new(), tmp_path)
    assert sum(lesson.learned.values()) + sum(lesson.held_back.values()) + lesson.known == 31 and not lesson.left_out


def test_a_model_ends_as_the_learner_of_a_study_does(tmp_path: Path):
    """The same pictures, as a data set of a stream, for the same learner over the same network."""
    model = new(hold=False)
    teach(model, album(tmp_path / "train", *COLOURS, numbers=range(30)))
    album(tmp_path / "test", *COLOURS, numbers=range(30, 33))
    train, test = load_images(tmp_path, model.images)
    learner = build_learner(model.recipe, train.read(torch.tensor([0]))[0], len(train.names))
    learner.classifier.back.load_state_dict(model.learner.classifier.back.state_dict())
    for experience in new_classes(train, test, 2, 1, seed=3):
        for _ in learner.learn(experience):
            pass
    x = test.read(torch.arange(len(test.labels)))
    ours = model.learner.predict(x)[:, [model.names.index(name) for name in train.names]]
    assert torch.allclose(ours, learner.predict(x), rtol=1e-3, atol=1e-2)
