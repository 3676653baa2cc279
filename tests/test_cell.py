"""One arm with one seed: its rows and its clock, and it resumes."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cells, learned, state
from tiny import digits

from negreplay import cell as cell_module
from negreplay.cell import Clock, learn_cell
from negreplay.checkpoint import Checkpoints
from negreplay.journal import Journal
from negreplay.learn import learn
from negreplay.learners.latent_replay import LatentReplay
from negreplay.optimize import Step
from negreplay.positions import Position, read_position, read_rows_of, table_of
from negreplay.prepare import Cell, Event, Places
from negreplay.recipe import Scenario
from negreplay.replay.original import Original
from negreplay.results.table import read_rows
from negreplay.starting import start
from negreplay.streams.stream import Experience

PARTS = ("classifier", "generator", "evaluation")


@pytest.mark.parametrize("arm", ["no-replay", "pr-od", "pr-gd", "nr-od", "nr-gd", "nr-rd"])
@pytest.mark.parametrize("stop", [0, 1])
def test_every_arm_resumes_to_the_bit(tmp_path: Path, arm: str, stop: int):
    """Its generator is closed some steps into the experience after the given one, and a new one goes on."""
    whole, cut = (cells(digits(arm), tmp_path, name, store=False)[0] for name in ("whole", "cut"))
    expected = learned(whole)
    events = learn_cell(cut)
    for event in events:
        if event.index == stop + 1 and event.step is not None and event.step.done == 2:
            break
    del events
    assert read_position(cut.checkpoint).learned == stop + 1
    assert learned(cut) == expected
    ours, theirs = state(cut), state(whole)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_steps_that_are_taken_again_count_once(tmp_path: Path):
    """Else a worker that dies at the same step again and again would seem to come further each time."""
    (cell,) = cells(digits("nr-gd"), tmp_path, "a", store=False)
    parts = dict.fromkeys(event.step.part for event in learn_cell(replace(cell, seed=1)) if event.step)
    _, second = parts
    cell = cells(digits("nr-gd"), tmp_path, "b", store=False)[0]
    taken: list[int] = []
    for done in (1, 2):
        events = learn_cell(cell)
        for event in events:
            if event.index == 1 and event.step and (event.step.part, event.step.done) == (second, done):
                break
        events.close()
        taken.append(read_position(cell.checkpoint).taken)
    assert taken[1] == taken[0] + 1


def test_an_experience_ends_with_an_event_that_has_a_row_where_it_was_due(tmp_path: Path):
    study = digits("no-replay", stream=replace(digits().recipes[0].arriving, classes=1), evaluate_every=3)
    (cell,) = cells(study, tmp_path, "a", False)
    ends: list[Event] = [event for event in learn_cell(cell) if event.step is None]
    assert [event.index for event in ends] == list(range(7))
    assert [event.index for event in ends if event.row] == [2, 5, 6], "every third, and the last"
    assert {event.experiences for event in ends} == {7}
    assert [row.experience for row in read_rows_of(cell.checkpoint)] == [2, 5, 6]


def test_a_finished_cell_does_nothing(tmp_path: Path):
    (cell,) = cells(digits("no-replay"), tmp_path, "a", False)
    list(learn_cell(cell))
    assert not list(learn_cell(cell))


def test_the_clock_books_time_on_parts():
    clock = Clock({})
    clock.add("classifier")
    clock.add("generator")
    clock.add("classifier")
    train, generator, evaluation = clock.take()
    assert train > 0 and generator > 0 and evaluation == 0
    assert clock.take() == (0, 0, 0)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_resumed_run_reports_the_seconds_of_all_experiences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
):
    """Each look at the clock takes a second, so seconds count steps."""
    study = digits("nr-gd", stream=replace(digits().recipes[0].arriving, classes=1), evaluate_every=3)
    whole, cut = (cells(study, tmp_path, name, store=False)[0] for name in ("whole", "cut"))
    monkeypatch.setattr(time, "perf_counter", count().__next__)
    list(learn_cell(whole))
    for event in learn_cell(cut):
        if event.step is None and event.index == stop:
            break
    list(learn_cell(cut))
    expected, resumed = (
        [(row.train_seconds, row.generator_seconds, row.evaluate_seconds) for row in read_rows_of(cell.checkpoint)]
        for cell in (whole, cut)
    )
    assert resumed == expected
    (train, generator, evaluation), _, last = expected
    assert train > last[0] > 0 and generator > last[1] > 0, "three experiences take longer than one"
    assert evaluation == last[2] == 1


@pytest.mark.parametrize("left", [1, 0.5])
@pytest.mark.parametrize("learned_before", [0, 1])
def test_a_row_that_no_checkpoint_counts_is_cut_off(tmp_path: Path, left: float, learned_before: int):
    """A kill between a row and its checkpoint leaves a line too many, or half of one."""
    (cell,) = cells(digits("no-replay"), tmp_path, "a", False, every=0.0)
    expected = learned(cells(digits("no-replay"), tmp_path, "whole", False)[0])
    before: dict[Path, bytes] = {}
    for event in learn_cell(cell):
        if event.step is None and event.index == learned_before:
            break
        if event.step is None:
            before = {cell.checkpoint: cell.checkpoint.read_bytes()}
    earlier = len(table_of(cell.checkpoint).read_bytes().splitlines(keepends=True)[-1])
    for path in cell.checkpoint.parent.glob("*.safetensors"):
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    os.truncate(table_of(cell.checkpoint), table_of(cell.checkpoint).stat().st_size - int(earlier * (1 - left)))
    assert read_position(cell.checkpoint).rows == len(read_rows_of(cell.checkpoint)) == learned_before
    assert learned(cell) == expected
    assert len(read_rows(table_of(cell.checkpoint))) == len(expected)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads and writes")
def test_what_is_read_and_written_after_an_experience_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not with the rows before: a row has about 200 bytes here, and numbers may differ by some digits."""
    monkeypatch.setattr(Checkpoints, "save_inside", lambda *_: None)  # only what is written between experiences counts
    stream = replace(digits().recipes[0].arriving, scenario=Scenario.NI, parts=30, first_classes=1, classes=1)
    run = start(
        tmp_path / "out", digits("no-replay", stream=stream), Places(tmp_path, tmp_path, None), 1, "x", every=0.0
    )
    (cell,) = run.cells()
    checkpoints: list[int] = []
    moved: list[tuple[int, int]] = []
    for event in learn(run):
        if event.step is None:
            checkpoints.append(cell.checkpoint.stat().st_size)
            moved.append(io_bytes())
    read, written = ([after[way] - before[way] for before, after in pairwise(moved)] for way in (0, 1))
    row = len(table_of(cell.checkpoint).read_bytes().splitlines()[-1])
    assert len(checkpoints) == 30 and read_position(cell.checkpoint) == Position(30, 30, 30, dict.fromkeys(PARTS, 0.0))
    assert abs(checkpoints[29] - checkpoints[2]) <= 8
    assert abs(written[28] - written[1]) < row / 2 and written[28] > checkpoints[29]
    assert abs(read[28] - read[1]) < row / 2


