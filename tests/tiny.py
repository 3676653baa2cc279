"""Studies that take a second, small image folders, and the command line as a user meets it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from negreplay.builders.study_files import dump_study
from negreplay.cli.main import main
from negreplay.nets.mobilenet import MobileNetV1
from negreplay.recipe import (
    ClassifierRecipe,
    GeneratorRecipe,
    ImageRecipe,
    OptimizerRecipe,
    PhaseRecipe,
    Recipe,
    Scenario,
    StreamRecipe,
    Study,
    WeightsRecipe,
)
from negreplay.studies.arms import six_arms
from negreplay.studies.digits import NO_REPLAY

MACHINE = ("train_seconds", "generator_seconds", "evaluate_seconds", "peak_bytes")
"""Columns of results.csv that no two runs share."""
PHASES = {
    "first": PhaseRecipe(1, lr_features=0.05, lr_head=0.05),
    "following": PhaseRecipe(1, lr_features=0.005, lr_head=0.05),
}
CLASSES = ("cat", "dog", "eel")


def digits(*arms: str, iterations: int = 3, **changes: Any) -> Study:
    """A study of some arms of the digits study: 4 classes, then 3 and 3; one epoch each. `changes` go to all arms."""
    stream = replace(NO_REPLAY.arriving, first_classes=4, classes=3)
    base = replace(NO_REPLAY, **({"stream": stream, "optimizer": OptimizerRecipe()} | PHASES | changes))
    generator = GeneratorRecipe(width=256, latent_dim=32, first_iterations=iterations, iterations=iterations)
    return _study(base, 30, generator, arms)


def photographs(*arms: str, **changes: Any) -> Study:
    """A study of a folder `pets` as `tree` makes it, on a small MobileNet with a blocked front."""
    base = replace(
        NO_REPLAY,
        stream=StreamRecipe("pets", Scenario.NC, first_classes=1, classes=1, images=ImageRecipe(32)),
        classifier=ClassifierRecipe("mobilenet_v1", "conv3_1/dw", width=0.125),
        optimizer=OptimizerRecipe(),
        **PHASES,
    )
    generator = GeneratorRecipe("conv", width=8, first_iterations=2, iterations=2)
    return _study(replace(base, **changes), 4, generator, arms)


def _study(base: Recipe, memory: int, generator: GeneratorRecipe, arms: tuple[str, ...]) -> Study:
    chosen = tuple(recipe for recipe in six_arms(base, memory, generator) if not arms or recipe.name in arms)
    assert not arms or len(chosen) == len(arms)
    return Study("tiny", "A study that takes a second.", chosen, seeds=(0,))


def file_of(study: Study, folder: Path, change: tuple[str, str] | None = None) -> Path:
    """The study as a file, in which a text is replaced by another one."""
    text = dump_study(study).decode()
    if change is not None:
        assert change[0] in text
        text = text.replace(*change)
    path = folder / "study-to-run.json"
    path.write_text(text)
    return path


def tree(folder: Path, images: int = 4) -> Path:
    """A folder `pets` of three classes, each with 4 (or so many) training images of 16 x 16 and 2 test images."""
    rng = np.random.RandomState(0)
    for split, count in (("train", images), ("test", 2)):
        for c, name in enumerate(CLASSES):
            place = folder / "pets" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.randint(0, 128, (16, 16, 3)) + 60 * c
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return folder / "pets"


def pretrained(folder: Path) -> WeightsRecipe:
    """A file of weights for the network of `photographs`."""
    net = MobileNetV1(0.125)
    names = [name for name, _ in net.named_children() if name.startswith("conv")]
    state = {}
    for key, tensor in net.state_dict().items():
        name, _, rest = key.partition(".")
        if name in names:
            state[f"features.{names.index(name)}.{rest}"] = tensor.contiguous()
    save_file(state, folder / "small.safetensors")
    return WeightsRecipe("small.safetensors")


class Outcome(NamedTuple):
    """What a user sees of a command."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence of a user's mistake, without `negreplay: `."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("negreplay: ") and lines[0].endswith((".", "?")), self.err
        return lines[0].removeprefix("negreplay: ")


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONWARNINGS": "error"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "negreplay", *map(str, arguments)]


def spawned(*arguments: object, **options: Any) -> Outcome:
    """A command in a process of its own."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment(), **options)
    return Outcome(done.returncode, done.stdout, done.stderr)


class Negreplay:
    """Commands in this process, which spares importing torch each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capfd = monkeypatch, capfd

    def __call__(self, *arguments: object) -> Outcome:
        self.capfd.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["negreplay", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as left:
            assert isinstance(left.code, int)
            code = left.code
        finally:
            torch.set_flush_denormal(False)  # a command tunes a process that ends with it; this one goes on
        captured = self.capfd.readouterr()
        return Outcome(code, captured.out, captured.err)


def run(negreplay: Negreplay, study: Study, *more: object, out: str = "out", data: Path = Path()) -> Outcome:
    return negreplay("run", file_of(study, Path()), "--out", out, "--data", data, "--jobs", 1, *more)


def refused(negreplay: Negreplay, study: Study, *more: object, data: Path = Path()) -> str:
    """The sentence with which a run is refused at its start; it leaves no folder, nor anything else."""
    before = set(Path().rglob("*"))
    sentence = run(negreplay, study, *more, data=data).sentence()
    assert set(Path().rglob("*")) - before <= {Path("study-to-run.json")}
    return sentence


def numbers(run: Path) -> list[dict[str, str]]:
    """results.csv without the columns that depend on the machine."""
    header, *lines = (run / "results.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    return [{name: value for name, value in row.items() if name not in MACHINE} for row in rows]


def unfinished(folder: Path) -> list[str]:
    """Files that a writer left behind: none, unless it was killed."""
    return [path.name for path in folder.rglob("*") if re.search(r"\.(tmp|(negreplay-)?(\d+|new|old))$", path.name)]


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A disk of that size, which only a Linux user with the right to mount one has: others skip the test."""
    folder = Path(tempfile.mkdtemp())
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None:
        pytest.skip("a disk can be filled only where one can be mounted")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        folder.rmdir()
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
