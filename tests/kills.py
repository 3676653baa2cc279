"""Runs that are killed at moments drawn by chance, resumed, and compared with a run that nobody has killed."""

import multiprocessing
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file
from systems import SYSTEMS
from tiny import command, environment, numbers, photographs, unfinished

from negreplay.builders.study_files import dump_study
from negreplay.devices import Device, machine
from negreplay.errors import UserError
from negreplay.files import alone
from negreplay.journal import same
from negreplay.learn import learn
from negreplay.positions import Position, read_position
from negreplay.prepare import Places
from negreplay.recipe import Augment, ImageRecipe, Study
from negreplay.results.table import read_rows
from negreplay.run import LOCK, checkpoint_of, reopen, rows_of
from negreplay.starting import resume, start

STREAM = replace(photographs("no-replay").recipes[0].arriving, images=ImageRecipe(8, augment=Augment.FLIP))
NAMES = {re.sub(r"[\W_]+", "-", name.replace("+", " plus")).strip("-"): of for name, of in SYSTEMS.items()}
ARMS = {name: replace(recipe, name=name, stream=STREAM) for name, recipe in NAMES.items()}
"""Every system as an arm, by its name."""
EXPERIENCES = 3
PAGE = Path(__file__).resolve().parents[1] / "benchmarks" / "reliability_kills.md"
PATIENCE = 300.0
"""Seconds after which a test gives up."""


class Moment(StrEnum):
    """What a process was doing when it was killed."""

    WRITING = "while a checkpoint was written"
    INSIDE = "inside an experience"
    BETWEEN = "between two experiences"


@dataclass(frozen=True)
class Kill:
    """A kill in an arm, or in one after it if the moment was missed there, after so many experiences at least.

    With `everybody` all processes of the run are killed at once, otherwise the first one only.
    """

    arm: str
    moment: Moment
    learned: int
    jobs: int
    everybody: bool


@dataclass(frozen=True)
class Landed:
    """Where a kill has landed, by what it left on the disk."""

    arm: str
    moment: Moment
    jobs: int
    everybody: bool


