"""Learning several cells at the same time, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from io import FileIO
from multiprocessing import reduction
from multiprocessing.process import BaseProcess
from queue import Empty
from typing import Any

import torch

from negreplay.cell import learn_cell
from negreplay.errors import Terminated, UserError
from negreplay.prepare import Cell, Event
from negreplay.slow_paths import avoid_slow_paths

PATIENCE = 25.0
"""Seconds in which a process finishes its step and saves; schedulers give half a minute before they kill."""


def learn_in_processes(cells: list[Cell], jobs: int, threads: int, lock: FileIO | None = None) -> Iterator[Event]:
    """Learns cells in `jobs` processes of `threads` threads each, and yields their events as they come.

    The processes share the `lock` of the run's folder, so that nobody takes it before the last of them has ended. When
    learning is to end they finish their steps and save.

    Raises:
        UserError: a cell raised it, or one of the processes was killed from outside.
        Terminated: the system asked one of the processes to end.
    """
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    others = multiprocessing.active_children()
    shared = None if lock is None or sys.platform == "win32" else _SharedLock(lock)
    pool = ProcessPoolExecutor(jobs, context, initializer=_prepare, initargs=(events, threads, shared))
    try:
        with _interrupts_postponed():
            learning = {pool.submit(_work, cell) for cell in cells}
        while learning or not events.empty():
            with suppress(Empty):
                yield events.get(timeout=0.1)
            for done in [future for future in learning if future.done()]:
                done.result()
                learning.remove(done)
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        _end([process for process in multiprocessing.active_children() if process not in others])
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "the process of an arm was killed from outside, perhaps for want of memory: "
                "free some, then `negreplay resume` the run."
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end(processes: list[BaseProcess]) -> None:
    """Asks processes to end, and kills what is left after a while, or when Ctrl-C is pressed again."""
    try:
        for process in processes:
            process.terminate()
        end = time.monotonic() + PATIENCE
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
    finally:
        for process in processes:
            process.kill()


class _SharedLock:
    """A locked file on its way to a process that starts: the lock is free when the last process that has it ends."""

    def __init__(self, file: FileIO) -> None:
        self.file = file

    def __getstate__(self) -> object:
        return reduction.DupFd(self.file.fileno())

    def __setstate__(self, duplicate: Any) -> None:
        self.descriptor = duplicate.detach()


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


_events: "multiprocessing.Queue[Event]"
"""The queue for the events of a process that `learn_in_processes` has started."""


_asked = _working = False
"""Whether the system, or the first process, has asked this process to end; whether it learns a cell."""


def _prepare(events: "multiprocessing.Queue[Event]", threads: int, _: _SharedLock | None) -> None:
    global _events
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ask)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    avoid_slow_paths()
    torch.set_num_threads(threads)


def _ask(*_: object) -> None:
    global _asked
    _asked = True
    _end_if_asked()


def _end_if_asked() -> None:
    if _asked and _working:
        _events.cancel_join_thread()  # the first process, which waits for this one, reads no more events
        raise Terminated


def _die_with_parent() -> None:
    """Ends this process with its parent: if it went on, it would write beside the run that is resumed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process that another one made comes here"
    parent.join()
    os._exit(1)


def _work(cell: Cell) -> None:
    """Learns a cell; when it is asked to end, the step is finished, and closing the cell saves it."""
    global _working
    shown = 0.0
    with closing(learn_cell(cell)) as events:
        try:
            _working = True
            _end_if_asked()
            for event in events:
                if event.step is None or time.monotonic() - shown > 0.2:  # a step may take a millisecond, a line longer
                    shown = time.monotonic()
                    _events.put(event)
        finally:
            _working = False
