"""Several processes learn one run: they are started, joined, lost, and another number of them goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import Negreplay, command, digits, environment, file_of, numbers

from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.launch import check_ranks, started_outside
from negreplay.learn import learn
from negreplay.prepare import Places
from negreplay.ranks import Ranks
from negreplay.recipe import PhaseRecipe
from negreplay.run import reopen
from negreplay.starting import start

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for as Linux lists them")

STUDY = digits("no-replay", following=PhaseRecipe(3, 0.005, 0.05))


def others_of(folder: Path) -> list[int]:
    """The processes that learn the run in a folder beside the one that leads."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "resume" in words and str(folder) in words:
            found.append(int(place.name))
    return found


def test_a_rank_that_dies_ends_the_run_cleanly_and_one_alone_goes_on(tmp_path: Path, negreplay: Negreplay):
    whole = start(tmp_path / "whole", STUDY, Places(tmp_path, tmp_path, None), 1, "negreplay run")
    list(learn(whole))
    out, file = tmp_path / "out", file_of(STUDY, tmp_path)
    typed = command("run", file, "--out", out, "--ranks", 2, "--store", "None", "--save-every", 0)
    with subprocess.Popen(typed, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as leading:
        while not list(out.glob("checkpoints/*.inside.*")):
            assert leading.poll() is None, leading.communicate()
            time.sleep(0.01)
        (other,) = others_of(out)
        os.kill(other, signal.SIGKILL)
        _, said = leading.communicate(timeout=60)
    assert leading.returncode == 2
    (sentence,) = said.splitlines()
    assert sentence.startswith("negreplay: another of the 2 processes of this run has ended")
    assert others_of(out) == []
    assert reopen(out).ranks == 2
    resumed = negreplay("resume", out, "--ranks", 1)
    assert resumed.code == 0
    assert "this run had 2 ranks, and goes on with 1: its numbers may differ in their last bits" in resumed.err
    assert numbers(out) == numbers(tmp_path / "whole")
    one, two = (load_file(folder / "checkpoints/no-replay-0.safetensors") for folder in (tmp_path / "whole", out))
    rows = one["classifier.head.weight"]
    assert (two["classifier.head.weight"] - rows).abs().max() < 1e-5 * rows.abs().max()


def test_who_has_started_several_processes_is_in_their_environment():
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "4"}
    slurm = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "learn"}
    assert started_outside(torchrun) == Ranks(3, 4)
    assert started_outside(slurm) == Ranks(1, 2)
    assert started_outside({}) is None
    assert started_outside(slurm | {"SLURM_JOB_NAME": "bash"}) is None, "whoever types in an allocation is alone"
    assert started_outside(slurm | {"SLURM_NTASKS": "1"}) is None


@pytest.mark.parametrize(
    ("count", "device", "sentence"),
    [
        (0, "cpu", "--ranks is 0: give 1 or more."),
        (2, "mps", "the device is mps, which several ranks cannot share: give cpu or cuda."),
        (2, "cuda:1", "the device is cuda:1, which several ranks cannot share: give cpu or cuda."),
        (99, "cuda", f"--ranks is 99, but there are {torch.cuda.device_count()} GPUs here: each rank needs one"),
    ],
)
def test_a_number_that_cannot_be(count: int, device: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        check_ranks(count, Device(device))


def test_the_number_is_that_of_those_who_were_started(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="--ranks is 2, but 4 processes were started: give --ranks 4"):
        check_ranks(2, Device())


def test_without_lightning_fabric_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(UserError, match=r"pip install 'negreplay\[ranks\]'"):
        check_ranks(2, Device())


def test_other_machines_get_their_ranks_from_torchrun(tmp_path: Path):
    with pytest.raises(UserError, match="--ranks is 2 and --on is ray: start the ranks by torchrun or srun"):
        start(tmp_path / "out", STUDY, Places(tmp_path, tmp_path, None), 1, "x", on=("ray",), ranks=2)


def test_several_ranks_learn_one_arm_at_a_time(tmp_path: Path):
    with pytest.raises(UserError, match="--ranks is 2 and --jobs is 3: several ranks learn one arm at a time"):
        start(tmp_path / "out", STUDY, Places(tmp_path, tmp_path, None), 3, "x", ranks=2)
