"""The commands that share a model of photographs: push and pull."""

from dataclasses import dataclass

import tyro
from rich.console import Console

from negreplay.cli.models import Path_, say


@dataclass(frozen=True)
class PushCommand:
    """Put a model on the Hugging Face Hub, with a page that describes it.

    The file holds no picture, but it could reveal something: docs/sharing.md says what.
    """

    repo: tyro.conf.Positional[str]
    """Where it goes, as USER/NAME; it is made if it is not there."""
    model: Path_
    """The model."""
    private: bool = False
    """Let only yourself see it."""

    def __call__(self, console: Console) -> None:
        from negreplay.bridges.hub import CARD, push

        pushed = push(self.repo, self.model, self.private)
        if pushed.card_left:
            say(console, f"somebody has edited the {CARD} of {self.repo}: it stays as it is")
        say(console, f"pushed {self.model}: {pushed.address}")


@dataclass(frozen=True)
class PullCommand:
    """Fetch a model from the Hugging Face Hub; an older version of it stays beside it, and nothing else is replaced."""

    repo: tyro.conf.Positional[str]
    """Where it is, as USER/NAME."""
    model: Path_
    """The file to write."""
    revision: str | None = None
    """A branch, a tag or a commit (default: the newest)."""

    def __call__(self, console: Console) -> None:
        from negreplay.bridges.hub import pull

        model = pull(self.repo, self.model, self.revision)
        say(console, f"{self.model}: {len(model.names)} classes of {sum(model.counts.values())} pictures")
