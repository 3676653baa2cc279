"""Learning several cells at the same time, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from multiprocessing import reduction
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import torch

from negreplay.engines.tasks import End, Task, attempt
from negreplay.errors import Terminated
from negreplay.prepare import Event
from negreplay.slow_paths import avoid_slow_paths

PATIENCE = 25.0
"""Seconds in which a process finishes its step and saves; schedulers give half a minute before they kill."""


class Processes:
    """An engine of processes of this machine, of `threads` threads each, which do one task after the other.

    They share the `lock` of the run's folder, so that nobody takes it before the last of them has ended.
    """

    def __init__(self, threads: int, lock: FileIO | None = None) -> None:
        self.threads, self.workers = threads, list[Worker]()
        self.lock = None if lock is None or sys.platform == "win32" else _SharedLock(lock)

    def start(self, task: Task) -> "Worker":
        worker = next((worker for worker in self.workers if not worker.busy), None)
        if worker is None:
            with _interrupts_postponed():
                worker = Worker(self.threads, self.lock)
                self.workers.append(worker)
        worker.give(task)
        return worker

    def wait(self) -> None:
        wait([worker.pipe for worker in self.workers if worker.busy and worker.process.is_alive()], timeout=0.1)

    def close(self) -> None:
        """Asks the processes to end, and kills what is left after a while, or when Ctrl-C is pressed again."""
        try:
            for worker in self.workers:
                worker.process.terminate()
            end = time.monotonic() + PATIENCE
            for worker in self.workers:
                worker.process.join(max(0.0, end - time.monotonic()))
        finally:
            for worker in self.workers:
                worker.process.kill()
                worker.process.join()


class _SharedLock:
    """A locked file on its way to a process that starts: the lock is free when the last process that has it ends."""

    def __init__(self, file: FileIO) -> None:
        self.file = file

    def __getstate__(self) -> object:
        return reduction.DupFd(self.file.fileno())

    def __setstate__(self, duplicate: Any) -> None:
        self.descriptor = duplicate.detach()


class Worker:
    """A process, and the pipe through which it is given tasks and tells events."""

    def __init__(self, threads: int, lock: _SharedLock | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, its = context.Pipe()
        self.process = context.Process(target=_serve, args=(its, threads, lock), daemon=True)
        self.process.start()
        its.close()  # so that the pipe has an end when the process has
        self.busy = False

    def give(self, task: Task) -> None:
        """Has the process do a task."""
        self.busy = True
        with suppress(OSError):  # it has died since the last task, as `poll` will say
            self.pipe.send(task)

    def poll(self) -> tuple[list[Event], End | None]:
        events: list[Event] = []
        try:
            while self.pipe.poll():
                message = self.pipe.recv()
                if isinstance(message, End):
                    self.busy = False
                    return events, message
                events.append(message)
        except (EOFError, OSError):
            self.process.join()
            return events, End(False, _reason(self.process.exitcode))
        return events, None


def _reason(code: int | None) -> str:
    """Why a process has died."""
    if code is None or code >= 0:
        return f"its process ended with code {code}"
    lack = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
    return f"its process was ended by {signal.Signals(-code).name}{lack}"


@contextmanager
def _interrupts_postponed() -> Iterator[None]:
    """A context in which Ctrl-C waits, and in which processes can be started that never see it.

    A terminal sends Ctrl-C to all processes, but only the first one should act on it and end the others. A process that
    starts in this context inherits that the signal is blocked, even before its first line.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[object] = []
    # The system may give the signal to another thread, which does not block it. Python would still interrupt this one.
    handler = signal.signal(signal.SIGINT, lambda *signals: received.extend(signals))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)


def _serve(pipe: "Connection[End | Event, Task]", threads: int, _: _SharedLock | None) -> None:
    """Does the tasks that come through a pipe; what a process is for that `Worker` has started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminated)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    avoid_slow_paths()
    torch.set_num_threads(threads)
    with suppress(Terminated):
        while True:
            pipe.send(attempt(pipe.recv(), pipe.send, 0.2))


def _terminated(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise Terminated


def _die_with_parent() -> None:
    """Ends this process with its parent: if it went on, it would write beside the run that is resumed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process that another one made comes here"
    parent.join()
    os._exit(1)
