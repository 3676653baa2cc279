"""A run that is stopped at any moment, or killed while it writes, goes on from there with equal bits.

Kills at other moments are in `test_kills.py`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from started import started, wait_for
from tiny import Negreplay, digits, environment, file_of, numbers, unfinished

from negreplay.engines import local
from negreplay.errors import UserError
from negreplay.learn import learn, report
from negreplay.positions import Position, read_position
from negreplay.prepare import Places
from negreplay.results.table import read_rows
from negreplay.run import progress_of, reopen
from negreplay.starting import start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")

STUDY = digits("no-replay", "nr-gd", iterations=25)
MANY = max(2, os.cpu_count() or 1)
"""With so many jobs each process has one thread, as this one has: on more, sums are rounded otherwise."""
PATIENCE = 120.0
"""Seconds after which a test gives up; on an idle machine none takes ten."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    run = start(folder, STUDY, places(folder), 1, "negreplay run")
    list(learn(run))
    report(run, ())
    return folder


def places(folder: Path) -> Places:
    return Places(folder / "data", folder / "weights", None)


def processes(column: str, value: int) -> dict[int, str]:
    """Commands by process id where a column of `ps` has a value; without those that are dead but for their entry."""
    columns = ["ps", "-A", "-ww", *(part for name in (column, "pid", "stat", "args") for part in ("-o", f"{name}="))]
    listed = subprocess.run(columns, capture_output=True, text=True, check=True).stdout
    found = [line.split(maxsplit=3) for line in listed.splitlines()]
    return {int(f[1]): f[-1] for f in found if int(f[0]) == value and not f[2].startswith("Z")}


def workers(process: "subprocess.Popen[str]") -> list[int]:
    return [pid for pid, command in processes("ppid", process.pid).items() if "spawn_main" in command]


