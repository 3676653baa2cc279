"""What a user meets: every command, and for every mistake one sentence, exit code 2 and nothing half-written."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CLASSES, Negreplay, digits, file_of, numbers, photographs, pretrained, small_disk, spawned, tree
from tiny import unfinished as unfinished_in

from negreplay import cli
from negreplay.build import read_study
from negreplay.errors import UserError
from negreplay.recipe import Phase, Study
from negreplay.recipes import STUDIES

HOPELESS = Phase(epochs=1, lr_features=1e30, lr_head=1e30)


@pytest.fixture
def negreplay(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Negreplay:
    """Commands in this process, in an empty folder, with a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Negreplay(monkeypatch, capfd)


def run(negreplay: Negreplay, study: Study, *more: object, out: str = "out", data: Path = Path()):
    return negreplay("run", file_of(study, Path()), "--out", out, "--data", data, "--jobs", 1, *more)


def refused(negreplay: Negreplay, study: Study, *more: object, data: Path = Path()) -> str:
    """The sentence with which a run is refused at its start; it leaves no folder, nor anything else."""
    before = set(Path().rglob("*"))
    sentence = run(negreplay, study, *more, data=data).sentence()
    assert set(Path().rglob("*")) - before <= {Path("study-to-run.json")}
    return sentence


# Commands that succeed


def test_a_run_leaves_a_table_and_a_report(negreplay: Negreplay):
    done = run(negreplay, digits("no-replay", "nr-gd"))
    assert done.code == 0 and done.err == ""
    assert "NR-GD" in done.out and "report: out/report.html" in done.out
    assert "nr-gd seed 0  experience 3/3  accuracy" in done.out
    assert [(row["arm"], row["experience"]) for row in numbers(Path("out"))] == [
        (arm, str(experience)) for arm in ("no-replay", "nr-gd") for experience in range(3)
    ]
    assert {path.name for path in Path("out").iterdir()} == {
        *("study.json", "run.json", "checkpoints", "results.csv"),
        *("report.html", "curves-whole.png", "curves-growing.png"),
    }


def test_the_default_folder_is_never_an_old_one(negreplay: Negreplay):
    file = file_of(digits("no-replay"), Path())
    for folder in ("runs/tiny", "runs/tiny-2"):
        assert f"report: {folder}/report.html" in negreplay("run", file, "--jobs", 1).out


def test_arms_and_seeds_can_be_chosen(negreplay: Negreplay):
    assert run(negreplay, digits(), "--arms", "nr-od", "no-replay", "--seeds", 4, 2).code == 0
    study = read_study(Path("out/study.json"))
    assert [recipe.name for recipe in study.recipes] == ["no-replay", "nr-od"] and study.seeds == (4, 2)
    assert {(row["arm"], row["seed"]) for row in numbers(Path("out"))} == {
        (arm, seed) for arm in ("no-replay", "nr-od") for seed in "42"
    }


