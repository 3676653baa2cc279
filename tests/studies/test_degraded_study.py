"""The arms of `cifar50-degraded` differ in what the map of negatives compares, and in nothing else."""

from dataclasses import replace

import pytest

from negreplay.recipe import Mode
from negreplay.studies import study
from negreplay.studies.arms import named
from negreplay.studies.cifar50_degraded import GENERATORS

ARMS = study("cifar50-degraded").recipes


@pytest.mark.parametrize("way", [arm.name.removeprefix("pr-") for arm in ARMS if arm.name.startswith("pr-")])
def test_the_two_arms_of_a_point_differ_in_their_mode_only(way: str):
    positive, negative = named(ARMS, f"pr-{way}", f"nr-{way}")
    assert (positive.replay.mode, negative.replay.mode) == (Mode.POSITIVE, Mode.NEGATIVE)
    assert replace(negative, name=positive.name, replay=replace(negative.replay, mode=Mode.POSITIVE)) == positive


def test_generators_are_starved_or_without_gates_or_both():
    arms = named(ARMS, *(f"nr-gd{ending}" for ending in GENERATORS))
    generators = [arm.generator for arm in arms if arm.generator is not None]
    assert [g.silent for g in generators] == [0.7, 0.0, 0.7, 0.0]
    assert [(g.first_iterations, g.iterations) for g in generators] == [(752, 424)] * 2 + [(75, 42)] * 2
    assert arms[0] == named(study("cifar50-nc-pooled").recipes, "nr-gd")[0]
