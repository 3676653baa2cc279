"""What every input is held to: an answer or a `UserError`, in time, in bounded memory, inside its folder."""

import os
import resource
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from negreplay.errors import UserError

SECONDS = 20.0
"""The longest that an input may take, where nothing else runs; other work makes it slower, so it counts CPU time."""
BYTES = 3_000_000_000
"""The most memory that a process of inputs may take beyond what it has at its start, as addresses."""

_PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty", "socket.connect")
_CODE = tuple(
    str(Path(place).resolve())
    for place in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, Path(__file__).parents[2])
)


class BrokenError(AssertionError):
    """An input did what none may do."""


class Guard:
    """Watches, from its making on, what this process opens and starts; only `within` is anything refused."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.outside: list[str] = []
        sys.addaudithook(self._watch)

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _PROGRAMS:
            self.outside.append(f"{event} {arguments[0]!r}")
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, flags = os.path.realpath(os.fsdecode(arguments[0])), arguments[2] or 0
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not path.startswith(self.folder) and (writes or not path.startswith((*_CODE, "/proc", "/sys", "/dev"))):
                self.outside.append(f"open {path}")

    def __call__(self, run: Callable[[bytes], object], content: bytes, folder: Path) -> bool:
        """Runs an input; whether it was answered, and not refused.

        Raises:
            BrokenError: it opened something outside its folder, started a program, or took too long.
            Exception: whatever else escaped.
        """
        self.folder, self.outside = os.path.realpath(folder), []
        start, answered = time.process_time(), True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run(content)
        except UserError as error:
            answered = False
            if len(str(error)) > 10_100:
                raise BrokenError("a sentence of very many characters") from error
        finally:
            self.folder = None
        if self.outside:
            raise BrokenError(f"outside its folder: {self.outside[:3]}")
        if (seconds := time.process_time() - start) > SECONDS:
            raise BrokenError(f"it took {seconds:.0f} seconds")
        return answered


GUARD = Guard()


def limit_memory() -> None:
    """Bounds the memory of this process for good: beyond it a `MemoryError` escapes."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
