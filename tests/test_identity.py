"""A run goes on only with the study, the images and the weights with which it began."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import Negreplay, command, digits, environment, file_of, numbers, photographs, pretrained, run, tree

from negreplay import prepare
from negreplay.builders.streams import build_data
from negreplay.data.data import Data
from negreplay.errors import UserError
from negreplay.identity import identify
from negreplay.learn import learn, report
from negreplay.prepare import Places
from negreplay.recipe import ImageRecipe, StreamRecipe
from negreplay.starting import resume, start


def begun(tmp_path: Path) -> Path:
    """A run of three classes that was stopped after its first experience."""
    tree(tmp_path)
    events = learn(start(tmp_path / "out", photographs("no-replay"), Places(tmp_path, tmp_path, None), 1, "x"))
    assert any(event.step is None for event in events)
    events.close()
    return tmp_path / "out"


def started_with_weights(tmp_path: Path) -> None:
    """A run that begins with a file of weights, which lies beside its images."""
    tree(tmp_path)
    study = photographs("no-replay")
    base = study.recipes[0].classifier
    recipe = replace(study.recipes[0], classifier=replace(base, weights=pretrained(tmp_path)))
    start(tmp_path / "out", replace(study, recipes=(recipe,)), Places(tmp_path, tmp_path, None), 1, "x")


def test_a_renamed_class_is_named_and_the_advice_works(tmp_path: Path):
    out = begun(tmp_path)
    for split in ("train", "test"):
        (tmp_path / "pets" / split / "cat").rename(tmp_path / "pets" / split / "wasp")
    with pytest.raises(
        UserError, match=r"lacks the class 'cat' and has the new class 'wasp' since this run began: put"
    ):
        resume(out)
    for split in ("train", "test"):
        (tmp_path / "pets" / split / "wasp").rename(tmp_path / "pets" / split / "cat")
    assert [event.index for event in learn(resume(out)) if event.step is None] == [1, 2]


def test_missing_and_other_images_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, image = begun(tmp_path), tmp_path / "pets/train/dog/0.png"
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(UserError, match=r"pets, training set, of arm no-replay, has 3 images of 'dog' instead of 4"):
        resume(out)
    image.write_bytes(content + b"0")
    assert not capsys.readouterr().err
    resume(out)
    warning = "pets, training set, of arm no-replay, has files of another content than when this run began"
    assert warning in capsys.readouterr().err, "a repaired image may go on, but not in silence"


def test_a_run_goes_on_with_changes_where_this_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = begun(tmp_path)
    (tmp_path / "pets/train/dog/0.png").unlink()
    with pytest.raises(UserError, match="with --changed `negreplay resume` goes on all the same"):
        resume(out)
    run = resume(out, changed=True)
    sentence = (
        "When 0.33 of 1 arms and seeds had been learned, the run went on with changes: the data pets, training set"
    )
    assert sentence in capsys.readouterr().err and run.images[-1].startswith(sentence)
    again = resume(out)
    assert again.images == run.images and not capsys.readouterr().err, "it is asked for once"
    assert [event.index for event in learn(again) if event.step is None] == [1, 2]
    report(again, ())
    assert "3 images of &#39;dog&#39; instead of 4" in (out / "report.html").read_text()


def test_an_edited_study_is_refused(tmp_path: Path):
    out = begun(tmp_path)
    study = out / "study.json"
    study.write_text(study.read_text().replace('"epochs": 1', '"epochs": 2'))
    with pytest.raises(UserError, match=r"study.json has been edited since this run began: put it back as it was"):
        resume(out)


def test_another_file_of_weights_is_refused(tmp_path: Path):
    started_with_weights(tmp_path)
    with (tmp_path / "small.safetensors").open("ab") as file:
        file.write(b"0")
    with pytest.raises(UserError, match=r"weights .*small.safetensors has another content since this run began"):
        resume(tmp_path / "out")


def test_weights_and_images_that_were_moved_are_given_once(tmp_path: Path):
    started_with_weights(tmp_path)
    (tmp_path / "moved").mkdir()
    for name in ("pets", "small.safetensors"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    moved = resume(tmp_path / "out", data=tmp_path / "moved", weights=tmp_path / "moved")
    assert resume(tmp_path / "out").places == moved.places


def test_a_run_of_an_earlier_version_or_another_machine_resumes_with_a_warning(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    path = Path("out/run.json")
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"machine": "a robot"}))
    done = negreplay("resume", "out")
    assert done.code == 0 and "this run began on a robot, and goes on on" in done.err
    path.write_text(json.dumps({name: settings[name] for name in settings if name not in ("identity", "threads")}))
    done = negreplay("resume", "out")
    assert done.code == 0 and "is of an earlier version" in done.err
    path.write_text(json.dumps(settings | {"identity": {"study": 1}}))
    assert negreplay("resume", "out").code == 2


def test_of_two_starts_at_once_one_runs(tmp_path: Path):
    line = command("run", file_of(digits("no-replay"), tmp_path), "--out", tmp_path / "out", "--jobs", 1)
    both = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment()) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], errors
    assert any(w in "".join(errors) for w in ("holds a run already", "is being learned by another process"))


def test_images_that_arms_share_are_described_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Three settings of one folder among six arms, in turn, which a cache of two would open six times."""
    tree(tmp_path)
    study = photographs()
    sides = (32, 48, 64)
    recipes = tuple(
        replace(recipe, stream=replace(recipe.arriving, images=ImageRecipe(sides[i % 3])))
        for i, recipe in enumerate(study.recipes)
    )
    opened: list[int | None] = []

    def build(recipe: StreamRecipe, place: Path) -> tuple[Data, Data]:
        opened.append(recipe.images.size)
        return build_data(recipe, place)

    monkeypatch.setattr(prepare, "build_data", build)
    prepare.open_data.cache_clear()
    data = identify(replace(study, recipes=recipes), Places(tmp_path, tmp_path, None))["data"]
    assert sorted(filter(None, opened)) == [32, 48, 64]
    named = {f"pets, {split} set, of arm {recipe.name}" for recipe in recipes[:3] for split in ("training", "test")}
    assert data.keys() == named


def test_jobs_never_change_a_bit(negreplay: Negreplay):
    study = digits("no-replay", "nr-gd")
    run(negreplay, study)
    assert negreplay("run", file_of(study, Path()), "--out", "two", "--jobs", 2).code == 0
    assert numbers(Path("out")) == numbers(Path("two"))


def test_a_folder_that_was_moved_is_not_made_again(tmp_path: Path):
    events = learn(start(tmp_path / "out", digits("no-replay"), Places(tmp_path, tmp_path, None), 1, "x"))
    next(events)
    (tmp_path / "out").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"cannot be written|was moved or deleted"):
        list(events)
    assert not (tmp_path / "out").exists() and (tmp_path / "moved/study.json").exists()


def test_files_of_others_stay(tmp_path: Path):
    run = start(tmp_path / "out", digits("no-replay"), Places(tmp_path, tmp_path, None), 1, "x")
    for name in (".notes.2024", ".results.csv.negreplay-17"):
        (tmp_path / "out" / name).touch()
    list(learn(run))
    assert (tmp_path / "out/.notes.2024").exists()
    assert not (tmp_path / "out/.results.csv.negreplay-17").exists()