def test_resuming_a_finished_run_only_reports_again(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    before, checkpoint = Path("out/results.csv").read_text(), Path("out/checkpoints/no-replay-0.safetensors")
    written = checkpoint.stat().st_mtime_ns
    assert negreplay("resume", "out").code == 0
    assert Path("out/results.csv").read_text() == before and checkpoint.stat().st_mtime_ns == written


def test_list_names_all_studies(negreplay: Negreplay):
    listed = json.loads(negreplay("list", "--json").out)
    assert [study["name"] for study in listed] == [study.name for study in STUDIES]
    for shown, study in zip(listed, STUDIES, strict=True):
        assert shown["arms"] == [recipe.name for recipe in study.recipes]
        for name in ("seeds", "reproduces"):
            assert shown[name] == list(getattr(study, name))
        assert (shown["summary"], shown["hours"], shown["on"]) == (study.summary, study.hours, study.on)


def test_list_is_readable_in_100_columns(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = negreplay("list").out
    assert max(map(len, shown.splitlines())) <= 100 and "…" not in shown
    words = " ".join(shown.split())
    for study in STUDIES:
        arms, seeds = (" ".join(map(str, found)) for found in ([r.name for r in study.recipes], study.seeds))
        plan = f"{study.name} {study.summary} arms {arms}; seeds {seeds} about {study.hours:g} hours on {study.on}"
        assert plan + (f"; gives {' '.join(study.reproduces)}" if study.reproduces else "") in words


@pytest.mark.parametrize("study", STUDIES, ids=[study.name for study in STUDIES])
def test_what_show_prints_as_json_is_the_same_study(negreplay: Negreplay, study: Study):
    shown = negreplay("show", study.name, "--json")
    Path("shown.json").write_text(shown.out)
    assert read_study(Path("shown.json")) == study
    assert negreplay("show", "shown.json", "--json") == shown


def test_run_takes_back_what_show_prints(negreplay: Negreplay):
    shown = negreplay("show", file_of(digits("no-replay"), Path()), "--json").out
    Path("shown.json").write_text(shown)
    assert negreplay("run", "shown.json", "--out", "out", "--jobs", 1).code == 0
    assert read_study(Path("out/study.json")) == digits("no-replay")


def test_show_prints_every_setting(negreplay: Negreplay):
    shown = negreplay("show", "digits").out
    for field in ("replay_layer", "lr_features", "per_minibatch", "latent_dim", "weight_decay", "seeds"):
        assert field in shown


def test_report_writes_anew_and_prints(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    before = Path("out/results.csv").read_text()
    for name in ("results.csv", "report.html", "curves-whole.png"):
        Path("out", name).unlink()
    done = negreplay("report", "out")
    assert done.code == 0 and "No replay" in done.out
    assert Path("out/results.csv").read_text() == before and Path("out/report.html").exists()
    found = json.loads(negreplay("report", "out", "--json").out)
    assert set(found) == {"study", "summaries", "rows"} and len(found["rows"]) == 3
    assert found["study"] == json.loads(json.dumps(asdict(digits("no-replay"))))


def test_report_fills_a_table_and_a_figure_of_the_paper(negreplay: Negreplay):
    run(negreplay, replace(digits("no-replay"), name="cifar50-nc"), out="runs/changed")
    done = negreplay("report", "table2")
    assert done.code == 0 and "60.99 ± 0.49" in done.out and "page: runs/table2.html" in done.out
    assert "* cifar50-nc" not in done.out  # its settings are not those of the study of that name
    found = json.loads(negreplay("report", "figure4", "--runs", "runs", "--json").out)
    assert found["panels"][0]["study"] is None and Path("runs/figure4.html").exists()
    assert "did you mean 'figure9'?" in negreplay("report", "figur9").sentence()


def test_help_and_list_import_no_torch():
    code = "import sys\nfrom negreplay.cli import main\ntry:\n    main()\nfinally:\n    print(sorted(sys.modules))"
    for arguments in (["--help"], ["run", "--help"], ["list"], ["list", "--json"], ["show", "digits"]):
        environment = os.environ | {"COLUMNS": "100"}
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert ran.returncode == 0, ran.stderr
        assert "'negreplay.cli'" in ran.stdout
        for module in ("torch", "numpy", "pydantic", "matplotlib", "PIL", "sklearn", "negreplay.run"):
            assert f"'{module}'" not in ran.stdout, module


# Mistakes on the command line


def test_an_unknown_study(negreplay: Negreplay):
    assert "did you mean 'digits'?" in negreplay("run", "digts").sentence()
    assert "choose one of digits, cifar50-nc" in negreplay("show", "birds").sentence()
    assert "there is no file no.json" in negreplay("run", "no.json").sentence()
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--arms", "nr-gdd"], "has no arm 'nr-gdd': did you mean 'nr-gd'?"),
        (["--arms", "x"], "choose one of no-replay, pr-od"),
        (["--seeds", -1], "study.seeds is (-1,): give numbers "),
        (["--seeds", 1, 1], "give each seed once."),
        (["--device", "gpu"], "--device is 'gpu': give cpu or cuda."),
        (["--device", "cuda:nonsense"], "not usable here"),
        (["--out", "study-to-run.json/out"], "cannot be written (Not a directory): free some space, or choose"),
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
    assert "--device is cuda, which is not usable here" in refused(negreplay, digits(), "--device", "cuda")


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
        (('"backbone": "small"', '"backbone": "vgg"'), "classifier.backbone is 'vgg': give mobilenet_v1 or small."),
        (('"memory": 30', '"memory": 0'), "replay.memory is 0: give 1 pattern or more, or source none."),
        (('"per_minibatch": null', '"per_minibatch": 128'), "fewer than learner.minibatch (128)"),
        (('"minibatch": 128', '"minibatch": 0'), "learner.minibatch is 0: give 1 or more."),
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


def test_a_network_that_does_not_fit_the_images(negreplay: Negreplay, tmp_path: Path):
    tree(tmp_path)
    study = photographs("nr-gd", classifier=digits().recipes[0].classifier)
    assert "arm 'nr-gd' cannot be built (" in refused(negreplay, study)


def test_every_arm_is_looked_at_before_the_first_one_learns(negreplay: Negreplay):
    study = digits("no-replay", "nr-od")
    last = replace(study.recipes[1], classifier=replace(study.recipes[1].classifier, replay_layer="conv9"))
    assert "conv9" in refused(negreplay, replace(study, recipes=(study.recipes[0], last)))


# Mistakes in the images


def test_images_that_are_not_there(negreplay: Negreplay):
    assert "the images 'pets' are not in" in refused(negreplay, photographs(), data=Path("nowhere"))
    assert "--data PATH" in refused(negreplay, photographs())


def test_weights_that_are_not_there_or_damaged(negreplay: Negreplay, tmp_path: Path):
    tree(tmp_path)
    classifier = replace(photographs().recipes[0].classifier, weights=pretrained(tmp_path))
    study, file = photographs("no-replay", classifier=classifier), tmp_path / "small.safetensors"
    assert "--weights PATH" in refused(negreplay, study, "--weights", "nowhere")
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
        (_empty, "the folder train/cat holds no images: add some, or remove the folder."),
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
    # With seed 0 the class that comes last is found in the whole run: there the shares have a value for the first time.
    shares = numbers(Path("whole"))[1]["per_class"].split()
    image = pets / "train" / CLASSES[shares.index("-")] / "3.png"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    failed = run(negreplay, study, "--store", store)
    assert failed.sentence().startswith(f"{image} is no readable image")
    assert Path("out/study.json").exists() and not Path("out/results.csv").exists() and not unfinished_in(Path())
    assert Path("out/checkpoints").exists() == (store == "None")  # the store met it before anything was learned
    image.write_bytes(content)
    assert negreplay("resume", "out").code == 0
    assert numbers(Path("out")) == numbers(Path("whole"))


def test_images_of_any_kind_are_welcome(negreplay: Negreplay, tmp_path: Path):
    cats = tree(tmp_path) / "train" / "cat"
    Image.new("L", (20, 9), 90).save(cats / "grey.png")
    Image.new("CMYK", (9, 20), (10, 20, 30, 40)).save(cats / "cmyk.jpg")
    Image.fromarray(np.full((16, 16), 40000, dtype=np.uint16)).save(cats / "sixteen.png")
    (cats / "notes.txt").write_text("no image, and no trouble")
    assert run(negreplay, photographs("nr-od")).code == 0


def test_one_image_and_a_memory_larger_than_the_data(negreplay: Negreplay, tmp_path: Path):
    """Experiences of one image each, from which 50 patterns are to be kept."""
    tree(tmp_path, images=1)
    study = photographs("pr-od", "nr-od", "nr-gd", "nr-rd")
    recipes = tuple(replace(recipe, replay=replace(recipe.replay, memory=50)) for recipe in study.recipes)
    done = run(negreplay, replace(study, recipes=recipes))
    assert done.code == 0 and done.err == ""
    assert len(numbers(Path("out"))) == 4 * 3


# Mistakes that show while it learns


def test_a_loss_that_is_not_a_number(negreplay: Negreplay):
    sentence = run(negreplay, digits("no-replay", first=HOPELESS)).sentence()
    assert "the classifier's loss became nan at step" in sentence and "lower its learning rate." in sentence
    assert not Path("out/results.csv").exists() and not unfinished_in(Path())


def test_a_loss_that_is_not_a_number_in_another_process(tmp_path: Path):
    file = file_of(digits("no-replay", "nr-od", first=HOPELESS), tmp_path)
    failed = spawned("run", file, "--out", tmp_path / "out", "--jobs", 2)
    assert "loss became nan" in failed.sentence()
    assert not (tmp_path / "out" / "results.csv").exists()


def test_a_damaged_run_is_refused(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    before = Path("out/run.json").read_text()
    for content in (
        "",
        before[:-9],
        "[]",
        "{}",
        before.replace('"data": ', '"date": '),
        before.replace('"jobs": ', '"jobs": "x'),
    ):
        Path("out/run.json").write_text(content)
        assert negreplay("resume", "out").sentence().startswith("out/run.json cannot be read (")
    Path("out/run.json").unlink()
    assert "out/run.json cannot be read (it is missing): restore it" in negreplay("report", "out").sentence()


@pytest.mark.parametrize("name", ["resume", "report"])
def test_a_damaged_checkpoint_is_refused(negreplay: Negreplay, name: str):
    run(negreplay, digits("no-replay"))
    checkpoint, table = Path("out/checkpoints/no-replay-0.safetensors"), Path("out/results.csv").read_text()
    for content in (b"", checkpoint.read_bytes()[:-1], b"something else"):
        checkpoint.write_bytes(content)
        sentence = negreplay(name, "out").sentence()
        assert str(checkpoint) in sentence and "remove it to start this arm anew." in sentence
    assert Path("out/results.csv").read_text() == table


def test_a_damaged_study_is_refused(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    Path("out/study.json").write_text("{}")
    assert "out/study.json: name: Field required: add it." in negreplay("resume", "out").sentence()


def test_a_folder_that_cannot_be_written_leaves_no_run(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    """The second of the two files that begin a run fails, as on a disk that fills just then."""
    from negreplay import run as runs

    def write(path: Path, content: bytes) -> None:
        if path.name == "study.json":
            raise UserError("no space.")
        path.parent.mkdir()
        path.write_bytes(content)

    monkeypatch.setattr(runs, "write_whole", write)
    assert refused(negreplay, digits("no-replay")) == "no space."


# A full disk


def fill(disk: Path, left: int) -> Path:
    """Fills a disk but for so many bytes."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"0" * (shutil.disk_usage(disk).free - left))
    return ballast


def test_a_disk_that_is_full_at_a_checkpoint(negreplay: Negreplay):
    study = digits("no-replay", "nr-od")
    run(negreplay, study, out="whole")
    with small_disk("2m") as disk:
        one = Path("whole/checkpoints/no-replay-0.safetensors").stat().st_size
        ballast = fill(disk, left=one * 3 // 2 + 40_000)
        failed = run(negreplay, study, out=str(disk / "out"))
        assert "cannot be written (No space left on device): free some space" in failed.sentence()
        assert not unfinished_in(disk) and not (disk / "out" / "results.csv").exists()
        assert negreplay("report", disk / "out").code in (0, 2)
        ballast.unlink()
        assert negreplay("resume", disk / "out").code == 0
        assert numbers(disk / "out") == numbers(Path("whole"))


def test_a_disk_that_is_full_at_the_report(negreplay: Negreplay):
    with small_disk("3m") as disk:
        run(negreplay, digits("no-replay"), out=str(disk / "out"))
        before = {path: path.read_bytes() for path in (disk / "out").rglob("*") if path.is_file()}
        fill(disk, left=4096)
        sentence = negreplay("report", disk / "out").sentence()
        assert "cannot be written (No space left on device)" in sentence
        assert before == {path: path.read_bytes() for path in (disk / "out").rglob("*") if path.is_file()}


def test_a_disk_that_is_full_at_the_start(negreplay: Negreplay):
    with small_disk("64k") as disk:
        fill(disk, left=0)
        sentence = run(negreplay, digits("no-replay"), out=str(disk / "out")).sentence()
        assert "cannot be written (No space left on device)" in sentence
        assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_disk_that_is_full_at_the_store(negreplay: Negreplay, tmp_path: Path):
    tree(tmp_path)
    with small_disk("32k") as disk:
        failed = run(negreplay, photographs("no-replay"), "--store", disk / "latents")
        assert f"{disk / 'latents'} cannot hold the latents, which need 1 MB (No space left on device)" in failed.err
        assert failed.sentence() and not list(disk.rglob("*.*"))
        assert not Path("out/results.csv").exists()


# What is not the user's mistake


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "x.json"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (OSError(errno.EFBIG, "File too large"), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=["permission", "space", "size", "interrupt"],
)
def test_what_the_system_refuses_is_said_in_a_sentence(
    negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
):
    def fail(name: str) -> Study:
        raise error

    monkeypatch.setattr(cli, "_study", fail)
    failed = negreplay("show", "digits")
    assert failed.code == code and len(failed.err.splitlines()) == 1 and failed.out == ""


def test_our_own_mistakes_are_not_hidden(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    for error in (OSError("some call failed"), ValueError("a bug")):

        def fail(name: str, error: Exception = error) -> Study:
            raise error

        monkeypatch.setattr(cli, "_study", fail)
        with pytest.raises(type(error), match=str(error)):
            negreplay("show", "digits")
