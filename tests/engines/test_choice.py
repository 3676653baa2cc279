"""What `--on` names."""

import shutil
import sys
from pathlib import Path

import pytest
from tiny import Negreplay, digits, refused

from negreplay.engines.choice import Place, place
from negreplay.errors import UserError


def test_places_and_what_is_asked_of_them():
    assert place(["local"]) == place([]) == Place("local", None, {})
    assert place(["ray", "num_gpus=0.25"]) == Place("ray", None, {"num_gpus": 0.25})
    assert place(["ray://head:10001"]) == Place("ray", "ray://head:10001", {})
    assert place(["slurm", "cluster=local"]).asked == {"cluster": "local"}
    assert [place(on).queues for on in (["local"], ["ray"], ["slurm", "cluster=local"])] == [False, True, False]


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (["slrum"], "--on is 'slrum': did you mean 'slurm'?"),
        (["ray", "num_gpus"], "--on ray num_gpus: num_gpus has no value: give NAME=VALUE"),
        (["local", "a=1"], "--on local a=1: a has no effect on local processes: "),
        (["ray", "gpus=1"], "--on ray: Invalid option keyword gpus for remote functions"),
        (["slurm", "cluster=local", "timeout_min=long"], "--on slurm: "),
        (["slurm", "cluster=local", "partitoin=x"], "--on slurm: Unknown argument 'partitoin'"),
    ],
)
def test_a_wrong_place_is_one_sentence(on: list[str], expected: str):
    with pytest.raises(UserError) as failure:
        place(on)
    assert str(failure.value).startswith(expected) and "\n" not in str(failure.value)


@pytest.mark.skipif(shutil.which("srun") is not None, reason="this machine has Slurm")
def test_without_slurm_nothing_is_written(negreplay: Negreplay):
    assert 'Could not detect "srun"' in refused(negreplay, digits("no-replay"), "--on", "slurm", "partition=gpu")


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_names_the_extra(
    negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch, name: str, package: str
):
    monkeypatch.setitem(sys.modules, package, None)
    sentence = refused(negreplay, digits("no-replay"), "--on", name)
    assert sentence == f"--on {name} needs {package}: pip install 'negreplay[{name}]'."
    assert not Path("out").exists()
