"""The commands for photographs, as a user types them."""

import json
from pathlib import Path

import pytest
from albums import COLOURS, album, picture
from PIL import Image
from tiny import Negreplay

from negreplay.files import alone
from negreplay.photographs.files import before, read_model

MODEL = Path("shop.safetensors")


@pytest.fixture
def shop(negreplay: Negreplay) -> Negreplay:
    """A model of three classes of 40 pictures in shop.safetensors."""
    album(Path("monday"), "red", "green", "blue", numbers=range(40))
    negreplay("learn", "monday", "--model", MODEL, "--size", "32")
    return negreplay


def test_a_model_is_made_and_taught_again(negreplay: Negreplay):
    album(Path("monday"), "red", "green", numbers=range(40))
    first = negreplay("learn", "monday", "--model", MODEL, "--size", "32").out
    assert first.startswith("network: small, for tests\n")
    assert "learning  80 of 80 images" in first and "learned " in first
    album(Path("tuesday"), "blue", "red", numbers=range(40, 60))
    second = negreplay("learn", "tuesday", "--model", MODEL).out
    assert "of the pictures held back before: " in second and "3 classes" in second
    model = read_model(MODEL)
    assert model.names == ["green", "red", "blue"] and model.counts == {"red": 60, "green": 40, "blue": 20}
    assert read_model(before(MODEL)).names == ["green", "red"]


def test_predictions_tell_by_their_exit_code(shop: Negreplay):
    album(Path("new"), "red", numbers=range(500, 503))
    said = shop("predict", "new", "--model", MODEL, "--unknown", "0").out
    assert [line.split()[1:] for line in said.splitlines()] == [["red", f"new/red/{n}.png"] for n in range(500, 503)]
    lines = shop("predict", "new", "--model", MODEL, "--unknown", "0", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["class"] for line in lines] == ["red"] * 3
    table = shop("predict", "new", "--model", MODEL, "--unknown", "0", "--format", "csv").out.splitlines()
    assert table[0] == "path,class,probability,class2,probability2,class3,probability3" and len(table) == 4


def test_unknown_pictures_and_unreadable_ones_have_exit_codes_of_their_own(shop: Negreplay):
    album(Path("long"), "red", "green", "blue", numbers=range(100, 200))
    shop("learn", "long", "--model", MODEL)
    album(Path("strange"), "white", numbers=range(2))
    assert shop("predict", "strange", "--model", MODEL).code == 1
    (Path("strange") / "x.png").write_text("none")
    outcome = shop("predict", "strange", "--model", MODEL)
    assert outcome.code == 2
    assert "cannot be read  strange/x.png (its content is no image of a known kind)" in outcome.out


def test_inspect_tells_what_a_model_knows(shop: Negreplay):
    text = shop("inspect", MODEL).out
    assert "3 classes, 120 pictures" in text and "network: small, for tests, 32 pixels" in text
    assert f"{MODEL.stat().st_size / 1e6:.2f} MB  in all, in shop.safetensors; no picture" in text
    assert "monday: 120 pictures of blue, green, red" in text


def test_classes_are_forgotten_renamed_and_merged_and_undo_takes_it_back(shop: Negreplay):
    said = shop("forget", "green", "--model", MODEL).out
    assert said.startswith("forgot green: 40 pictures. Only in the covariance that all classes share does something")
    assert read_model(MODEL).names == ["blue", "red"]
    shop("rename", "blue", "azure", "--model", MODEL)
    assert read_model(MODEL).names == ["azure", "red"]
    said = shop("merge", "azure", "red", "--into", "coloured", "--model", MODEL).out
    assert "azure and red are one class now, coloured: 80 pictures" in said
    said = shop("undo", "--model", MODEL).out
    assert said == "shop.safetensors knows 2 classes again, of 80 pictures\n"
    assert read_model(MODEL).names == ["azure", "red"]
    album(Path("again"), "green", numbers=range(40))
    shop("learn", "again", "--model", MODEL)
    assert read_model(MODEL).counts["green"] == 40, "forgotten pictures may come again"


