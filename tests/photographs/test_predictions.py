"""What a model says of pictures."""

import csv
import io
import json
from itertools import islice
from pathlib import Path

import pytest
from albums import COLOURS, album, new, picture, teach

from negreplay.errors import UserError
from negreplay.photographs.model import ENOUGH, TEMPERATURE, UNKNOWN, Model
from negreplay.photographs.predictions import (
    HEADER,
    Prediction,
    as_csv,
    as_json,
    files_to_predict,
    predict,
    watch,
)


@pytest.fixture
def taught(tmp_path: Path) -> Model:
    model = new()
    teach(model, album(tmp_path / "lesson", "red", "green", "blue", numbers=range(120)))
    return model


def said(model: Model, *paths: Path, share: float = 0.05) -> list[Prediction]:
    return [of for pictures in files_to_predict(paths) for of in predict(model, pictures, share)]


def test_classes_come_with_their_probabilities(taught: Model, tmp_path: Path):
    predictions = said(taught, album(tmp_path / "new", "red", "green", "blue", numbers=range(500, 510)), share=0.0)
    assert [of.name for of in predictions] == [Path(of.path).parent.name for of in predictions]
    for prediction in predictions:
        assert prediction.best[0][0] == prediction.name and len(prediction.best) == 3
        values = [value for _, value in prediction.best]
        assert values == sorted(values, reverse=True) and sum(values) == pytest.approx(1, abs=1e-4)


def test_what_fits_no_class_is_unknown(taught: Model, tmp_path: Path):
    assert len(taught.labels) >= ENOUGH
    known = said(taught, album(tmp_path / "known", "red", "green", "blue", numbers=range(500, 560)))
    assert sum(of.name == UNKNOWN for of in known) / len(known) < 0.2, "about one of twenty is taken for unknown"
    strange = said(taught, album(tmp_path / "strange", "white"))
    assert all(of.name == UNKNOWN for of in strange)
    assert all(of.name != UNKNOWN for of in said(taught, tmp_path / "strange", share=0.0))


def test_with_few_pictures_nothing_is_unknown(tmp_path: Path):
    model = new()
    teach(model, album(tmp_path / "lesson", "red", "green", numbers=range(9)))
    assert model.threshold(0.05) is None and float(model.learner.temperature) == TEMPERATURE
    assert all(of.name != UNKNOWN for of in said(model, album(tmp_path / "strange", "white")))


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_predicted(taught: Model, tmp_path: Path):
    album(tmp_path / "new", "red", numbers=range(2))
    (tmp_path / "new" / "red" / "1.png").write_bytes(b"no picture")
    first, second = said(taught, tmp_path / "new")
    assert first.name == "red" and (second.name, second.problem) == ("", "its content is no image of a known kind")
    assert json.loads(as_json(second)) == {"path": "red/1.png", "problem": second.problem}
    phone = tmp_path / "phone.jpg"
    phone.write_bytes(b"\x00\x00\x00\x18ftypheic")
    assert said(taught, phone)[0].problem.startswith("HEIC files are not read: convert it to JPEG")
    assert as_csv(second) == "red/1.png,,,,,,"


def test_lines_of_json_and_csv_say_the_same(taught: Model, tmp_path: Path):
    (prediction,) = said(taught, album(tmp_path / "new", "red", numbers=range(1)))
    line = json.loads(as_json(prediction))
    row = dict(zip(HEADER, next(csv.reader([as_csv(prediction)])), strict=True))
    assert line["path"] == row["path"] and line["class"] == row["class"]
    assert [(of["class"], of["probability"]) for of in line["best"]] == [
        (row["class"], float(row["probability"])),
        (row["class2"], float(row["probability2"])),
        (row["class3"], float(row["probability3"])),
    ]


@pytest.mark.parametrize("path", ['a "b",c.png', "two\nlines.png", "two\rlines.png"])
def test_an_odd_name_stays_one_field(path: str):
    prediction = Prediction(path, "x,y", (("x,y", 0.75), ("z", 0.25)))
    assert next(csv.reader(io.StringIO(as_csv(prediction), newline=""))) == [
        path,
        "x,y",
        "0.7500",
        "z",
        "0.2500",
        "",
        "",
    ]


def test_a_folder_without_pictures_is_refused(taught: Model, tmp_path: Path):
    with pytest.raises(UserError, match=r"holds no pictures: give files or folders of pictures\.$"):
        said(taught, tmp_path / "lesson", _empty(tmp_path))
    with pytest.raises(UserError, match=r"does not exist"):
        said(taught, tmp_path / "nowhere")


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_a_model_that_knows_nothing_says_nothing(tmp_path: Path):
    with pytest.raises(UserError, match=r"^the model has learned nothing yet"):
        said(new(), album(tmp_path / "new", "red"))


def test_a_folder_is_watched(tmp_path: Path):
    folder = album(tmp_path / "in", "red", numbers=range(1))
    naps = 0

    def sleep(_: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 2:
            picture(COLOURS["blue"], 1).save(folder / "new.png")

    (arrived,) = islice(watch(folder, sleep), 1)
    assert [path for path, _ in arrived.labelled] == ["new.png"], "what was there before is not new"
    assert naps == 3, "a picture is taken when it has stopped growing"
