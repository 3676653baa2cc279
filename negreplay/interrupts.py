"""Ctrl-C and SIGTERM, which wait until work that must not be cut has been finished."""

import signal
import threading
from types import FrameType, TracebackType


class Postponed:
    """A block in which Ctrl-C and SIGTERM wait for `act`. Whoever asks a second time does not wait.

    Where signals do not arrive, in a thread that is not the first one, or are ignored, nothing changes.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._handlers: dict[int, signal.Handlers] = {}

    @property
    def asked(self) -> bool:
        """Whether somebody has asked for the end."""
        return self._asked is not None

    def act(self) -> None:
        """Lets a signal that has waited do what it does without us."""
        if self._asked is not None:
            number, self._asked = self._asked, None
            signal.raise_signal(number)

    def __enter__(self) -> "Postponed":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._note)  # pyright: ignore[reportArgumentType]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            signal.signal(number, self._handlers[number])
            signal.raise_signal(number)
        self._asked = number
