"""Commands in processes of their own, as a terminal starts them, for tests that send them signals."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from tiny import command, environment


@contextmanager
def started(*arguments: object, warnings: str = "error,ignore::ResourceWarning") -> Iterator["subprocess.Popen[str]"]:
    """A command in a process group of its own; nothing of it survives the test.

    Whoever runs the tests in the background may have them ignore Ctrl-C, which a command would inherit. A signal may
    come between the opening of a file and the `with` that closes it, of which Python does not warn unless asked to.
    """
    with subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"PYTHONWARNINGS": warnings},
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]", patience: float = 120.0) -> None:
    """Returns as soon as something is so; fails if the process ends before, or after so many seconds."""
    end = time.monotonic() + patience
    while not condition():
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.001)
