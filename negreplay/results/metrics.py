"""What came out, in numbers: accuracy after each experience, and what follows from it for an arm.

A `Row` is one evaluation of one *cell*: an arm learned with one seed. Two protocols stand side by side: the *whole*
test set from the first experience on (CORe50's; Figures 3 and 4), and the *growing* one of the classes seen so far
(Masana et al., 2020). They are equal once every class has arrived.
"""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from negreplay.errors import UserError
from negreplay.recipe import Study


@dataclass(frozen=True)
class Row:
    """One arm with one seed, evaluated after one experience.

    `experience` counts from 0 and `experiences` is how many the stream has. `test_images` is how many test images the
    classes seen have: the size of the growing test set. Accuracies are shares from 0 to 1. `per_class` has every class
    of the data, by name, since a class may have another number with another seed. A class has the share None while it
    has not arrived, and if it has no test image. Seconds are those spent since the previous row. `kept_bytes` is what
    is kept between experiences beside the classifier (memory, generator, importances), and `peak_bytes` is the peak
    resident memory of the process. `task_agnostic` is the mean, over the experiences so far, of the accuracy on their
    classes. `task_aware` is the same where the experience of each test pattern is known (Masana et al., 2020). Both are
    None where classes come more than once.
    """

    arm: str
    seed: int
    experience: int
    experiences: int
    classes_seen: int
    test_images: int
    whole: float
    growing: float
    per_class: Mapping[str, float | None]
    train_seconds: float
    generator_seconds: float
    evaluate_seconds: float
    kept_bytes: int
    peak_bytes: int
    task_agnostic: float | None = None
    task_aware: float | None = None

    @property
    def last(self) -> bool:
        """Whether this is the evaluation after the last experience."""
        return self.experience == self.experiences - 1


