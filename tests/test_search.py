"""A search for settings sees the first experiences only, is the same after a stop, and ends with a command to type."""

import shlex
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from jaxtyping import Float, Int
from tiny import Negreplay, digits, file_of
from torch import Tensor

from negreplay.builders.changes import changed, parse_settings
from negreplay.builders.grids import Choices, Range, parse_range
from negreplay.builders.streams import build_data, build_stream
from negreplay.data.data import Data
from negreplay.prepare import Event, Places
from negreplay.search import Search, Trial, search
from negreplay.streams.first import first_experiences

STUDY = digits("no-replay")
SETTINGS = {"first.lr_head": Range(0.001, 0.1), "following.epochs": Choices((1, 2))}


@dataclass(frozen=True)
class Guarded:
    """A data set of which only some rows may be read; it notes those that were."""

    data: Data
    allowed: set[int]
    read_rows: set[int] = field(default_factory=set)

    @property
    def labels(self) -> Int[Tensor, " n"]:
        return self.data.labels

    @property
    def names(self) -> tuple[str, ...]:
        return self.data.names

    encoded = augmented = False
    fingerprint = "guarded"

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *shape"]:
        assert set(rows.tolist()) <= self.allowed, "it reads what it may not know"
        self.read_rows.update(rows.tolist())
        return self.data.read(rows, draws)


def places(folder: Path, store: bool = False) -> Places:
    return Places(folder, folder, folder / "latents" if store else None)


def made(searching: Generator[Event, None, list[Trial]]) -> list[Trial]:
    while True:
        try:
            next(searching)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("store", [False, True])
def test_nothing_else_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: bool):
    """Neither a test image nor one of a later experience, also where latents are stored."""
    arm = STUDY.recipes[0].arriving
    train, test = build_data(arm, tmp_path)
    first, second, third = build_stream(arm, train, test, 0)
    allowed = {*first.data.rows.tolist(), *second.data.rows.tolist()}
    guarded = Guarded(train, allowed), Guarded(test, set())
    monkeypatch.setattr("negreplay.search.open_data", lambda *_: guarded)
    trials = made(search(Search(STUDY, SETTINGS, 2, 2), tmp_path / "out", places(tmp_path, store)))
    assert len(trials) == 2 and all(trial.failure is None and 0 < trial.accuracy <= 1 for trial in trials)
    assert guarded[0].read_rows == allowed and not allowed & set(third.data.rows.tolist())


def test_a_search_that_was_stopped_comes_to_the_same_trials(tmp_path: Path):
    whole = made(search(Search(STUDY, SETTINGS, 4, 1), tmp_path / "whole", places(tmp_path)))
    assert len({trial.settings["first.lr_head"] for trial in whole}) == 4
    stopped = search(Search(STUDY, SETTINGS, 4, 1), tmp_path / "out", places(tmp_path))
    while next(stopped).arm != "trial-3":
        pass
    stopped.close()
    assert made(search(Search(STUDY, SETTINGS, 4, 1), tmp_path / "out", places(tmp_path))) == whole


def test_settings_that_cannot_learn_have_recognised_nothing(tmp_path: Path):
    settings = {"first.lr_head": Choices((0.05, 1e30))}
    trials = made(search(Search(STUDY, settings, 6, 1), tmp_path / "out", places(tmp_path)))
    assert {trial.settings["first.lr_head"] for trial in trials} == {0.05, 1e30}
    for trial in trials:
        hopeless = trial.settings["first.lr_head"] == 1e30
        assert (trial.accuracy == 0) == hopeless == ("loss became" in (trial.failure or ""))
    assert trials[0].accuracy > 0, "the best one is the first"


def test_patterns_are_held_out_of_each_class(tmp_path: Path):
    train, test = build_data(STUDY.recipes[0].arriving, tmp_path)
    stream = build_stream(STUDY.recipes[0].arriving, train, test, 0)
    first = first_experiences(stream, 2, seed=0)
    assert len(first) == 2 and [one.classes for one in first] == [one.classes for one in stream[:2]]
    seen = stream.seen(1)
    learned, tested = (torch.bincount(of.labels, minlength=10) for of in (first.train, first.test))
    assert torch.equal(
        learned + tested, torch.bincount(train.labels, minlength=10) * torch.isin(torch.arange(10), seen)
    )
    assert torch.equal(tested[seen], -(-(learned + tested)[seen] // 5))
    assert first.train.fingerprint != first.test.fingerprint != train.fingerprint


def test_the_command_ends_with_a_table_and_the_next_command(negreplay: Negreplay):
    file = file_of(digits("no-replay", "nr-od"), Path())
    fixed = ("--arm", "no-replay", "--set", "following.epochs=2")
    asked = ("search", file, *fixed, "--set", "first.lr_head=0.01..0.1", "--trials", 2, "--experiences", 1)
    done = negreplay(*asked)
    assert done.code == 0 and done.err == ""
    assert "trial-2 seed 0  experience 1/1  accuracy" in done.out and "held out, recognised %" in done.out
    words = shlex.split(done.out.splitlines()[-1].partition(": ")[2])
    assert words[:5] == ["negreplay", "run", str(file), "--arms", "no-replay"]
    study = changed(digits("no-replay"), parse_settings(words[6::2]))
    (arm,) = study.recipes
    assert arm.first and arm.following and arm.following.epochs == 2 and 0.01 <= arm.first.lr_head <= 0.1
    again = negreplay(*asked)
    assert again.out.splitlines()[-4:] == done.out.splitlines()[-4:] and "accuracy" not in again.out
    other = negreplay(*asked, "--seeds", 1).sentence()
    assert other == "runs/tiny-no-replay-search holds another search: choose --out."


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--set", "first.lr_head=0.1"], "nothing is searched: give --set PLACE=LOW..HIGH or --set PLACE=a,b,c."),
        (["--set", "first.lr_head=0.1..0.01"], "--set first.lr_head is 0.1..0.01: give the lower number first."),
        (["--set", "first.lr_hed=0.1..1"], "--set: first.lr_hed: there is no 'lr_hed': did you mean 'lr_head'?"),
        (["--set", "first.epochs=1..2", "--experiences", "4"], "--experiences is 4: give 1 to 3, which are those of"),
        (["--set", "first.epochs=1..2", "--trials", "0"], "--trials is 0: give 1 or more."),
    ],
)
def test_a_wrong_search_is_one_sentence(negreplay: Negreplay, options: list[str], expected: str):
    assert negreplay("search", file_of(STUDY, Path()), *options).sentence().startswith(expected)
    assert not Path("runs").exists()


def test_an_arm_must_be_named_and_optuna_be_there(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    file = file_of(digits("no-replay", "nr-od"), Path())
    search = "search", file, "--set", "first.epochs=1..2"
    assert negreplay(*search).sentence() == "tiny has several arms: name one of no-replay, nr-od with --arm."
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert negreplay(*search, "--arm", "nr-od").sentence() == (
        "a search needs optuna: pip install 'negreplay[search]'."
    )


def test_ranges():
    assert parse_range("1..9") == Range(1, 9) and parse_range("1e-4..0.1") == Range(0.0001, 0.1)
    assert [parse_range(text) for text in ("a..b", "1", "..", "true..2", "1..2..3")] == [None] * 5