def io_bytes() -> tuple[int, int]:
    """Bytes that this process has read and written so far, through the system."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"]), int(lines["wchar"])


def asking(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, times: int) -> None:
    """Lets a signal arrive so many times within the third step of the second experience."""
    learn = LatentReplay.learn

    def asked(self: LatentReplay, experience: Experience) -> Iterator[Step]:
        for taken, step in enumerate(learn(self, experience), 1):
            for _ in range(times * ((experience.index, taken) == (1, 3))):
                signal.raise_signal(number)
            yield step

    monkeypatch.setattr(LatentReplay, "learn", asked)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_which_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    whole, cut = (cells(digits("nr-gd"), tmp_path, name, store=False)[0] for name in ("whole", "cut"))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            asking(patch, number, 1)
            list(learn_cell(cut))
    finally:
        signal.signal(signal.SIGTERM, before)
    position = read_position(cut.checkpoint)
    assert (position.learned, position.taken) == (1, 3)
    assert learned(cut) == learned(whole)
    ours, theirs = state(cut), state(whole)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize("moment", ["absorb", "evaluate"])
def test_a_signal_after_the_last_step_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str):
    """It comes in the second experience: while the source of replay takes it in, or while it is evaluated."""
    whole, cut = (cells(digits("nr-od"), tmp_path, name, store=False)[0] for name in ("whole", "cut"))
    expected, calls = learned(whole), count()
    owner = Original if moment == "absorb" else cell_module
    work = getattr(owner, moment)

    def asked(*arguments: object) -> object:
        if next(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return work(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, moment, asked)
        list(learn_cell(cut))
    position = read_position(cut.checkpoint)
    assert (position.learned, position.taken) == (1, last_step(whole))
    assert learned(cut) == expected
    ours, theirs = state(cut), state(whole)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_a_signal_between_two_experiences_waits_for_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It comes while the second experience is made ready, when nothing of the first has been saved."""
    whole, cut = (cells(digits("no-replay"), tmp_path, name, store=False)[0] for name in ("whole", "cut"))
    expected, calls = learned(whole), count()

    def asked(*arguments: Any) -> Journal:
        if next(calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return Journal(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cell_module, "Journal", asked)
        list(learn_cell(cut))
    position = read_position(cut.checkpoint)
    assert (position.learned, position.taken) == (1, 1)
    assert learned(cut) == expected


def last_step(whole: Cell) -> int:
    """How many steps the second experience has."""
    again = replace(whole, checkpoint=whole.checkpoint.with_name("again.safetensors"))
    return sum(event.index == 1 and event.step is not None for event in learn_cell(again))


def test_whoever_asks_twice_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (cell,) = cells(digits("no-replay"), tmp_path, "a", store=False)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        asking(patch, signal.SIGINT, 2)
        list(learn_cell(cell))
    assert read_position(cell.checkpoint) == Position()
