"""What a user meets when all is well: every command."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import gettempdir

import pytest
from tiny import Negreplay, digits, file_of, numbers, run

from negreplay import __version__
from negreplay.builders.study_files import read_study
from negreplay.cli.where import cache
from negreplay.recipe import Study
from negreplay.studies import STUDIES


def test_a_run_leaves_a_table_and_a_report(negreplay: Negreplay):
    done = run(negreplay, digits("no-replay", "nr-gd"))
    assert done.code == 0 and done.err == ""
    assert "NR-GD" in done.out and "report: out/report.html" in done.out
    assert "nr-gd seed 0  experience 3/3  accuracy" in done.out
    assert [(row["arm"], row["experience"]) for row in numbers(Path("out"))] == [
        (arm, str(experience)) for arm in ("no-replay", "nr-gd") for experience in range(3)
    ]
    assert {path.name for path in Path("out").iterdir()} == {
        *("study.json", "run.json", "run.lock", "checkpoints", "results.csv"),
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


def test_a_report_names_the_machine_that_learned_not_the_one_that_reports(negreplay: Negreplay):
    run(negreplay, digits("no-replay"))
    path, page = Path("out/run.json"), Path("out/report.html")
    begun = json.loads(path.read_text())["machine"]
    assert begun.endswith(f"negreplay {__version__}") and begun in page.read_text()
    path.write_text(path.read_text().replace(begun, "a robot"))
    assert negreplay("report", "out").code == 0
    assert "a robot" in page.read_text() and begun not in page.read_text()


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
    assert set(found) == {"study", "summaries", "rows", "setbacks"} and len(found["rows"]) == 3
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
    code = "import sys\nfrom negreplay.cli.main import main\ntry:\n    main()\nfinally:\n    print(sorted(sys.modules))"
    for arguments in (["--help"], ["run", "--help"], ["list"], ["list", "--json"], ["show", "digits"]):
        environment = os.environ | {"COLUMNS": "100"}
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert ran.returncode == 0, ran.stderr
        assert "'negreplay.cli.main'" in ran.stdout
        for module in ("torch", "numpy", "pydantic", "matplotlib", "PIL", "sklearn", "negreplay.run"):
            assert f"'{module}'" not in ran.stdout, module


def test_the_version_needs_nothing_heavy():
    code = "import sys\nfrom negreplay.cli.main import main\nmain()\nprint('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert ran.stdout == f"negreplay {__version__}\nFalse\n" and ran.stderr == ""


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch):
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache() == Path(gettempdir()) / "negreplay"
