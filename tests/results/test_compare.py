"""Differences between arms, worked out by hand."""

from dataclasses import replace

import pytest
from imagined import rows_of, six_arms

from negreplay.results.compare import difference, headlines
from negreplay.results.metrics import Row

LAST = [row for row in rows_of(six_arms(), 9, 50) if row.last and row.arm in ("nr-gd", "nr-rd")]


def ends(one: list[float], other: list[float], images: int = 100_000) -> list[Row]:
    """What two arms recognise at the end, seed by seed."""
    shares = {("nr-gd", seed): share for seed, share in enumerate(one)}
    shares |= {("nr-rd", seed): share for seed, share in enumerate(other)}
    rows = [row for row in LAST if (row.arm, row.seed) in shares]
    return [replace(row, whole=shares[row.arm, row.seed], test_images=images) for row in rows]


def test_a_difference_is_paired_over_seeds():
    # 0.03, 0.01, 0.02: the mean is 0.02, the deviation 0.01; Student's 4.3027 for two degrees of freedom.
    gap = difference(ends([0.53, 0.71, 0.62], [0.50, 0.70, 0.60]), "nr-gd", "nr-rd")
    assert gap and (gap.mean, gap.half, gap.seeds) == (
        pytest.approx(0.02),
        pytest.approx(4.3027 * 0.01 / 3**0.5, 1e-4),
        3,
    )
    assert not gap.seen
    assert str(gap) == "+2.0 points (95 % interval -0.5 to +4.5, paired over 3 seeds)"


def test_only_seeds_of_both_arms_count():
    gap = difference(ends([0.5, 0.6, 0.9], [0.4, 0.5]), "nr-gd", "nr-rd")
    assert gap and (gap.mean, gap.seeds) == (pytest.approx(0.1), 2)
    rows = ends([0.5], [0.4])
    assert difference([row for row in rows if row.arm == "nr-gd"], "nr-gd", "nr-rd") is None


@pytest.mark.parametrize(("images", "half"), [(75, 0.1295), (7500, 0.01295)])
def test_with_one_seed_the_test_images_alone_say_what_may_be_chance(images: int, half: float):
    # 1.96 sqrt((0.8 0.2 + 0.787 0.213) / images)
    gap = difference(ends([0.8], [0.787], images), "nr-gd", "nr-rd")
    assert gap and gap.half == pytest.approx(half, rel=1e-3)
    assert gap.seen == (images == 7500)
    assert f"one seed: a difference of less than {100 * gap.half:.1f} points could be chance" in str(gap)


def test_seeds_that_agree_by_luck_make_no_interval_narrower_than_the_test_images_allow():
    gap = difference(ends([0.8, 0.8], [0.787, 0.787], 75), "nr-gd", "nr-rd")
    assert gap and gap.half == pytest.approx(0.1294 / 2**0.5, rel=0.01) and not gap.seen


def test_the_leaders_are_those_between_which_no_difference_is_seen():
    study = six_arms()
    rows = rows_of(study, 9, 50)
    (clear,) = headlines(study, rows)
    assert clear.best and clear.best.arm == "nr-gd" and [arm.arm for arm, _ in clear.against] == ["nr-rd", "no-replay"]
    assert (clear.classes, clear.images, clear.at_chance) == (50, 5000, False)
    near = [replace(row, whole=row.whole + 0.035) if row.arm == "nr-rd" else row for row in rows]
    (level,) = headlines(study, near)
    assert level.best is None and [arm.arm for arm in level.leaders] == ["nr-gd", "nr-rd"]
    assert headlines(study, [row for row in rows if row.arm in ("nr-gd", "nr-od")]) == []
