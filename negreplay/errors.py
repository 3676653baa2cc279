"""The one exception that a user's mistake raises, and what the end of a process raises."""

from collections.abc import Sequence
from difflib import get_close_matches

_LONGEST = 10_000


class UserError(Exception):
    """A mistake of the user: one sentence that names the file or field and the remedy.

    The command line prints the sentence and exits with code 2; anything else that is raised is our own mistake. What a
    file holds may be in the sentence, so of a very long one only the beginning and the remedy at its end are left.
    """

    def __init__(self, sentence: str) -> None:
        if len(sentence) > _LONGEST:
            sentence = f"{sentence[: _LONGEST // 2]} ... {sentence[-_LONGEST // 2 :]}"
        super().__init__(sentence)


class NotThereError(UserError):
    """What a study names is not in the place where it was looked for."""


class DivergedError(UserError):
    """A loss or a weight is not finite any more; `reason` is the sentence without its remedy."""

    def __init__(self, reason: str, remedy: str = "lower its learning rate.") -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason


class FailedError(UserError):
    """Some arms of a run have failed; the others were learned to the end."""


class Terminated(KeyboardInterrupt):
    """The system asked the process to end (SIGTERM); it ends as with Ctrl-C, but for its exit code."""


def suggest(name: str, known: Sequence[str]) -> str:
    """The remedy for a name that is not known: the nearest one, or all of them."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
