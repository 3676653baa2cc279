"""What arrives, as values."""

from dataclasses import dataclass, field
from enum import StrEnum

from negreplay.recipe.checks import LARGEST_SIDE, MOST_AT_ONCE, Strict, in_range


class Scenario(StrEnum):
    """Which labels arrive when (Section 2, Appendix A).

    With `DOMAINS`, which the paper does not have, the labels stay and only the images change.
    """

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

    Images are resized to `size` x `size` pixels; with None they stay as they are. With `shorter_side` images are
    resized so that their shorter side has that many pixels, and the middle `size` x `size` is cut out. `augment`
    changes training images only: `flip` mirrors half of the images; `crop-flip` also moves them by up to an eighth of
    their side; `resized-crop-flip` takes 8 % to 100 % of an image, with sides in a ratio of 3:4 to 4:3, and resizes
    that.
    """

    size: int | None = None
    shorter_side: int | None = None
    augment: Augment = Augment.NONE

    def __post_init__(self) -> None:
        in_range(self, "stream.images", 8, LARGEST_SIDE, "size")
        shorter = self.shorter_side
        if shorter is not None and (self.size is None or shorter < self.size):
            raise ValueError(f"stream.images.shorter_side is {shorter}: give images.size too, no larger than that.")
        in_range(self, "stream.images", 8, LARGEST_SIDE, "shorter_side")
        if self.augment is Augment.RESIZED_CROP and self.size is None:
            raise ValueError(
                "stream.images.augment is resized-crop-flip: give images.size, to which crops are resized."
            )


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
    """What arrives: which data, and which of its classes in which experience.

    `data` names a data set, or a folder, a zip, a CSV or shards of images. The data sets are `digits`, `mnist`,
    `fashion-mnist`, `cifar10`, `cifar100`, `tiny-imagenet`, `imagenet` and `core50`. Each scenario reads the fields in
    its own way:

    - New Classes: `first_classes` arrive in the first experience, then `classes` at a time.
    - New Instances: the images of each class are cut into `parts`; one part of all classes arrives at a time.
    - New Instances and Classes: one part of `first_classes` classes arrives first, then the remaining (class, part)
      pairs one at a time.
    - New Domains: classes arrive as in New Classes, but the label of a class is its place in its experience, so that
      all experiences have the same labels.

    The seed draws the order of the classes, unless `order` names them as they arrive. CORe50 comes in official `lists`
    of experiences instead (see `CORE50_LISTS`); the seed is then the number of the official run. Its classes are its
    objects, or with `categories` their categories. Every `test_every`-th test image is used.
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
        in_range(self, "stream", 1, MOST_AT_ONCE, "first_classes", "classes", "parts", "test_every")
        if self.data == "digits" and self.images != ImageRecipe():
            raise ValueError("stream.images has no effect on digits, which have 8 x 8 pixels: remove it.")
        core50 = self.data == "core50"
        if core50 != (self.lists is not None):
            raise ValueError(f"stream.lists is {self.lists}: core50, and nothing else, needs it.")
        if self.categories and not core50:
            raise ValueError(f"stream.categories has no effect: {self.data} has none; remove it.")
        if self.lists is not None:
            self._check_lists(self.lists)
        else:
            self._check_classes()

    def _check_lists(self, lists: str) -> None:
        """Checks that nothing but an official list decides what arrives."""
        if lists not in CORE50_LISTS:
            raise ValueError(f"stream.lists is {lists!r}: give one of {', '.join(CORE50_LISTS)}.")
        if CORE50_LISTS[lists] is not self.scenario:
            raise ValueError(f"stream.scenario is {self.scenario}: {lists} is {CORE50_LISTS[lists]}.")
        if (self.first_classes, self.classes, self.parts, self.order) != (1, 1, 1, ()):
            raise ValueError("stream.first_classes, classes, parts and order have no effect with lists: remove them.")

    def _check_classes(self) -> None:
        """Checks that classes and parts are given as the scenario needs them."""
        if self.scenario in (Scenario.NI, Scenario.NIC) and self.parts < 2:
            raise ValueError(f"stream.parts is {self.parts}: {self.scenario} needs 2 or more.")
        if self.scenario is Scenario.DOMAINS and self.first_classes != self.classes:
            raise ValueError("stream.first_classes and classes differ: in new-domains give both the same number.")
        if self.scenario is Scenario.NI and self.order:
            raise ValueError("stream.order has no effect: in new-instances all classes arrive at once; remove it.")
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"stream.order is {self.order}: name each class once.")
