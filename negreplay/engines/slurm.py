"""Jobs of Slurm, each of which is one task."""

import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from negreplay.engines.letters import Letters, work
from negreplay.engines.tasks import End, Task
from negreplay.errors import UserError
from negreplay.prepare import Event

SHARED = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node")
"""Parameters of submitit that are not Slurm's alone, whose names get no `slurm_` before them."""
MINUTES = 60
"""Minutes after which a job ends and another one goes on, unless `timeout_min` is given."""
ASKED = 30.0
"""Seconds after which Slurm is asked anew how a job is."""
PATIENCE = 60.0
"""Seconds in which jobs save when they are ended."""


class Slurm:
    """An engine of jobs of Slurm, made by submitit.

    Args:
        asked: what each job needs, by submitit's names, such as `partition`; with `cluster=local` it is no job of
            Slurm, but a process of this machine.
        folder: for what jobs tell and log, which all machines see.
        threads: of each job.

    Raises:
        UserError: this machine knows no Slurm.
    """

    def __init__(self, asked: dict[str, Any], folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.executor = _executor(folder / "slurm", {"cpus_per_task": threads} | asked)
        self.jobs: list[SlurmJob] = []
        if self.executor.cluster == "slurm":
            self._end_earlier(folder / "slurm")

    def _end_earlier(self, folder: Path) -> None:
        """Ends jobs that a run which was killed has left, for they would write beside ours."""
        names = [path.name.removesuffix("_submitted.pkl") for path in folder.glob("*_submitted.pkl")]
        jobs = [import_module("submitit").SlurmJob(folder, name) for name in names]
        _cancel([job for job in jobs if not job.done(force_check=True)])

    def start(self, task: Task) -> "SlurmJob":
        self.jobs.append(SlurmJob(self, task))
        return self.jobs[-1]

    def wait(self) -> None:
        time.sleep(0.5)

    def close(self) -> None:
        _cancel([job.job for job in self.jobs])
        for job in self.jobs:
            job.letters.close()


class SlurmJob:
    """A task that Slurm has been given."""

    def __init__(self, engine: Slurm, task: Task) -> None:
        self.engine, self.asked = engine, time.monotonic()
        name = f"{task.cell.recipe.name}-{task.cell.seed}{'-encoding' * task.encoding}"
        self.letters = Letters(engine.folder / f"{name}.jsonl")
        try:
            self.job = engine.executor.submit(work, task, engine.threads, self.letters.path)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"Slurm does not take the job ({reason}): correct what follows --on slurm.") from error

    def poll(self) -> tuple[list[Event], End | None]:
        force = time.monotonic() - self.asked > ASKED
        if force:
            self.asked = time.monotonic()
        over = self.job.done(force_check=force)
        events, end = self.letters.read()
        if end is None and not over:
            return events, None
        self.engine.jobs.remove(self)
        self.letters.close()
        if end is None:
            return events, End(False, self._state())
        if end.finished:
            for path in self.job.paths.folder.glob(f"{self.job.job_id}_*"):
                path.unlink(missing_ok=True)
        return events, end

    def _state(self) -> str:
        """Why it has ended without a word."""
        log = self.job.paths.stderr
        state = self.job.state.lower()
        if not log.exists():
            return f"its job {self.job.job_id}, {state}, wrote nothing into {log.parent}, which all machines must see"
        return f"its job {self.job.job_id} was lost, {state}; see {log}"


def check(asked: dict[str, Any]) -> None:
    """Refuses what submitit does not know.

    Raises:
        UserError: the package is missing, this machine knows no Slurm, or there is no such parameter.
    """
    with TemporaryDirectory() as folder:
        _executor(Path(folder), asked)


def _executor(folder: Path, asked: dict[str, Any]) -> Any:
    try:
        submitit = import_module("submitit")
    except ModuleNotFoundError as error:
        raise UserError(f"--on slurm needs {error.name}: pip install 'negreplay[slurm]'.") from None
    asked = {"timeout_min": MINUTES} | asked
    cluster = asked.pop("cluster", "slurm")
    named = {name if name in SHARED else f"slurm_{name}": value for name, value in asked.items()}
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        executor.update_parameters(name="negreplay", **named)
    except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].replace("slurm_", "").rstrip(".")
        raise UserError(f"--on slurm: {reason}: correct it.") from error
    return executor


def _cancel(jobs: list[Any]) -> None:
    """Ends jobs, which save before, and waits for it."""
    for job in jobs:
        job.cancel(check=False)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not all(job.done(force_check=True) for job in jobs):
        time.sleep(0.5)
