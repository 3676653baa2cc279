"""What a worker on another machine tells: lines of JSON in a file that both machines see.

The file is made by the run that gives the task. A worker whose file is gone has been given up and ends: somebody else
may be doing the same task.
"""

import json
import os
import signal
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import torch

from negreplay.engines.tasks import End, Task, attempt
from negreplay.errors import Terminated, UserError
from negreplay.optimize import Step
from negreplay.prepare import Event
from negreplay.results.metrics import Row
from negreplay.slow_paths import avoid_slow_paths

PAUSE = 1.0
"""Seconds between two steps that are told."""


class Letters:
    """A new file for what is told of a task, and what has been read of it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        self.path, self._read = path, 0

    def read(self) -> tuple[list[Event], End | None]:
        """The events since the last call, and the end, if it has been told."""
        events: list[Event] = []
        with self.path.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]  # the last line may not be whole yet
        self._read += len(whole)
        for line in whole.splitlines():
            fields = json.loads(line)
            if "finished" in fields:
                return events, End(**fields)
            events.append(_event(fields))
        return events, None

    def close(self) -> None:
        """Gives the worker up, if it still works."""
        self.path.unlink(missing_ok=True)


def work(task: Task, threads: int, letters: Path) -> None:
    """What a worker of a cluster does: a task, on so many threads, whose events it tells in a file.

    Raises:
        UserError: the file is not there, so that nothing can be told.
    """
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGUSR2"):  # with which submitit announces the end of a job's time
        signal.signal(signal.SIGUSR2, lambda *_: signal.raise_signal(signal.SIGTERM))
    host = socket.gethostname()
    if not letters.exists():
        raise UserError(f"{host} does not see {letters.parent.parent}: give --out a folder that all machines share.")
    avoid_slow_paths()
    torch.set_num_threads(threads)
    try:
        end = attempt(task, lambda event: _append(letters, asdict(event)), PAUSE)
    except KeyboardInterrupt:
        end = End(False, "it was asked to end")
    _append(letters, asdict(end if end.finished else replace(end, reason=f"on {host}, {end.reason}")))


def _terminated(*_: object) -> NoReturn:
    raise Terminated


def _append(path: Path, fields: dict[str, object]) -> None:
    """Adds a line to a file, which is not made."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, json.dumps(fields).encode() + b"\n")
    finally:
        os.close(file)


def _event(fields: dict[str, Any]) -> Event:
    step, row = fields["step"], fields["row"]
    return Event(**fields | {"step": step and Step(*step), "row": row and Row(**row)})
