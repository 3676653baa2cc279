"""Where replayed patterns come from: what every source offers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import nn

from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Memory, Patterns, nothing
from negreplay.streams.stream import Experience


class ReplaySource(nn.Module, ABC):
    """Recalls patterns before an experience and absorbs the experience after it.

    All it keeps between experiences is in its `state_dict`.
    """

    @abstractmethod
    def recall(self) -> Memory:
        """The memory M_k: latents of past classes, drawn anew for the experience (empty before the first)."""

    @abstractmethod
    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        """Takes in the experience, given the blocked classifier and the memory with which it was learned."""


class NoReplay(ReplaySource):
    """Nothing is kept and nothing recalled."""

    def recall(self) -> Patterns:
        return nothing()

    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        return iter(())
