"""Which arms recognise most, and whether that may be chance."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from negreplay.recipe import Source, StreamRecipe, Study
from negreplay.results.metrics import Row, Summary, summarise

NORMAL = 1.96
"""Half the width of a 95 % interval, in standard errors that are known."""


@dataclass(frozen=True)
class Difference:
    """By how much the final accuracy of one arm exceeds another's on the whole test set, in shares.

    `half` is half the width of the 95 % interval around `mean`; `seeds` is how many both arms finished.
    """

    mean: float
    half: float
    seeds: int

    @property
    def seen(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.mean) > self.half

    def __str__(self) -> str:
        mean, half = 100 * self.mean, 100 * self.half
        if self.seeds == 1:
            return f"{mean:+.1f} points (one seed: a difference of less than {half:.1f} points could be chance)"
        interval = f"{mean - half:+.1f} to {mean + half:+.1f}"
        return f"{mean:+.1f} points (95 % interval {interval}, paired over {self.seeds} seeds)"


@dataclass(frozen=True)
class Headline:
    """What can be said of the arms that learn one stream and keep no training data.

    `leaders` has the arm with the highest final accuracy, then all those that may be as good: no difference to it is
    seen. `against` has the differences between the first leader and other arms: the other leaders, or else the next arm
    and the one without replay; a difference is None where no seed has finished in both arms. `images` is the size of
    the whole test set, and `chance` the share of it that guessing among `classes` classes recognises.
    """

    stream: StreamRecipe
    leaders: tuple[Summary, ...]
    against: tuple[tuple[Summary, Difference | None], ...]
    classes: int
    images: int

    @property
    def chance(self) -> float:
        return 1 / self.classes

    @property
    def at_chance(self) -> bool:
        """Whether even the first leader is no better than guessing might be."""
        best = self.leaders[0].final_whole
        return best is None or best.mean <= self.chance + NORMAL * _error(self.chance, self.images)

    @property
    def best(self) -> Summary | None:
        """The arm that recognises most; None where that may be chance."""
        return self.leaders[0] if len(self.leaders) == 1 and not self.at_chance else None


def headlines(study: Study, rows: Sequence[Row]) -> list[Headline]:
    """A headline for each stream that several arms have learned to its end without keeping training data."""
    streams: dict[StreamRecipe, list[Summary]] = {}
    for recipe, summary in zip(study.recipes, summarise(rows, study), strict=True):
        if summary.final_whole and not recipe.keeps_data:
            streams.setdefault(recipe.arriving, []).append(summary)
    plain = {recipe.name for recipe in study.recipes if recipe.replay.source is Source.NONE}
    return [_headline(stream, arms, plain, rows) for stream, arms in streams.items() if len(arms) > 1]


def difference(rows: Sequence[Row], one: str, other: str) -> Difference | None:
    """The difference between two arms, paired over the seeds that both finished; None where there is none.

    With one seed both arms meet the same classes in the same order, so their difference varies less than their
    accuracies do. Its interval is Student's. A few seeds may agree by luck, and a single seed has no such interval. So
    it is never narrower than that of two arms which are right independently of each other on so many test images.
    """
    ends = {(row.arm, row.seed): row for row in rows if row.last}
    pairs = [(end, ends[other, seed]) for (arm, seed), end in ends.items() if arm == one and (other, seed) in ends]
    if not pairs:
        return None
    images = sum(min(first.test_images, second.test_images) for first, second in pairs)
    means = (statistics.fmean(pair[arm].whole for pair in pairs) for arm in (0, 1))
    half = NORMAL * math.hypot(*(_error(mean, images) for mean in means))
    gaps = [first.whole - second.whole for first, second in pairs]
    if len(gaps) > 1:
        half = max(half, _student(len(gaps) - 1) * statistics.stdev(gaps) / math.sqrt(len(gaps)))
    return Difference(statistics.fmean(gaps), half, len(gaps))


def _headline(stream: StreamRecipe, arms: list[Summary], plain: set[str], rows: Sequence[Row]) -> Headline:
    first, *others = sorted(arms, key=lambda arm: arm.final_whole.mean if arm.final_whole else 0.0, reverse=True)
    gaps = [(other, difference(rows, first.arm, other.arm)) for other in others]
    equal = tuple((other, gap) for other, gap in gaps if gap is None or not gap.seen)
    without = next((pair for pair in gaps if pair[0].arm in plain), None)
    against = equal or tuple(pair for pair in gaps if pair is gaps[0] or pair is without)
    end = next(row for row in rows if row.last and row.arm == first.arm)
    return Headline(stream, (first, *(other for other, _ in equal)), against, end.classes_seen, end.test_images)


def _error(share: float, images: int) -> float:
    """The standard error of a share of so many images."""
    return math.sqrt(share * (1 - share) / images)


def _student(freedom: int) -> float:
    """Half the width of a 95 % interval, in standard errors that are estimated."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