def survivors(group: int) -> dict[int, str]:
    """What is left of a process group, for which it has ten seconds."""
    end = time.monotonic() + 10
    while (left := processes("pgid", group)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


DYING = """
import os, resource, signal, sys
from negreplay.cli.main import main

def die_before_renaming(event, args):
    if event == "os.rename" and str(args[1]).endswith("nr-gd-0.safetensors"):
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "renaming":
    sys.addaudithook(die_before_renaming)
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv[:2] = ["negreplay"]
main()
"""
"""The command, killed by the system when a file grows beyond a limit, or just before a whole file gets its name."""


@pytest.mark.long  # the kills of tests/test_kills.py, drawn by chance, meet both moments too
@pytest.mark.parametrize("moment", ["writing", "renaming"])
def test_a_run_killed_in_the_midst_of_a_checkpoint_resumes_to_the_bit(negreplay: Negreplay, whole: Path, moment: str):
    small, large = ((whole / f"checkpoints/{arm}-0.safetensors").stat().st_size for arm in ("no-replay", "nr-gd"))
    assert small < large / 2, "only the checkpoint with a generator exceeds the limit"
    die = [sys.executable, "-c", DYING, str(large // 2) if moment == "writing" else "renaming"]
    run = ["run", str(file_of(STUDY, Path())), "--out", "out", "--jobs", "1"]
    died = subprocess.run([*die, *run], capture_output=True, text=True, env=environment())
    assert died.returncode == -(signal.SIGXFSZ if moment == "writing" else signal.SIGKILL), died.stderr
    (left,) = unfinished(Path("out"))
    part = Path("out/checkpoints", left).stat().st_size
    assert part == large // 2 if moment == "writing" else part > small
    names = {"no-replay-0.safetensors", "no-replay-0.csv", "nr-gd-0.csv", left}
    assert {path.name for path in Path("out/checkpoints").iterdir()} == names
    assert negreplay("resume", "out").code == 0
    assert numbers(Path("out")) == numbers(whole)
    assert not unfinished(Path("out"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
@pytest.mark.parametrize("jobs", [1, MANY], ids=["1", "many"])
def test_a_signal_ends_it_with_a_hint(tmp_path: Path, jobs: int, number: signal.Signals):
    """A terminal sends Ctrl-C to all processes; whoever terminates a program knows its first one.

    A minute is not over, so that what is there of an arm in its midst has been saved because of the signal.
    """
    out = tmp_path / "out"
    with started("run", file_of(STUDY, tmp_path), "--out", out, "--jobs", jobs) as process:
        wait_for(lambda: list(out.glob("checkpoints/*.safetensors")), process)
        if jobs > 1:  # the other arm may still be starting
            wait_for(lambda: "\nnr-gd,0,0," in (out / "results.csv").read_text(), process)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + number
        assert err == f"stopped; `negreplay resume {out}` goes on.\n"
        assert not survivors(process.pid)
    assert not unfinished(out) and 0 < progress_of(reopen(out)) < 2
    if jobs > 1:
        assert read_position(out / "checkpoints/nr-gd-0.safetensors") != Position()


def stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(PATIENCE)


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "PATIENCE", 0.2)
    process = multiprocessing.get_context("fork").Process(target=stubborn)
    process.start()
    engine = local.Processes(1)
    engine.workers.append(cast(local.Worker, SimpleNamespace(process=process)))
    engine.close()
    assert process.exitcode in (-signal.SIGKILL, -signal.SIGTERM)


def test_ctrl_c_while_processes_start_is_as_quiet(tmp_path: Path):
    out = tmp_path / "out"
    with started("run", file_of(STUDY, tmp_path), "--out", out, "--jobs", MANY) as process:
        wait_for(lambda: workers(process), process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert err == f"stopped; `negreplay resume {out}` goes on.\n"
        assert not survivors(process.pid)


def test_an_arm_whose_process_is_killed_is_learned_again(whole: Path, tmp_path: Path):
    out = tmp_path / "out"
    with started("run", file_of(STUDY, tmp_path), "--out", out, "--jobs", MANY, "--save-every", 0) as process:
        wait_for(lambda: list(out.glob("checkpoints/nr-gd-0.safetensors")), process)
        for worker in workers(process):
            os.kill(worker, signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0 and not survivors(process.pid)
    reason = "was not finished (its process was ended by SIGKILL, perhaps for want of memory): it is tried again from"
    lines = err.splitlines()
    assert f"negreplay: nr-gd with seed 0 {reason} its last checkpoint." in lines and len(lines) <= 2
    assert numbers(out) == numbers(whole)


# The library beneath the command line


def test_closing_what_learns_stops_it_between_two_steps(tmp_path: Path):
    run = start(tmp_path / "out", STUDY, places(tmp_path), 1, "negreplay run")
    events = learn(run)
    seen = [next(events) for _ in range(3)]
    events.close()
    assert [event.step.done for event in seen if event.step] == [1, 2, 3]
    assert progress_of(run) == 0
    rest = learn(run)
    assert [event.step.done for event in (next(rest), next(rest)) if event.step] == [4, 5], "where it was closed"
    rest.close()


def test_results_have_each_row_when_it_comes(tmp_path: Path):
    run = start(tmp_path / "out", digits("no-replay", "nr-od"), places(tmp_path), 1, "negreplay run")
    results, rows = tmp_path / "out/results.csv", []
    for event in learn(run):
        if event.row is not None:
            rows.append(event.row)
        assert (read_rows(results) if rows else []) == rows
    assert len(rows) == 6


def test_results_are_right_from_the_start_of_a_resumed_run(tmp_path: Path):
    run = start(tmp_path / "out", digits("no-replay"), places(tmp_path), 1, "negreplay run")
    results = tmp_path / "out/results.csv"
    events = learn(run)
    first = next(event.row for event in events if event.row)
    events.close()
    results.write_bytes(results.read_bytes() + b"no-replay,0,")  # as a kill may leave it
    events = learn(run)
    next(events)
    assert read_rows(results) == [first]
    assert len([event.row for event in events if event.row]) == 2
    assert len(read_rows(results)) == 3


def test_a_report_leaves_results_to_the_process_that_learns(tmp_path: Path):
    run = start(tmp_path / "out", digits("no-replay"), places(tmp_path), 1, "negreplay run", every=0.0)
    events = learn(run)
    next(event for event in events if event.row)
    (tmp_path / "out/results.csv").write_text("x")
    assert len(report(run, ())) == 1 and (tmp_path / "out/results.csv").read_text() == "x"
    events.close()
    report(run, ())
    assert len(read_rows(tmp_path / "out/results.csv")) == 1


def test_a_report_of_a_run_that_learns_says_what_it_shows(negreplay: Negreplay):
    events = learn(start(Path("out"), digits("no-replay"), places(Path()), 1, "negreplay run", every=30.0))
    next(event for event in events if event.row)
    sentence = "The run is being learned: this shows what was saved, up to 0.5 minutes behind."
    assert sentence in negreplay("report", "out").out
    events.close()
    assert sentence not in negreplay("report", "out").out


def test_a_run_reopens_as_it_was_started(tmp_path: Path):
    run = start(tmp_path / "out", STUDY, places(tmp_path), 1, "negreplay run")
    assert reopen(tmp_path / "out") == run


def test_a_run_learns_one_cell_for_each_seed_and_arm(tmp_path: Path):
    run = start(tmp_path / "out", STUDY, places(tmp_path), 1, "negreplay run")
    list(learn(run))
    assert progress_of(run) == len(run.cells()) == 2
    names = {path.name for path in (tmp_path / "out" / "checkpoints").glob("*.safetensors")}
    assert {cell.checkpoint.name for cell in run.cells()} == names, "and of a finished one the last state is left"


def test_nothing_is_written_for_a_run_that_cannot_start(tmp_path: Path):
    for jobs in (0, -1):
        with pytest.raises(UserError, match=f"--jobs is {jobs}"):
            start(tmp_path / "out", STUDY, places(tmp_path), jobs, "negreplay run")
    assert not list(tmp_path.iterdir())


def test_a_run_is_learned_by_one_process_at_a_time(tmp_path: Path):
    run = start(tmp_path / "out", digits("no-replay"), places(tmp_path), 1, "negreplay run")
    first = learn(run)
    next(first)
    with pytest.raises(UserError, match=r"out is being learned by another process: wait for it, or stop it"):
        next(learn(reopen(tmp_path / "out")))
    first.close()
    assert sum(event.row is not None for event in learn(run)) == 3
