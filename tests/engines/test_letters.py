"""What a worker on another machine tells, in a file."""

import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cells
from tiny import digits

from negreplay.engines.letters import Letters, work
from negreplay.engines.tasks import End, Task
from negreplay.errors import UserError
from negreplay.recipe import PhaseRecipe

STUDY = digits("no-replay")


@pytest.fixture(autouse=True)
def _own_process() -> Iterator[None]:
    """`work` tunes a process that does nothing else."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    torch.set_flush_denormal(False)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def task(folder: Path, **changes: Any) -> Task:
    (cell,) = cells(digits("no-replay", **changes) if changes else STUDY, folder, "checkpoints", store=False)
    return Task(cell)


def test_a_worker_tells_each_end_of_an_experience_and_its_own(tmp_path: Path):
    letters, done = Letters(tmp_path / "workers" / "a.jsonl"), task(tmp_path)
    work(done, 1, letters.path)
    events, end = letters.read()
    assert end == End() and done.finished
    ends = [event for event in events if event.step is None]
    assert [event.row.experience for event in ends if event.row] == [0, 1, 2]
    assert events[0].step is not None and (events[0].step.part, events[0].step.done) == ("classifier", 1)
    assert letters.read() == ([], None), "each is read once"
    letters.close()
    assert not letters.path.exists()


def test_half_a_line_waits_for_the_rest(tmp_path: Path):
    letters = Letters(tmp_path / "a.jsonl")
    letters.path.write_bytes(b'{"finished": false, "reason": "x", ')
    assert letters.read() == ([], None)
    with letters.path.open("ab") as file:
        file.write(b'"again": true, "details": ""}\n')
    assert letters.read() == ([], End(False, "x"))


def test_a_mistake_is_told_with_the_name_of_the_machine(tmp_path: Path):
    letters = Letters(tmp_path / "a.jsonl")
    work(task(tmp_path, first=PhaseRecipe(1, lr_features=1e30, lr_head=1e30)), 1, letters.path)
    _, end = letters.read()
    assert end is not None and not end.finished and not end.again
    assert end.reason.startswith("on ") and "loss became" in end.reason


def test_a_worker_that_does_not_see_the_folder_of_the_run_refuses(tmp_path: Path):
    with pytest.raises(UserError, match=r"does not see .*: give --out a folder that all machines share\."):
        work(task(tmp_path), 1, tmp_path / "workers" / "a.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_worker_that_was_given_up_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    letters, given = Letters(tmp_path / "a.jsonl"), task(tmp_path)
    monkeypatch.setattr("negreplay.engines.letters.asdict", lambda event: (letters.close(), asdict(event))[1])
    with pytest.raises(FileNotFoundError):
        work(given, 1, letters.path)
    assert not given.finished and not letters.path.exists()


def test_a_worker_that_is_asked_to_end_saves_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    letters, given = Letters(tmp_path / "a.jsonl"), task(tmp_path)
    monkeypatch.setattr("negreplay.engines.letters.asdict", lambda what: (_ask(what), asdict(what))[1])
    work(given, 1, letters.path)
    _, end = letters.read()
    assert end is not None and end.again and end.reason.endswith(", it was asked to end")
    assert given.position.taken == 1


def _ask(what: object) -> None:
    if not isinstance(what, End):
        signal.raise_signal(signal.SIGUSR2)
