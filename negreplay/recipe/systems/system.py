"""What the library has to know about any system: facts that the system's value states."""

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from negreplay.recipe.checks import Strict
from negreplay.recipe.learning import ReplayRecipe


class Replays(StrEnum):
    """What a system can replay.

    `ANYTHING` stands for patterns of any source in either mode. `EXEMPLARS` are original patterns in positive mode,
    chosen class by class, which the system needs; with `EXEMPLARS_OR_NOTHING` it can also do without them.
    """

    ANYTHING = "anything"
    EXEMPLARS = "exemplars"
    EXEMPLARS_OR_NOTHING = "exemplars-or-nothing"
    NOTHING = "nothing"


class SystemRecipe(Strict):
    """The facts about a system; a system states those in which it differs from the usual one.

    Attributes:
        explains: what the system does, in a sentence for the report.
        replays: what it can replay.
        trains: whether it trains the classifier, so that its arm has phases and an optimiser.
        adapts: whether a system that does not train may do so in the first experience, if its arm has a first phase.
        front_learns: whether the layers up to the replay layer may learn.
        makes_images: whether it generates images, so that its replay layer is the input.
        rectified: whether the features of residual networks end in a ReLU.
    """

    explains: ClassVar[str]
    replays: ClassVar[Replays] = Replays.EXEMPLARS
    trains: ClassVar[bool] = True
    adapts: ClassVar[bool] = False
    front_learns: ClassVar[bool] = False
    makes_images: ClassVar[bool] = False
    rectified: ClassVar[bool] = True

    def explanation(self) -> Iterator[str]:
        """What the system does beside replaying, in sentences for the report."""
        yield self.explains

    def objection(self, replay: ReplayRecipe) -> str | None:
        """A sentence that says why the system cannot have this replay, if its facts do not say it already."""
