"""A user's mistake is one sentence, exit code 2 and nothing half-written; a mistake of ours is not hidden."""

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import Negreplay, digits, file_of, refused, run, spawned
from tiny import unfinished as unfinished_in

from negreplay import prepare
from negreplay.cli import studies
from negreplay.recipe import PhaseRecipe, Study

HOPELESS = PhaseRecipe(epochs=1, lr_features=1e30, lr_head=1e30)


# Mistakes on the command line


def test_an_unknown_study(negreplay: Negreplay):
    assert "did you mean 'digits'?" in negreplay("run", "digts").sentence()
    assert "choose one of digits, cifar50-nc" in negreplay("show", "birds").sentence()
    file_of(digits("no-replay"), Path())
    assert "did you mean 'study-to-run.json'?" in negreplay("run", "study-to-run").sentence()
    assert "there is no file no.json" in negreplay("run", "no.json").sentence()
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--arms", "nr-gdd"], "has no arm 'nr-gdd': did you mean 'nr-gd'?"),
        (["--arms", "x"], "choose one of no-replay, pr-od"),
        (["--seeds", -1], "study.seeds is (-1,): give numbers "),
        (["--seeds", 1, 1], "give each seed once."),
        (["--device", "gpu"], "the device is 'gpu': cpu can be used here."),
        (["--device", "cuda:nonsense"], "not usable here"),
        (
            ["--out", "study-to-run.json/out"],
            "study-to-run.json/out cannot be written (Not a directory): choose a folder that can be written.",
        ),
    ],
    ids=" ".join(["arm", "arms", "negative", "twice", "device", "devices", "out"]).split(),
)
def test_a_wrong_flag(negreplay: Negreplay, flags: list[object], expected: str):
    assert expected in refused(negreplay, digits(), *flags)


def test_jobs_cannot_be_negative(negreplay: Negreplay):
    sentence = refused(negreplay, digits(), "--jobs", -2)
    assert sentence == "--jobs is -2: give 1 or more, or 0 to choose for you."


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(negreplay: Negreplay):
    assert "the device cuda is not usable here (" in refused(negreplay, digits(), "--device", "cuda")
    run(negreplay, digits("no-replay"))
    settings = Path("out/run.json")
    settings.write_text(settings.read_text().replace('"name": "cpu"', '"name": "cuda"'))
    sentence = negreplay("resume", "out").sentence()
    assert sentence.endswith("): resume the run on a machine that has it, or run the study in another folder.")


def test_an_unknown_flag_or_command_is_named(negreplay: Negreplay):
    for arguments, named in ((["run", "digits", "--sed", 1], "--seeds"), (["lst"], "list"), ([], "run")):
        failed = negreplay(*arguments)
        assert failed.code == 2 and named in failed.err and "Traceback" not in failed.err


