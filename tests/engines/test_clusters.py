"""A cluster on this machine, one of whose workers is killed in the midst of a cell: the run completes to the bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from tiny import command, digits, environment, file_of, numbers, spawned

from negreplay.positions import read_position

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are looked for in /proc"),
]
STUDY = digits("no-replay", "nr-gd", iterations=200)
CLUSTERS = [["ray"], ["slurm", "cluster=local"]]
PATIENCE = 600.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody disturbs, in the local processes."""
    folder = tmp_path_factory.mktemp("whole")
    assert spawned("run", file_of(STUDY, folder), "--out", folder / "out", "--jobs", 2).code == 0
    return folder / "out"


def started(folder: Path, on: list[str]) -> "subprocess.Popen[str]":
    """A run in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        command("run", file_of(STUDY, folder), "--out", folder / "out", "--jobs", 2, "--save-every", 0.01, "--on", *on),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"PYTHONWARNINGS": "default"},  # those of Ray and submitit are not ours
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def in_the_midst(out: Path, process: "subprocess.Popen[str]") -> None:
    """Waits until nr-gd has saved inside an experience."""
    wait_for(lambda: list(out.glob("checkpoints/nr-gd-0.inside.safetensors")), process)


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def workers(process: "subprocess.Popen[str]", out: Path, on: list[str]) -> list[int]:
    """The worker of Ray that learns nr-gd, or all jobs of submitit."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    if on == ["ray"]:
        return [pid for pid in pids if "ray::nr-gd-0" in words(pid) and descends(pid, process.pid)]
    return [pid for pid in pids if "submitit.core._submit" in words(pid) and str(out) in words(pid)]


def words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


@pytest.mark.parametrize("on", CLUSTERS, ids=["ray", "slurm"])
def test_a_run_whose_worker_is_killed_completes_to_the_bit(whole: Path, tmp_path: Path, on: list[str]):
    out = tmp_path / "out"
    process = started(tmp_path, on)
    try:
        in_the_midst(out, process)
        killed = workers(process, out, on)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, err
    assert "negreplay: nr-gd with seed 0 was not finished (" in err and "tried again from its last checkpoint" in err
    assert numbers(out) == numbers(whole) and len(numbers(out)) == 6
    assert (out / "report.html").exists() and not list(out.glob("workers/*.jsonl"))


@pytest.mark.parametrize("on", CLUSTERS, ids=["ray", "slurm"])
def test_ctrl_c_ends_workers_that_saved_and_resume_goes_on_elsewhere(whole: Path, tmp_path: Path, on: list[str]):
    out = tmp_path / "out"
    process = started(tmp_path, on)
    try:
        in_the_midst(out, process)
        at_work = workers(process, out, on)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130 and err.endswith(f"stopped; `negreplay resume {out}` goes on.\n")
        assert at_work and not any(pid in workers(process, out, on) for pid in at_work)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    position = read_position(out / "checkpoints/nr-gd-0.safetensors")
    assert position.taken or position.learned
    assert spawned("resume", out, "--on", "local", "--jobs", 2).code == 0
    assert numbers(out) == numbers(whole)
