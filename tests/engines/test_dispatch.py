"""Many tasks at once: lost ones are tried again, and those that failed for good are named."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from cells import cells, learned
from tiny import MACHINE, digits
from workers import Dying

from negreplay.engines.dispatch import TRIES, Failure, learn_on, named
from negreplay.engines.tasks import Task
from negreplay.prepare import Cell, Event
from negreplay.recipe import PhaseRecipe

STUDY = digits("no-replay", "nr-od")
LOST, OTHER = "no-replay with seed 0", "nr-od with seed 0"
Returned = TypeVar("Returned")


def tasks(folder: Path, every: float = 0.0) -> list[Task]:
    return [Task(cell) for cell in cells(STUDY, folder, "dispatched", store=False, every=every)]


def drained(generator: Generator[Event, None, Returned]) -> tuple[list[Event], Returned]:
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return events, end.value


def rows(events: list[Event], cell: Cell) -> list[dict[str, object]]:
    own = [event.row for event in events if event.row is not None and event.arm == cell.recipe.name]
    return [{name: value for name, value in vars(row).items() if name not in MACHINE} for row in own]


def check_whole(events: list[Event], folder: Path) -> None:
    """Every end of an experience has been told once, and the numbers are those of a cell that nobody disturbed."""
    ends = [(event.arm, event.index) for event in events if event.step is None]
    assert sorted(ends) == [(arm, index) for arm in ("no-replay", "nr-od") for index in range(3)]
    for cell in cells(STUDY, folder, "undisturbed", store=False):
        assert rows(events, cell) == learned(cell)


@pytest.mark.parametrize("silent", [False, True])
def test_a_lost_task_goes_on_from_its_checkpoint(tmp_path: Path, capfd: pytest.CaptureFixture[str], silent: bool):
    """It is lost more often than there are tries, but each time it has come further."""
    engine = Dying({LOST: [7, 1, 1, 1]}, silent)
    events, failures = drained(learn_on(engine, tasks(tmp_path), 2))
    assert failures == [] and engine.started == [LOST, OTHER, *[LOST] * 4]
    check_whole(events, tmp_path)
    again = f"negreplay: {LOST} was not finished (its worker died): it is tried again from its last checkpoint."
    assert capfd.readouterr().err.splitlines() == [again] * 4


def test_an_experience_that_is_learned_twice_is_told_once(tmp_path: Path):
    """The worker dies after an evaluation, of which no checkpoint was written."""
    engine = Dying({LOST: [8]})
    events, failures = drained(learn_on(engine, tasks(tmp_path, every=1000.0), 2))
    assert failures == [] and engine.dead
    check_whole(events, tmp_path)


def test_a_task_that_comes_no_further_fails_and_the_others_are_done(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    engine = Dying({LOST: [1] * 9})
    both = tasks(tmp_path, every=1000.0)
    events, failures = drained(learn_on(engine, both, 1))
    assert engine.started == [LOST, OTHER, *[LOST] * (TRIES - 1)] and engine.most == 1
    assert {event.arm for event in events if event.row} == {"nr-od"} and both[1].finished and not both[0].finished
    assert named(failures) == f"{LOST} failed (its worker died)"
    assert "failed" not in capfd.readouterr().err, "the one sentence at the end says it"


def test_a_users_mistake_is_not_tried_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    hopeless = PhaseRecipe(1, lr_features=1e30, lr_head=1e30)
    wrong, right = tasks(tmp_path)
    wrong = Task(replace(wrong.cell, recipe=replace(wrong.cell.recipe, first=hopeless)))
    engine = Dying({})
    _, failures = drained(learn_on(engine, [wrong, right], 1))
    assert engine.started == [LOST, OTHER] and right.finished
    (failure,) = failures
    assert isinstance(failure, Failure) and "loss became" in failure.end.reason
    assert capfd.readouterr().err.endswith(": the others go on.\n")


def test_what_is_finished_is_not_given_to_a_worker(tmp_path: Path):
    both = tasks(tmp_path)
    learned(both[0].cell)
    engine = Dying({})
    events, _ = drained(learn_on(engine, both, 2))
    assert engine.started == [OTHER] and {event.arm for event in events} == {"nr-od"}