def test_a_run_is_not_overwritten(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    assert "continue it with `negreplay resume out`" in run(negreplay, digits("nr-od")).sentence()
    assert before == {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["resume", "report"])
def test_a_folder_without_a_run(negreplay: Negreplay, name: str):
    Path("empty").mkdir()
    for folder in ("empty", "nowhere"):
        assert negreplay(name, folder).sentence() == (
            f"{folder} holds no run: give the folder that `negreplay run` wrote."
        )
    assert not list(Path("empty").iterdir())


# Mistakes in a study.json


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('"epochs": 1', '"epochs": 0'), "phase.epochs is 0: give 1 or more."),
        (('"epochs": 1', '"epochs": "many"'), "recipes.0.first.epochs: Input should be a valid integer"),
        (('"epochs"', '"epoch"'), "recipes.0.first.epoch"),
        (('"seeds"', '"seed"'), "seed"),
        (('"scenario": "new-classes"', '"scenario": "nc"'), "recipes.0.stream.scenario"),
        (('"first_classes": 4', '"first_classes": 11'), "stream.first_classes is 11, but the data has 10 classes"),
        (('"replay_layer": "conv2"', '"replay_layer": "conf2"'), "no layer 'conf2': did you mean 'conv2'?"),
        (('"backbone": "small"', '"backbone": "vgg"'), "classifier.backbone is 'vgg': give mobilenet_v1, resnet18, "),
        (('"memory": 30', '"memory": 0'), "replay.memory is 0: give 1 pattern or more, or source none."),
        (('"per_minibatch": null', '"per_minibatch": 128'), "fewer than optimizer.minibatch (128)"),
        (('"minibatch": 128', '"minibatch": 0'), "optimizer.minibatch is 0: give 1 or more."),
        (('"lr_head": 0.05', '"lr_head": -1'), "phase.lr_head is -1.0: give "),
        (('"data": "digits"', '"data": "letters"'), "'letters' are not in"),
        (("{", "["), "Invalid JSON"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_wrong_field(negreplay: Negreplay, change: tuple[str, str], expected: str):
    study = digits("nr-od")
    sentence = negreplay("run", file_of(study, Path(), change), "--out", "out", "--jobs", 1, "--data", ".").sentence()
    assert expected in sentence
    assert [path.name for path in Path().iterdir()] == ["study-to-run.json"]


def test_a_generator_whose_share_fills_its_minibatch(negreplay: Negreplay):
    file = file_of(
        digits("nr-gd"), Path(), ('"per_minibatch": null,\n        "epochs"', '"per_minibatch": 128, "epochs"')
    )
    assert "generator.per_minibatch is 128: give 1 to 127" in negreplay("run", file).sentence()


def test_a_memory_that_fits_nowhere(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    def build(*_: object, **__: object) -> None:
        raise RuntimeError("not enough memory: you tried to allocate 80 GB.")

    monkeypatch.setattr(prepare, "build_learner", build)
    sentence = refused(negreplay, digits("nr-od"))
    assert "arm 'nr-od' cannot be built (not enough memory: you tried to allocate 80 GB.)" in sentence


def test_every_arm_is_looked_at_before_the_first_one_learns(negreplay: Negreplay):
    study = digits("no-replay", "nr-od")
    last = replace(study.recipes[1], classifier=replace(study.recipes[1].classifier, replay_layer="conv9"))
    assert "conv9" in refused(negreplay, replace(study, recipes=(study.recipes[0], last)))


def test_a_study_that_is_a_pipe_or_a_folder_or_too_large(negreplay: Negreplay):
    os.mkfifo("pipe.json")
    Path("folder.json").mkdir()
    with Path("large.json").open("wb") as file:
        file.truncate(10**12)
    for name, reason in (("pipe", "no regular file"), ("folder", "no regular file"), ("large", "1000000 MB, and at")):
        assert re.match(
            rf"{name}\.json cannot be read \(it (is|has) {reason}", negreplay("show", f"{name}.json").sentence()
        )


def test_a_value_of_megabytes_is_cut_in_the_sentence(negreplay: Negreplay):
    Path("x.json").write_text(json.dumps({"like": ["a" * 10**6], "name": "x"}))
    sentence = negreplay("show", "x.json").sentence()
    assert sentence.startswith("x.json: like: Input should be a valid string: it is ['aaaa") and "aa ... aa" in sentence
    assert sentence.endswith("aaaa'].") and len(sentence) < 11_000


# Mistakes that show while it learns


def test_a_loss_that_is_not_a_number(negreplay: Negreplay):
    sentence = run(negreplay, digits("no-replay", first=HOPELESS)).sentence()
    assert "the classifier's loss became nan at step" in sentence and "lower its learning rate, or" in sentence
    assert not Path("out/results.csv").exists() and not unfinished_in(Path())


@pytest.mark.long  # tests/engines/test_dispatch.py has it without the processes
def test_a_loss_that_is_not_a_number_in_another_process(tmp_path: Path):
    file = file_of(digits("no-replay", "nr-od", first=HOPELESS), tmp_path)
    failed = spawned("run", file, "--out", tmp_path / "out", "--jobs", 2)
    *others, last = failed.err.splitlines()
    assert failed.code == 2 and re.match("negreplay: (no-replay|nr-od) with seed 0 failed .*loss became nan", last)
    assert all(line.endswith(": the others go on.") for line in others) and len(others) <= 1
    assert last.endswith(f"; `negreplay resume {tmp_path}/out` tries again.") and last.count("loss became nan") == 2
    assert not (tmp_path / "out" / "report.html").exists()


# What is not the user's mistake


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "x.json"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (OSError(errno.EFBIG, "File too large"), 2),
        (MemoryError(), 2),
        (KeyboardInterrupt(), 130),
        (KeyboardInterrupt("stopped \x1b[31m"), 130),
    ],
    ids=["permission", "space", "size", "memory", "interrupt", "interrupt with a name"],
)
def test_what_the_system_refuses_is_said_in_a_sentence(
    negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
):
    def fail(name: str) -> Study:
        raise error

    monkeypatch.setattr(studies, "named_study", fail)
    failed = negreplay("show", "digits")
    assert failed.code == code and len(failed.err.splitlines()) == 1 and failed.out == "" and "\x1b" not in failed.err


def test_our_own_mistakes_are_not_hidden(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    for error in (OSError("some call failed"), ValueError("a bug")):

        def fail(name: str, error: Exception = error) -> Study:
            raise error

        monkeypatch.setattr(studies, "named_study", fail)
        with pytest.raises(type(error), match=str(error)):
            negreplay("show", "digits")


def test_a_sentence_steers_no_terminal(negreplay: Negreplay):
    sentence = negreplay("show", "\x1b[31mred\n").sentence()
    assert sentence.startswith("there is no study '\\x1b[31mred\\n'")
    assert negreplay("show", "\x1b]0;x.json").sentence().startswith("there is no file \\x1b]0;x.json")


@pytest.mark.parametrize("name", ["../../x", "/abs/x", ".x", "a/b", "\x1b[31m", ""])
def test_the_name_of_a_study_leads_nowhere_else(negreplay: Negreplay, name: str):
    file = file_of(digits("no-replay"), Path(), ('"name": "tiny"', f'"name": {json.dumps(name)}'))
    assert "give letters, digits, '.', '-' and '_' only" in negreplay("run", file).sentence()
    assert not Path("runs").exists()