MISTAKES = {
    "forget grey": "the model knows no class 'grey': did you mean 'green'?",
    "rename red blue": "there is a class 'blue' already: `negreplay merge` makes one class of two.",
    "rename red BLUE": "the classes 'blue' and 'BLUE' differ in capital letters or spaces only: call both the same.",
    "rename red unknown": "a class is called 'unknown', as pictures that fit no class are: call it otherwise.",
    "rename red Unknown": "a class is called 'Unknown', as pictures that fit no class are: call it otherwise.",
    "rename red \u200b": r"'\u200b' cannot be the name of a class: give 1 to 80 characters.",
    "predict nowhere.png": "nowhere.png does not exist, or is no file: give pictures, or folders or zips of pictures.",
    "merge red --into red": "one class cannot be merged: name two classes or more.",
    "merge red grey --into red": "the model knows no class 'grey': did you mean 'green'?",
    "learn monday --size 64": "shop.safetensors is there already, and --size is for a new model: leave it out, or give",
    "learn monday --backbone timm/resnet18": "shop.safetensors is there already, and --backbone is for a new model",
    "learn nowhere": "nowhere does not exist: give the path of a folder or zip",
    "predict monday --unknown 1": "--unknown is 1.0: give a number from 0 to below 1.",
    "predict": "no pictures are given: name files or folders, or a folder to --watch.",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_mistakes_are_one_sentence_and_the_model_stays_as_it_was(shop: Negreplay, command: str):
    content, rest = MODEL.read_bytes(), sorted(Path().iterdir())
    assert MISTAKES[command] in shop(*command.split(), "--model", MODEL).sentence()
    assert MODEL.read_bytes() == content and sorted(Path().iterdir()) == rest


NO_MODELS = {
    "": ". is a folder: give the file of a model, such as shop.safetensors.",
    "monday": "monday is a folder: give the file of a model, such as monday/shop.safetensors.",
    "shop": "there is no model shop: did you mean shop.safetensors?",
    "no where/x": "`negreplay learn FOLDER --model 'no where/x.safetensors'` makes one.",
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_a_path_without_a_model_has_a_remedy_and_nothing_is_made_there(shop: Negreplay, name: str):
    rest = sorted(Path().iterdir())
    for command in (["rename", "red", "rose"], ["undo"], ["predict", "monday"]):
        assert NO_MODELS[name] in shop(*command, "--model", name).sentence()
    assert sorted(Path().iterdir()) == rest


def test_a_lesson_that_fails_leaves_no_model(negreplay: Negreplay):
    album(Path("monday"), "red", "green")
    picture(COLOURS["red"], 3).save("monday/green/copy.png")
    assert "is the same picture as" in negreplay("learn", "monday", "--model", MODEL, "--size", "32").sentence()
    assert not MODEL.exists()


def test_two_processes_do_not_write_one_model(shop: Negreplay):
    with alone(Path(".shop.safetensors.lock"), "busy"):
        sentence = shop("forget", "red", "--model", MODEL).sentence()
    assert "another process is writing shop.safetensors: wait until it has finished." in sentence


def test_names_cannot_steer_the_terminal(negreplay: Negreplay):
    album(Path("monday"), "red")
    Path("monday/red").rename("monday/\x1b[31mred[bold]")
    said = negreplay("learn", "monday", "--model", MODEL, "--size", "32").out
    said += negreplay("inspect", MODEL).out + negreplay("predict", "monday", "--model", MODEL).out
    assert "\x1b" not in said and said.count(r"\x1b[31mred[bold]") >= 3


def test_a_name_of_two_lines_is_one_line_of_a_table(negreplay: Negreplay):
    album(Path("monday"), "red", numbers=range(2))
    Path("monday/red").rename("monday/two\nlines\u202e")
    assert r"two\nlines\u202e" in negreplay("learn", "monday", "--model", MODEL, "--size", "32").out
    lines = negreplay("predict", "monday", "--model", MODEL).out.splitlines()
    assert [line.count(r"two\nlines\u202e") for line in lines] == [2, 2]


def test_large_pictures_are_read_without_a_warning_and_the_largest_are_not(
    shop: Negreplay, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    said = shop("predict", "monday/red/0.png", "--model", MODEL)
    assert "red/0.png" in said.out and "Warning" not in said.err
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "(it has too many pixels (1024))" in shop("predict", "monday/red/0.png", "--model", MODEL).out


def test_taking_back_quotes_the_path_of_a_model(shop: Negreplay):
    MODEL.rename("my shop.safetensors")
    said = shop("rename", "red", "rose", "--model", "my shop.safetensors").out
    assert "`negreplay undo --model 'my shop.safetensors'` takes it back" in said


def test_a_lesson_of_known_pictures_leaves_both_versions(shop: Negreplay):
    shop("rename", "red", "rose", "--model", MODEL)
    Path("monday/red").rename("monday/rose")
    contents = MODEL.read_bytes(), before(MODEL).read_bytes()
    assert "learned 0 pictures, 120 pictures that it knew" in shop("learn", "monday", "--model", MODEL).out
    assert (MODEL.read_bytes(), before(MODEL).read_bytes()) == contents
