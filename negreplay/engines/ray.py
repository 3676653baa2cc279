"""Workers of a Ray cluster."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from negreplay.engines.letters import Letters, work
from negreplay.engines.tasks import End, Task
from negreplay.errors import UserError
from negreplay.prepare import Event

PATIENCE = 60.0
"""Seconds in which workers save when they are ended."""


class Ray:
    """An engine of workers of a Ray cluster: one that runs, or else one of this machine, which ends with it.

    Args:
        address: such as `ray://head:10001`; with None the cluster of this machine, or of $RAY_ADDRESS.
        asked: what each worker needs, by Ray's names, such as `num_gpus`.
        folder: for what workers tell, which all machines see.
        threads: of each worker.

    Raises:
        UserError: there is no cluster at the address.
    """

    def __init__(self, address: str | None, asked: dict[str, Any], folder: Path, threads: int) -> None:
        self.ray, self.asked, self.folder, self.threads = package(), asked, folder, threads
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do, of which it warns
        try:
            self.ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(
                f"Ray cannot be reached at {address or 'this machine'} ({reason}): start it there."
            ) from error
        self.jobs: list[RayJob] = []

    def start(self, task: Task) -> "RayJob":
        self.jobs.append(RayJob(self, task))
        return self.jobs[-1]

    def wait(self) -> None:
        self.ray.wait([job.reference for job in self.jobs], timeout=0.2)

    def close(self) -> None:
        for job in self.jobs:
            self.ray.cancel(job.reference)
        if self.jobs:
            self.ray.wait([job.reference for job in self.jobs], num_returns=len(self.jobs), timeout=PATIENCE)
        for job in self.jobs:
            job.letters.close()
        self.ray.shutdown()


class RayJob:
    """A task that Ray has been given."""

    def __init__(self, engine: Ray, task: Task) -> None:
        self.engine = engine
        name = f"{task.cell.recipe.name}-{task.cell.seed}{'-encoding' * task.encoding}"
        self.letters = Letters(engine.folder / f"{name}.jsonl")
        options = {"num_cpus": engine.threads, "name": name, "max_retries": 0} | engine.asked
        worker = engine.ray.remote(work).options(**options)
        self.reference = worker.remote(task, engine.threads, self.letters.path)

    def poll(self) -> tuple[list[Event], End | None]:
        ray = self.engine.ray
        over, _ = ray.wait([self.reference], timeout=0)
        events, end = self.letters.read()
        if over:
            end = end or self._lost()
            self.engine.jobs.remove(self)
            self.letters.close()
            return events, end
        return events, None

    def _lost(self) -> End:
        """Why it has ended without a word."""
        exceptions = self.engine.ray.exceptions
        try:
            self.engine.ray.get(self.reference)
        except exceptions.RayTaskError as error:
            cause = error.cause
            return End(False, str(cause).splitlines()[0], again=not isinstance(cause, UserError), details=str(error))
        except exceptions.RayError as error:
            return End(False, f"its worker was lost, {type(error).__name__}", details=str(error))
        return End(False, "its last words were lost")


def package() -> Any:
    """The package, which is imported only here.

    Raises:
        UserError: it is missing.
    """
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise UserError(f"--on ray needs {error.name}: pip install 'negreplay[ray]'.") from None


def check(asked: dict[str, Any]) -> None:
    """Refuses what Ray does not know.

    Raises:
        UserError: the package is missing, or there is no such option of Ray, or it has another value.
    """
    ray = package()
    try:
        ray.remote(work).options(**asked)
    except (TypeError, ValueError) as error:
        raise UserError(f"--on ray: {str(error).splitlines()[0].rstrip('.')}: correct it.") from error
