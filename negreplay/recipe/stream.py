"""What arrives, as values."""

from dataclasses import dataclass, field
from enum import StrEnum

from negreplay.recipe.checks import Strict, at_least, check


class Scenario(StrEnum):
    """Which labels arrive when (Section 2, Appendix A); `DOMAINS`, where only the images change, is not there."""

    NI = "new-instances"
    NC = "new-classes"
    NIC = "new-instances-and-classes"
    DOMAINS = "new-domains"


class Augment(StrEnum):
    """What is done to a training image each time it is read, at random."""

    NONE = "none"
    FLIP = "flip"
    CROP = "crop-flip"
    RESIZED_CROP = "resized-crop-flip"


@dataclass(frozen=True)
class ImageRecipe(Strict):
    """How images are read.

    `size` is the side in pixels to which they are resized (None: as they are). With `shorter_side` they are resized so
    that their shorter side has that many pixels, and the middle `size` x `size` is cut out. `augment` holds for
    training only: `flip` mirrors half of the images; `crop-flip` also moves them by up to an eighth of their side;
    `resized-crop-flip` takes 8 % to 100 % of an image, its sides in a ratio of 3:4 to 4:3, and resizes that.
    """

    size: int | None = None
    shorter_side: int | None = None
    augment: Augment = Augment.NONE

    def __post_init__(self) -> None:
        at_least(8, self, "stream.images", "size")
        fits = self.shorter_side is None or (self.size is not None and self.size <= self.shorter_side)
        check(fits, f"stream.images.shorter_side is {self.shorter_side}: give images.size too, no larger than that.")
        sized = self.augment is not Augment.RESIZED_CROP or self.size is not None
        check(sized, "stream.images.augment is resized-crop-flip: give images.size, to which crops are resized.")


CORE50_LISTS = {
    "ni": Scenario.NI,
    "nc": Scenario.NC,
    "nic": Scenario.NIC,
    "nicv2_79": Scenario.NIC,
    "nicv2_196": Scenario.NIC,
    "nicv2_391": Scenario.NIC,
}
"""CORe50's own lists of experiences, and the scenario of each."""


@dataclass(frozen=True)
class StreamRecipe(Strict):
    """What arrives. `data` names a data set, or else a folder, a zip or a CSV of images.

    The data sets are `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `tiny-imagenet`, `imagenet`, `core50`.

    New Classes: `first_classes` in the first experience, then `classes` at a time. New Instances: all classes, each cut
    into `parts`. New Instances and Classes: one part of `first_classes` classes, then the remaining (class, part) pairs
    one at a time. New Domains: as New Classes, but a class is known by its place in its experience alone, so that all
    experiences have the same labels. The seed draws the order of the classes, unless `order` names them as they arrive.

    CORe50 comes in official `lists` of experiences instead (see `CORE50_LISTS`), the seed being the run, with objects
    for classes or their `categories`. Of the test images every `test_every`-th is used.
    """

    data: str
    scenario: Scenario
    first_classes: int = 1
    classes: int = 1
    parts: int = 1
    order: tuple[str, ...] = ()
    images: ImageRecipe = field(default_factory=ImageRecipe)
    lists: str | None = None
    categories: bool = False
    test_every: int = 1

    def __post_init__(self) -> None:
        at_least(1, self, "stream", "first_classes", "classes", "parts", "test_every")
        plain = self.data != "digits" or self.images == ImageRecipe()
        check(plain, "stream.images has no effect on digits, which have 8 x 8 pixels: remove it.")
        core50 = self.data == "core50"
        check(core50 == (self.lists is not None), f"stream.lists is {self.lists}: core50, and nothing else, needs it.")
        check(core50 or not self.categories, f"stream.categories has no effect: {self.data} has none; remove it.")
        if self.lists is not None:
            known = ", ".join(CORE50_LISTS)
            check(self.lists in CORE50_LISTS, f"stream.lists is {self.lists!r}: give one of {known}.")
            fits = CORE50_LISTS[self.lists] is self.scenario
            check(fits, f"stream.scenario is {self.scenario}: {self.lists} is {CORE50_LISTS[self.lists]}.")
            free = (self.first_classes, self.classes, self.parts, self.order) == (1, 1, 1, ())
            check(free, "stream.first_classes, classes, parts and order have no effect with lists: remove them.")
            return
        many_parts = self.scenario in (Scenario.NC, Scenario.DOMAINS) or self.parts >= 2
        check(many_parts, f"stream.parts is {self.parts}: {self.scenario} needs 2 or more.")
        equal = self.scenario is not Scenario.DOMAINS or self.first_classes == self.classes
        check(equal, "stream.first_classes and classes differ: in new-domains give both the same number.")
        ordered = self.scenario is not Scenario.NI or not self.order
        check(ordered, "stream.order has no effect: in new-instances all classes arrive at once; remove it.")
        check(len(set(self.order)) == len(self.order), f"stream.order is {self.order}: name each class once.")
