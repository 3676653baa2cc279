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
from contextlib import contextmanager, suppress
from queue import Empty

import torch

from negreplay.cell import learn_cell
from negreplay.errors import UserError
from negreplay.prepare import Cell, Event
from negreplay.slow_paths import avoid_slow_paths


def learn_in_processes(cells: list[Cell], jobs: int, threads: int) -> Iterator[Event]:
    """Learns cells in `jobs` processes of `threads` threads each, and yields their events as they come.

    Raises:
        UserError: a cell raised it, or one of the processes was killed from outside.
    """
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(jobs, context, initializer=_prepare, initargs=(events, threads))
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
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "the process of an arm was killed from outside, perhaps for want of memory: "
                "free some, then `negreplay resume` the run."
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


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


def _prepare(events: "multiprocessing.Queue[Event]", threads: int) -> None:
    global _events
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    avoid_slow_paths()
    torch.set_num_threads(threads)


def _die_with_parent() -> None:
    """Ends this process with its parent: if it went on, it would write beside the run that is resumed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process that another one made comes here"
    parent.join()
    os._exit(1)


def _work(cell: Cell) -> None:
    shown = 0.0
    for event in learn_cell(cell):
        if event.step is None or time.monotonic() - shown > 0.2:  # a step may take a millisecond, showing it longer
            shown = time.monotonic()
            _events.put(event)
