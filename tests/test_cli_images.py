"""Images and weights that are missing, spoiled or merely odd."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shards import png, written
from tiny import CLASSES, Negreplay, numbers, photographs, pretrained, refused, run, tree
from tiny import unfinished as unfinished_in

from negreplay.recipe import SLDARecipe


def test_images_that_are_not_there(negreplay: Negreplay):
    assert "the images 'pets' are not in" in refused(negreplay, photographs(), data=Path("nowhere"))
    sentence = refused(negreplay, photographs())
    assert ": put pets or pets.zip or pets.csv there" in sentence
    assert sentence.endswith(", or say where with --data or --weights (docs/images-and-weights.md).")


def test_weights_that_are_not_there_or_damaged(negreplay: Negreplay, tmp_path: Path):
    tree(tmp_path)
    classifier = replace(photographs().recipes[0].classifier, weights=pretrained(tmp_path))
    study, file = photographs("no-replay", classifier=classifier), tmp_path / "small.safetensors"
    assert "nowhere, which is no folder: put small.safetensors there" in refused(
        negreplay, study, "--weights", "nowhere"
    )
    file.write_bytes(file.read_bytes()[:-10])
    assert "download it again" in refused(negreplay, study, "--weights", ".")


def _empty(pets: Path) -> None:
    for path in (pets / "train" / "cat").iterdir():
        path.unlink()


def _untrained(pets: Path) -> None:
    shutil.rmtree(pets / "train" / "eel")


def _untested(pets: Path) -> None:
    shutil.rmtree(pets / "test" / "eel")


def _without_split(pets: Path) -> None:
    shutil.rmtree(pets / "train")


def _unreadable(pets: Path) -> None:
    (pets / "train" / "cat" / "0.png").write_text("no image")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_empty, "the folder train/cat holds no images: add some, or move the folder away."),
        (_untrained, "class 'eel' has no training images: add some, or remove it from the test set."),
        (_untested, "class 'eel' has training images but none to test it"),
        (_without_split, "has no train folder"),
        (_unreadable, "0.png is no readable image"),
    ],
)
def test_spoiled_images(negreplay: Negreplay, tmp_path: Path, spoil: Callable[[Path], None], expected: str):
    spoil(tree(tmp_path))
    assert expected in refused(negreplay, photographs())


@pytest.mark.parametrize("store", ["cache", "None"])
def test_a_truncated_image_met_in_mid_run_can_be_repaired(negreplay: Negreplay, tmp_path: Path, store: str):
    pets = tree(tmp_path)
    study = photographs("no-replay", "nr-od")
    run(negreplay, study, "--store", store, out="whole")
    # The class that comes last is found in the whole run: before the last experience its cell is empty.
    before = numbers(Path("whole"))[1]
    (last,) = (name for name in CLASSES if not before[f"class {name}"])
    image = pets / "train" / last / "3.png"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    failed = run(negreplay, study, "--store", store)
    assert failed.sentence().startswith(f"{image} is no readable image")
    assert Path("out/study.json").exists() and not unfinished_in(Path())
    for name in ("checkpoints", "results.csv"):
        assert Path("out", name).exists() == (store == "None")  # the store met it before anything was learned
    image.write_bytes(content)
    assert negreplay("resume", "out").code == 0
    assert numbers(Path("out")) == numbers(Path("whole"))


def test_images_of_any_kind_are_welcome(negreplay: Negreplay, tmp_path: Path):
    cats = tree(tmp_path) / "train" / "cat"
    Image.new("L", (20, 9), 90).save(cats / "grey.png")
    Image.new("CMYK", (9, 20), (10, 20, 30, 40)).save(cats / "cmyk.jpg")
    Image.fromarray(np.full((16, 16), 40000, dtype=np.uint16)).save(cats / "sixteen.png")
    assert run(negreplay, photographs("nr-od")).code == 0


def test_what_is_left_out_is_said_before_learning_and_in_the_report(negreplay: Negreplay, tmp_path: Path):
    cats = tree(tmp_path) / "train" / "cat"
    (cats / "no\x1bte.heic").write_text("no image")
    done = run(negreplay, photographs("no-replay"))
    counts = "12 training images of 3 classes, 4 of each."
    left_out = r"1 file or folder is left out: train/cat/no\x1bte.heic ("
    assert done.out.splitlines()[0] == counts and done.out.splitlines()[2].startswith(left_out)
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert counts in page and left_out in page
    Path("out/report.html").unlink()
    assert negreplay("report", "out").code == 0 and Path("out/report.html").read_text(encoding="utf-8") == page


def test_one_image_and_a_memory_larger_than_the_data(negreplay: Negreplay, tmp_path: Path):
    """Experiences of one image each, from which 50 patterns are to be kept."""
    tree(tmp_path, images=1)
    study = photographs("pr-od", "nr-od", "nr-gd", "nr-rd")
    recipes = tuple(replace(recipe, replay=replace(recipe.replay, memory=50)) for recipe in study.recipes)
    done = run(negreplay, replace(study, recipes=recipes))
    assert done.code == 0 and done.err == ""
    assert len(numbers(Path("out"))) == 4 * 3


def test_experiences_of_one_image_are_learned_with_plain_batch_norm_too(negreplay: Negreplay, tmp_path: Path):
    """The last maps are 1 x 1, so each channel has a single value in the minibatch."""
    tree(tmp_path, images=1)
    classifier = replace(photographs().recipes[0].classifier, renorm=None)
    done = run(negreplay, photographs("no-replay", classifier=classifier))
    assert done.code == 0 and done.err == ""
    assert len(numbers(Path("out"))) == 3


def test_names_that_are_no_text_or_look_like_markup_come_as_far_as_the_report(negreplay: Negreplay, tmp_path: Path):
    pets = tree(tmp_path)
    for split in ("train", "test"):
        (pets / split / "cat").rename(pets / split / "caf\udce9")
        (pets / split / "dog").rename(pets / split / "d\x1b[1mog")
    done = run(negreplay, replace(photographs("no-replay"), summary="[/b] pets"), out="out [x]")
    assert done.code == 0 and "report: out [x]/report.html" in done.out
    assert r"class caf\udce9,class d\x1b[1mog,class eel" in Path("out [x]/results.csv").read_text(encoding="utf-8")
    page = Path("out [x]/report.html").read_text(encoding="utf-8")
    assert "[/b] pets" in page and r"caf\udce9" in page and r"d\x1b[1mog" in page and "\x1b" not in page


def test_a_run_on_shards_is_stopped_resumed_and_reported(negreplay: Negreplay):
    """The same study on a folder of the same pictures ends the same."""
    written(Path("pets"), label="txt")
    for split, first in (("train", 0), ("test", 100)):
        for i in range(20):
            place = Path("folders/pets") / split / CLASSES[i % 3]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"im{i:04d}.png").write_bytes(png(first + i))
    plain = photographs("no-replay")
    recipe = replace(plain.recipes[0], learner=SLDARecipe(), first=None, following=None)
    study = replace(plain, recipes=(recipe,))
    done = run(negreplay, study)
    assert done.code == 0 and "20 training images of 3 classes" in done.out and Path("out/report.html").exists()
    assert run(negreplay, study, data=Path("folders"), out="plain").code == 0
    assert numbers(Path("out")) == numbers(Path("plain"))
    Path("out/results.csv").unlink()
    assert negreplay("resume", "out").code == 0
    assert numbers(Path("out")) == numbers(Path("plain"))