@dataclass(frozen=True)
class Spread:
    """A mean over seeds, with the sample standard deviation (n - 1), which is None for one seed."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Summary:
    """What an arm reached, over the seeds that finished; everything is None while none has.

    `seeds` finished the stream; `incomplete` are the study's seeds that have not (begun or not), and they enter no
    number. Accuracies and forgetting are shares from 0 to 1; `per_class` has the mean over seeds of each class, by name
    and in the order of `class_names`. Seconds are those of a whole cell; bytes are the highest of a cell.
    """

    arm: str
    seeds: tuple[int, ...]
    incomplete: tuple[int, ...]
    final_whole: Spread | None
    final_growing: Spread | None
    average_whole: Spread | None
    average_growing: Spread | None
    forgetting: Spread | None
    per_class: Mapping[str, float | None]
    train_seconds: Spread | None
    generator_seconds: Spread | None
    evaluate_seconds: Spread | None
    kept_bytes: Spread | None
    peak_bytes: Spread | None
    final_task_agnostic: Spread | None
    average_task_agnostic: Spread | None
    final_task_aware: Spread | None
    average_task_aware: Spread | None


def accuracies(
    correct: NDArray[np.integer], totals: NDArray[np.integer], seen: NDArray[np.bool_]
) -> tuple[float, float, tuple[float | None, ...]]:
    """The accuracy on the whole test set, on the growing one, and on each class.

    The whole test set counts every pattern of a class that has not arrived as wrong: a learner never predicts a class
    it has not seen. So these patterns need not even be read; what `correct` holds for them is ignored.

    Args:
        correct: for each class, how many of its test patterns were recognised.
        totals: for each class, how many test patterns it has, whether it has arrived or not.
        seen: for each class, whether it has arrived.

    Raises:
        UserError: if the classes seen have no test pattern at all.
    """
    right, reachable = int(correct[seen].sum()), int(totals[seen].sum())
    if reachable == 0:
        raise UserError("The test set has no image of the classes seen so far: add test images of every class.")
    shares = (float(c / t) if s and t else None for c, t, s in zip(correct, totals, seen, strict=True))
    return right / int(totals.sum()), right / reachable, tuple(shares)


def by_experience(
    correct: NDArray[np.integer], totals: NDArray[np.integer], arrived: NDArray[np.integer], index: int
) -> float | None:
    """The mean over experiences, up to `index`, of the accuracy on the classes that came with each.

    Args:
        correct: for each class, how many of its test patterns were recognised.
        totals: for each class, how many test patterns it has.
        arrived: for each class, the experience with which it came.
        index: the newest experience.
    """
    groups = [arrived == i for i in range(index + 1)]
    shares = [correct[group].sum() / totals[group].sum() for group in groups if totals[group].sum()]
    return float(np.mean(shares)) if shares else None


def by_cell(rows: Iterable[Row]) -> dict[tuple[str, int], list[Row]]:
    """The rows of each arm and seed, in the order of experiences."""
    grouped: dict[tuple[str, int], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.experience):
        grouped.setdefault((row.arm, row.seed), []).append(row)
    return grouped


def class_names(rows: "Iterable[Row | Summary]") -> tuple[str, ...]:
    """The classes of all rows, or summaries, sorted by name (2 before 10), so that their order depends on no seed."""
    names = {name for row in rows for name in row.per_class}
    return tuple(sorted(names, key=lambda name: re.sub(r"\d+", lambda number: number[0].zfill(20), name)))


def final(cell: Sequence[Row]) -> Row | None:
    """The row after the last experience of a cell; None if the cell has not got there."""
    return next((row for row in cell if row.last), None)


def average(cell: Sequence[Row]) -> tuple[float, float]:
    """The whole and the growing accuracy averaged over the evaluated experiences of a cell (Table 1)."""
    return statistics.fmean(row.whole for row in cell), statistics.fmean(row.growing for row in cell)


def forgetting(cell: Sequence[Row]) -> float | None:
    """How far a class fell from its best: the mean over classes of best earlier accuracy minus the last one.

    The measure is that of Chaudhry et al. (2018, "Riemannian Walk for Incremental Learning", Section 3) with a class in
    the place of a task: f_c = max over l < K of a_{l,c}, minus a_{K,c}, averaged over the classes that were evaluated
    before the last row K. It is negative where classes improved, and None if no class was evaluated earlier. Only
    evaluated experiences are known, so evaluating rarely (`evaluate_every`) can only lower it.
    """
    *earlier, last = cell
    falls = []
    for name, now in last.per_class.items():
        before = [share for row in earlier if (share := row.per_class.get(name)) is not None]
        if before and now is not None:
            falls.append(max(before) - now)
    return statistics.fmean(falls) if falls else None


def summarise(rows: Iterable[Row], study: Study) -> list[Summary]:
    """One summary for each arm of the study, in its order; an arm without rows is one whose seeds are incomplete."""
    grouped = by_cell(rows)
    return [_summary(recipe.name, study.seeds, grouped) for recipe in study.recipes]


def curve(rows: Iterable[Row], arm: str) -> list[list[Row]]:
    """The evaluations of an arm for drawing: for each experience, the rows of its seeds.

    Only finished seeds count, or, while none has finished, all that have begun. An experience counts only if all these
    seeds have been evaluated after it, for a mean over changing seeds would jump.
    """
    begun = [cell for (name, _), cell in by_cell(rows).items() if name == arm]
    cells = [cell for cell in begun if final(cell)] or begun
    points: dict[int, list[Row]] = {}
    for row in (row for cell in cells for row in cell):
        points.setdefault(row.experience, []).append(row)
    return [points[experience] for experience in sorted(points) if len(points[experience]) == len(cells)]


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and sample standard deviation of the values that are known; None if there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def _summary(arm: str, seeds: Sequence[int], grouped: dict[tuple[str, int], list[Row]]) -> Summary:
    done = {seed: cell for seed in seeds if final(cell := grouped.get((arm, seed), []))}
    finished = list(done.values())
    ends = [cell[-1] for cell in finished]
    return Summary(
        arm=arm,
        seeds=tuple(done),
        incomplete=tuple(seed for seed in seeds if seed not in done),
        final_whole=spread(end.whole for end in ends),
        final_growing=spread(end.growing for end in ends),
        average_whole=spread(average(cell)[0] for cell in finished),
        average_growing=spread(average(cell)[1] for cell in finished),
        forgetting=spread(forgetting(cell) for cell in finished),
        per_class={name: _mean(end.per_class.get(name) for end in ends) for name in class_names(ends)},
        train_seconds=spread(sum(row.train_seconds for row in cell) for cell in finished),
        generator_seconds=spread(sum(row.generator_seconds for row in cell) for cell in finished),
        evaluate_seconds=spread(sum(row.evaluate_seconds for row in cell) for cell in finished),
        kept_bytes=spread(max(row.kept_bytes for row in cell) for cell in finished),
        peak_bytes=spread(max(row.peak_bytes for row in cell) for cell in finished),
        final_task_agnostic=spread(end.task_agnostic for end in ends),
        average_task_agnostic=spread(_mean(row.task_agnostic for row in cell) for cell in finished),
        final_task_aware=spread(end.task_aware for end in ends),
        average_task_aware=spread(_mean(row.task_aware for row in cell) for cell in finished),
    )


def _mean(shares: Iterable[float | None]) -> float | None:
    value = spread(shares)
    return value.mean if value else None