class Process(Protocol):
    """A started command, whose process is the first of a session of its own."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...


Launch = Callable[[Study, Path, Path, int], Process]
"""Begins a study in a folder, or resumes it if it is there, with images and a number of processes; saves each step."""


def typed(study: Study, folder: Path, data: Path, jobs: int) -> Process:
    """The command, as a user types it."""
    if (folder / "study.json").exists():
        arguments = ["resume", folder]
    else:
        file = folder.with_suffix(".json")
        file.write_bytes(dump_study(study))
        arguments = ["run", file, "--out", folder, "--data", data, "--store", None, "--save-every", 0]
    quiet, line = subprocess.DEVNULL, command(*arguments, "--jobs", jobs)
    return subprocess.Popen(line, stdout=quiet, stderr=quiet, env=environment(), start_new_session=True)


class Forked:
    """What the command does but for the report, in a process that is forked from one that has imported everything."""

    def __init__(self, study: Study, folder: Path, data: Path, jobs: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["negreplay.learn", "negreplay.data.images", "torch._dynamo"])
        self.process = context.Process(target=_learn, args=(study, folder, data, jobs))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode


def _learn(study: Study, folder: Path, data: Path, jobs: int) -> None:
    os.setsid()
    torch.set_num_threads(1)
    exists = (folder / "study.json").exists()
    run = resume(folder, jobs) if exists else start(folder, study, Places(data, data, None), jobs, "x", every=0.0)
    for _ in learn(run):
        pass


def ended(process: Process) -> int:
    """Waits for the end of a process; its exit code."""
    until = time.monotonic() + PATIENCE
    while (code := process.poll()) is None:
        assert time.monotonic() < until, "it never ended"
        time.sleep(0.005)
    return code


def killed(process: Process, folder: Path, study: Study, kill: Kill, rng: random.Random) -> Landed | None:
    """Kills a run at such a moment, for which it is stopped again and again; None if it ended before."""
    arms = [recipe.name for recipe in study.recipes]
    names, begun = arms[arms.index(kill.arm) :], time.time_ns()
    with suppress(ProcessLookupError):  # it has ended
        while process.poll() is None:
            time.sleep(rng.uniform(0.0, 0.02))
            if os.getpgid(process.pid) != process.pid or not (folder / "checkpoints").is_dir():
                continue
            os.killpg(process.pid, signal.SIGSTOP)
            at: list[str] = []
            with suppress(OSError, UserError):  # it takes a moment to stop, and a file has another name now
                active = [arm for arm in names if written(folder, arm) > begun]
                at = [arm for arm in active if moment_of(folder, arm, kill.learned) is kill.moment]
            if at and process.poll() is None:
                return _kill(process, folder, study, at[0], kill)
            os.killpg(process.pid, signal.SIGCONT)
    return None


def _kill(process: Process, folder: Path, study: Study, arm: str, kill: Kill) -> Landed:
    """Kills a run that is stopped; what is left of it goes on then, and has to end by itself."""
    (os.killpg if kill.everybody else os.kill)(process.pid, signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL
    if kill.jobs > 1 and not kill.everybody:
        assert not _free(folder), "stopped processes of the run might write yet"
    positions = [read_position(checkpoint_of(folder, recipe.name, 0)) for recipe in study.recipes]
    assert any(position.learned < EXPERIENCES for position in positions), "the run was finished"
    moment = moment_of(folder, arm, 0)
    assert moment is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
    until = time.monotonic() + 10
    while not _free(folder):
        assert time.monotonic() < until, "what was left of the run has not ended"
        time.sleep(0.002)
    _check_results(folder, study)
    return Landed(arm, moment, kill.jobs, kill.everybody)


def written(folder: Path, arm: str) -> int:
    """When an arm was saved for the last time, in nanoseconds."""
    saved = list((folder / "checkpoints").glob(f"{arm}-0.*"))
    return max((file.stat().st_mtime_ns for file in saved), default=0)


def _free(folder: Path) -> bool:
    """Whether no process of the run is there."""
    try:
        with alone(folder / LOCK, "busy"):
            return True
    except UserError:
        return False


def moment_of(folder: Path, arm: str, learned: int) -> Moment | None:
    """What an arm that has learned so many experiences is doing by its files; None if it has not, or has finished."""
    checkpoint = checkpoint_of(folder, arm, 0)
    position = read_position(checkpoint)
    if not learned <= position.learned < EXPERIENCES or position == Position():
        return None
    if any(name.startswith(f".{checkpoint.stem}.") for name in unfinished(folder / "checkpoints")):
        return Moment.WRITING
    return Moment.BETWEEN if position.learned and not position.taken else Moment.INSIDE


def _check_results(folder: Path, study: Study) -> None:
    """results.csv has the rows that the checkpoints count, but for the last ones, and maybe half a line."""
    results = folder / "results.csv"
    lines = results.read_bytes().splitlines(keepends=True) if results.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    if len(whole) > 1:
        results.write_bytes(b"".join(whole))
        counted = {(row.arm, row.experience): row for row in rows_of(folder, study)}
        for row in read_rows(results):
            assert counted.get((row.arm, row.experience), row) == row


def killed_again_and_again(
    folder: Path, study: Study, kills: Sequence[Kill], data: Path, launch: Launch, rng: random.Random
) -> list[Landed]:
    """A run that is killed and resumed so often, and then ends; where the kills have landed, fewer if it was faster."""
    landed: list[Landed] = []
    process = launch(study, folder, data, kills[0].jobs)
    try:
        for following in [*kills[1:], None]:
            where = killed(process, folder, study, kills[len(landed)], rng)
            if where is None:
                break
            landed.append(where)
            process = launch(study, folder, data, 1 if following is None else following.jobs)
        assert ended(process) == 0
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return landed


def differences(folder: Path, whole: Path) -> list[str]:
    """What is not equal to the bit in a run that has ended: rows, tensors of the last checkpoints, files left over."""
    names = [recipe.name for recipe in reopen(folder).study.recipes]
    different = [f"unfinished file {name}" for name in unfinished(folder)]
    ours, theirs = ({(row["arm"], row["experience"]): row for row in numbers(place)} for place in (folder, whole))
    if ours != {key: row for key, row in theirs.items() if key[0] in names}:  # arms learn side by side
        different.append("rows")
    for arm in names:
        ours, theirs = (load_file(checkpoint_of(place, arm, 0)) for place in (folder, whole))
        if ours.keys() != theirs.keys():
            different.append(f"names of {arm}")
        else:
            different += [f"{arm} {name}" for name in ours if not same(ours[name], theirs[name])]
    return different


def study_of(arms: Sequence[str]) -> Study:
    """A study of these systems."""
    return Study("kills", "Systems that are killed.", tuple(ARMS[arm] for arm in arms), seeds=(0,))


def reported(landed: Sequence[Landed], runs: int, equal: int, seed: int) -> None:
    """Writes the page that says where kills have landed, and how many runs have ended with equal bits."""
    kinds = {
        "one process": lambda kill: kill.jobs == 1,
        "two arms at once, the first process killed": lambda kill: kill.jobs == 2 and not kill.everybody,
        "two arms at once, all processes killed": lambda kill: kill.jobs == 2 and kill.everybody,
    }
    counts = [[sum(kill.moment is moment for kill in filter(of, landed)) for moment in Moment] for of in kinds.values()]
    lines = [f"| {kind} | {' | '.join(map(str, row))} |" for kind, row in zip(kinds, counts, strict=True)]
    lines.append(f"| all | {' | '.join(str(sum(column)) for column in zip(*counts, strict=True))} |")
    PAGE.write_text(
        f"""# Killed runs, {date.today()}

```
make check-long
```

{machine(Device())}, shared with other work. `tests/test_kills.py` starts small runs of {len(ARMS)} systems with the
real commands, stops each at moments drawn by chance (seed {seed}), and kills it there with SIGKILL. It resumes the run,
kills it again, up to three times, and lets it end. Then it compares every number of `results.csv` but seconds and peak
memory, and every tensor of the last checkpoints, with a run that nobody has killed. What the kill was in is read from
the files that it left. All runs save after each step.

| killed | {" | ".join(Moment)} |
| --- | --- | --- | --- |
{chr(10).join(lines)}

All {len(landed)} kills landed in a run that was not finished, and every system was killed at least once.
{equal} of {runs} runs ended equal to the bit.
"""
    )
