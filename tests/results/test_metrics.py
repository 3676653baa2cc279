"""Numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from negreplay.errors import UserError
from negreplay.recipe import ClassifierRecipe, PhaseRecipe, Recipe, Scenario, StreamRecipe, Study
from negreplay.results.metrics import Row, Spread, accuracies, average, class_names, curve, final, forgetting, summarise


def shares(*values: float | None) -> dict[str, float | None]:
    """Of three classes."""
    return dict(zip(("cat", "dog", "eel"), values, strict=True))


FIRST = Row("a", 0, 0, 3, 1, 20, 0.25, 0.5, shares(0.5, None, None), 10.0, 1.0, 0.5, 100, 1000)
SECOND = replace(FIRST, experience=1, classes_seen=2, whole=0.5, growing=0.75, per_class=shares(0.75, 0.75, None))
THIRD = replace(
    FIRST, experience=2, classes_seen=3, whole=0.6, growing=0.6, per_class=shares(0.5, 0.8, 0.5), kept_bytes=300
)
RUN = [FIRST, SECOND, THIRD]


def check(found: Spread | None, mean: float, std: float) -> None:
    assert found
    assert (found.mean, found.std) == pytest.approx((mean, std))


def study(*arms: str, seeds: tuple[int, ...] = (0, 1)) -> Study:
    stream = StreamRecipe("digits", Scenario.NC)
    first = Recipe(
        arms[0], stream, ClassifierRecipe("small", "conv2"), PhaseRecipe(1, 0.1, 0.1), PhaseRecipe(1, 0.1, 0.1)
    )
    return Study("test", "A test.", tuple(replace(first, name=arm) for arm in arms), seeds)


def test_accuracies_count_absent_classes_as_wrong_in_the_whole_test_set():
    correct, totals = np.array([8, 5, 0]), np.array([10, 10, 20])
    assert accuracies(correct, totals, np.array([True, True, False])) == (13 / 40, 13 / 20, (0.8, 0.5, None))


def test_accuracies_ignore_what_is_counted_for_absent_classes():
    correct, totals = np.array([8, 5, 20]), np.array([10, 10, 20])
    assert accuracies(correct, totals, np.array([True, True, False]))[0] == 13 / 40


def test_whole_and_growing_agree_once_all_classes_are_in():
    whole, growing, _ = accuracies(np.array([1, 2]), np.array([4, 4]), np.array([True, True]))
    assert whole == growing == 3 / 8


def test_a_seen_class_without_test_images_has_no_accuracy():
    assert accuracies(np.array([1, 0]), np.array([2, 0]), np.array([True, True])) == (0.5, 0.5, (0.5, None))


def test_accuracies_need_test_images():
    with pytest.raises(UserError, match="add test images"):
        accuracies(np.array([0, 0]), np.array([0, 5]), np.array([True, False]))


def test_final_is_the_last_experience_only():
    assert final(RUN) is THIRD
    assert final(RUN[:2]) is None


def test_average_is_over_evaluated_experiences():
    assert average(RUN) == pytest.approx((1.35 / 3, 1.85 / 3))


def test_forgetting_compares_the_best_earlier_with_the_last():
    # class 0: best 0.75, last 0.5; class 1: best 0.75, last 0.8; class 2 was never evaluated before.
    assert forgetting(RUN) == pytest.approx((0.25 - 0.05) / 2)
    assert forgetting(RUN[:1]) is None


def test_summary_over_two_seeds():
    other = [replace(row, seed=1, whole=row.whole + 0.1, train_seconds=20.0) for row in RUN]
    (summary,) = summarise([*RUN, *other], study("a"))
    assert (summary.seeds, summary.incomplete) == ((0, 1), ())
    check(summary.final_whole, 0.65, 0.1 / 2**0.5)
    check(summary.final_growing, 0.6, 0.0)
    check(summary.average_whole, 0.5, 0.1 / 2**0.5)
    check(summary.train_seconds, 45.0, 15 * 2**0.5)
    check(summary.generator_seconds, 3.0, 0.0)
    check(summary.evaluate_seconds, 1.5, 0.0)
    check(summary.kept_bytes, 300.0, 0.0)
    assert summary.per_class == shares(0.5, 0.8, 0.5)


def aware(run: list[Row], *shares: float | None) -> list[Row]:
    return [replace(row, task_aware=share) for row, share in zip(run, shares, strict=True)]


def test_task_aware_accuracy_over_two_seeds():
    other = [replace(row, seed=1) for row in RUN]
    rows = [*aware(RUN, 1.0, 0.8, 0.6), *aware(other, 1.0, 0.9, 0.8)]
    (summary,) = summarise(rows, study("a"))
    check(summary.final_task_aware, 0.7, 0.1 * 2**0.5)
    check(summary.average_task_aware, 0.85, 0.05 * 2**0.5)


def test_task_aware_accuracy_is_known_of_an_arm_or_not():
    rows = [*aware(RUN, 0.0, 0.0, 0.0), *(replace(row, arm="b") for row in RUN)]
    known, unknown = summarise(rows, study("a", "b", seeds=(0,)))
    assert known.final_task_aware == known.average_task_aware == Spread(0.0, None)
    assert unknown.final_task_aware is unknown.average_task_aware is None


def test_an_unfinished_seed_enters_no_task_aware_accuracy():
    other = [replace(row, seed=1) for row in RUN[:2]]
    (summary,) = summarise([*aware(RUN, 1.0, 0.8, 0.6), *aware(other, 0.1, 0.1)], study("a"))
    assert summary.final_task_aware == Spread(0.6, None)
    assert summary.average_task_aware and summary.average_task_aware.mean == pytest.approx(0.8)


def test_numbers_of_a_class_stand_under_its_name_whatever_its_number_with_a_seed():
    other = [replace(row, seed=1, per_class=dict(reversed(list(row.per_class.items())))) for row in RUN]
    other[2] = replace(other[2], per_class={"eel": 0.7, "dog": None, "cat": 0.1})
    (summary,) = summarise([*RUN, *other], study("a"))
    assert summary.per_class == {"cat": pytest.approx(0.3), "dog": 0.8, "eel": pytest.approx(0.6)}
    # With the other seed the cat falls by 0.65; the dog has no share at the end, the eel none before.
    assert forgetting(other) == pytest.approx(0.65)


def test_classes_are_sorted_whatever_the_order_in_which_they_came():
    one, other = (replace(FIRST, per_class=dict.fromkeys(n)) for n in (("10", "b", "2"), ("a 3", "2", "10", "A")))
    assert class_names([one, other]) == class_names([other, one]) == ("2", "10", "A", "a 3", "b")


def test_one_seed_has_no_deviation():
    (summary,) = summarise(RUN, study("a", seeds=(0,)))
    assert summary.final_whole == Spread(0.6, None)


def test_an_unfinished_seed_is_named_and_enters_no_number():
    other = [replace(row, seed=1, whole=0.9) for row in RUN[:2]]
    (summary,) = summarise([*RUN, *other], study("a"))
    assert (summary.seeds, summary.incomplete) == ((0,), (1,))
    assert summary.final_whole == Spread(0.6, None)
    assert summary.average_whole
    assert summary.average_whole.mean == pytest.approx(0.45)


def test_an_arm_without_rows_is_incomplete():
    summary = summarise(RUN, study("a", "b"))[1]
    assert (summary.arm, summary.seeds, summary.incomplete) == ("b", (), (0, 1))
    assert summary.final_whole is None
    assert summary.per_class == {}


def test_rows_may_come_in_any_order():
    assert summarise(RUN[::-1], study("a")) == summarise(RUN, study("a"))


def test_curve_draws_finished_seeds_or_else_what_all_have_reached():
    other = [replace(row, seed=1) for row in RUN[:1]]
    assert [[row.seed for row in point] for point in curve([*RUN, *other], "a")] == [[0], [0], [0]]
    assert [len(point) for point in curve([*RUN[:2], *other], "a")] == [2]
    assert curve(RUN, "b") == []
