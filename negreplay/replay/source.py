"""Where replayed patterns come from, as a protocol of two methods."""

from collections.abc import Iterator
from typing import Protocol

from torch import nn

from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Patterns, nothing
from negreplay.streams.stream import Experience


class ReplaySource(Protocol):
    """Recalls patterns before an experience and absorbs the experience after it.

    A source is an `nn.Module`: all it keeps between experiences is in its `state_dict`.
    """

    def recall(self) -> Patterns:
        """The memory M_k: latents of past classes, drawn anew for the experience (empty before the first)."""
        ...

    def absorb(self, classifier: Classifier, experience: Experience, memory: Patterns) -> Iterator[Step]:
        """Takes in the experience, with the blocked classifier and the memory that it was learned with."""
        ...


class NoReplay(nn.Module):
    """Nothing is kept and nothing recalled."""

    def recall(self) -> Patterns:
        return nothing()

    def absorb(self, classifier: Classifier, experience: Experience, memory: Patterns) -> Iterator[Step]:
        return iter(())
