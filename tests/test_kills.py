"""A run that is killed at any moment is resumed, and ends with equal bits: five kills here, fifty in a long test."""

import random
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from kills import (
    ARMS,
    Forked,
    Kill,
    Landed,
    Moment,
    differences,
    ended,
    killed_again_and_again,
    reported,
    study_of,
    typed,
)
from tiny import tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")

SEED = 2026
ONE_PROCESS = (
    Kill("ewc", Moment.INSIDE, 1, 1, False),
    Kill("eeil", Moment.WRITING, 0, 1, False),
    Kill("ranpac-adapted", Moment.BETWEEN, 1, 1, False),
    Kill("dgr", Moment.WRITING, 1, 1, False),
)
TWO_PROCESSES = (Kill("icarl", Moment.INSIDE, 1, 2, False),)


@pytest.mark.parametrize("kills", [ONE_PROCESS, TWO_PROCESSES], ids=["one process", "two"])
def test_five_kills(tmp_path: Path, kills: tuple[Kill, ...]):
    """The first process is killed, and those of its arms have to end by themselves."""
    tree(tmp_path, 8)
    rng, landed = random.Random(SEED), []
    study, whole = study_of([*dict.fromkeys(kill.arm for kill in kills), "bic"]), tmp_path / "whole"
    assert ended(Forked(study, whole, tmp_path, 1)) == 0
    for attempt in range(3):  # a run may be faster than who wants to kill it
        folder = tmp_path / f"killed-{attempt}"
        landed = killed_again_and_again(folder, study, kills, tmp_path, Forked, rng)
        assert differences(folder, whole) == []
        if len(landed) == len(kills):
            break
    assert [(kill.moment, kill.jobs) for kill in landed] == [(kill.moment, kill.jobs) for kill in kills]


def drawn(arms: list[str], moments: Iterator[Moment], rng: random.Random) -> list[Kill]:
    """A kill in each of these arms, of a run with one process or with two."""
    jobs, everybody = rng.choice([1, 1, 2]), rng.random() < 0.5
    kills = []
    for arm, moment in zip(arms, moments, strict=False):
        learned = 1 if moment is Moment.BETWEEN else rng.randrange(2)
        kills.append(Kill(arm, moment, learned, jobs, everybody))
    return kills


@pytest.mark.long
def test_fifty_kills(tmp_path: Path):
    """Commands as a user types them, in every system; the page in benchmarks/ says what came out."""
    tree(tmp_path, 8)
    rng, moments = random.Random(SEED), cycle(Moment)
    whole = tmp_path / "whole"
    assert ended(typed(study_of(list(ARMS)), whole, tmp_path, 2)) == 0
    landed: list[Landed] = []
    runs = equal = 0
    while len(landed) < 50 or ARMS.keys() - {kill.arm for kill in landed}:
        missed = sorted(ARMS.keys() - {kill.arm for kill in landed}) or list(ARMS)
        arms = rng.sample(missed, min(3, len(missed)))
        study, folder = study_of([*dict.fromkeys([*arms, "bic"])]), tmp_path / f"killed-{runs}"
        landed += killed_again_and_again(folder, study, drawn(arms, moments, rng), tmp_path, typed, rng)
        different = differences(folder, whole)
        runs, equal = runs + 1, equal + (not different)
        print(runs, landed[-3:], different, flush=True)
    reported(landed, runs, equal, SEED)
    assert equal == runs
