"""A cluster on this machine, one of whose workers is killed in the midst of a cell: the run completes to the bit."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from started import started, wait_for
from tiny import digits, file_of, numbers, spawned

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


@contextmanager
def in_the_midst(folder: Path, on: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """A run of which nr-gd has saved inside an experience; warnings of Ray and submitit are not ours."""
    typed = "run", file_of(STUDY, folder), "--out", folder / "out", "--jobs", 2, "--save-every", 0.01, "--on", *on
    with started(*typed, warnings="default") as process:
        wait_for(lambda: list(folder.glob("out/checkpoints/nr-gd-0.inside.safetensors")), process, PATIENCE)
        yield process


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
    with in_the_midst(tmp_path, on) as process:
        killed = workers(process, out, on)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "negreplay: nr-gd with seed 0 was not finished (" in err and "tried again from its last checkpoint" in err
    assert numbers(out) == numbers(whole) and len(numbers(out)) == 6
    assert (out / "report.html").exists() and not list(out.glob("workers/*.jsonl"))


@pytest.mark.parametrize("on", CLUSTERS, ids=["ray", "slurm"])
def test_ctrl_c_ends_workers_that_saved_and_resume_goes_on_elsewhere(whole: Path, tmp_path: Path, on: list[str]):
    out = tmp_path / "out"
    with in_the_midst(tmp_path, on) as process:
        at_work = workers(process, out, on)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130 and err.endswith(f"stopped; `negreplay resume {out}` goes on.\n")
        assert at_work and not any(pid in workers(process, out, on) for pid in at_work)
    position = read_position(out / "checkpoints/nr-gd-0.safetensors")
    assert position.taken or position.learned
    assert spawned("resume", out, "--on", "local", "--jobs", 2).code == 0
    assert numbers(out) == numbers(whole)
