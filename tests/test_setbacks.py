"""A loss that is not finite: the arm stops, or goes back to the start of the experience with smaller rates."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cells import cells, learned, state
from forked import in_ranks
from tiny import Negreplay, digits, run

from negreplay.cell import HALVINGS, learn_cell
from negreplay.errors import DivergedError
from negreplay.positions import Position, read_position
from negreplay.prepare import Cell
from negreplay.recipe import PhaseRecipe

STEEP = 4096.0
"""With this rate, and with half of it, a loss in the third experience of `digits` is nan; with a quarter it is not."""


def steep(folder: Path, name: str, rate: float = STEEP, goes_back: bool = True, every: float = 0.0) -> Cell:
    following = PhaseRecipe(epochs=1, lr_features=rate, lr_head=rate)
    (cell,) = cells(digits("no-replay", following=following), folder, name, store=False, every=every)
    return replace(cell, goes_back=goes_back)


def until(cell: Cell, learned_before: int, steps: int = 0) -> None:
    """Learns so many experiences, and so many steps of the next one, and stops."""
    events = learn_cell(cell)
    for event in events:
        if event.step is None and event.index == learned_before - 1 and not steps:
            break
        if event.step is not None and event.index == learned_before and event.step.done == steps:
            break
    events.close()


def test_the_experience_is_learned_as_if_its_rates_had_been_smaller(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    went_back, smaller = steep(tmp_path, "a"), steep(tmp_path, "b", goes_back=False)
    rows = learned(went_back)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and all(
        line.startswith(
            "negreplay: no-replay with seed 0 goes back to the start of experience 3 and halves its learning rates: "
            "the classifier's loss became nan at step "
        )
        for line in told
    )
    assert "at the learning rate 4096." in told[0] and "at the learning rate 2048." in told[1]
    until(smaller, 2)
    assert learned(replace(smaller, recipe=steep(tmp_path, "b", STEEP / 4).recipe)) == rows
    assert [n for n, of in state(smaller).items() if not torch.equal(of, state(went_back)[n])] == []
    assert [setback.experience for setback in read_position(went_back.checkpoint).setbacks] == [2, 2]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("setbacks", [0, 1, 2])
def test_it_resumes_to_the_bit_before_and_after_a_setback(tmp_path: Path, setbacks: int, steps: int):
    whole, cut = steep(tmp_path, "whole"), steep(tmp_path, "cut")
    expected = learned(whole)
    events = learn_cell(cut)
    for event in events:
        position = read_position(cut.checkpoint) if event.index == 2 else Position()
        if event.step and event.index == 2 and len(position.setbacks) == setbacks and event.step.done == steps:
            break
    events.close()
    assert read_position(cut.checkpoint).reached == (2, setbacks, steps)
    assert learned(cut) == expected
    assert [n for n, of in state(cut).items() if not torch.equal(of, state(whole)[n])] == []


def test_a_damaged_setback_is_met_again(tmp_path: Path):
    """The checkpoint before it, inside the experience, leads to the same loss."""
    whole, cut = steep(tmp_path, "whole"), steep(tmp_path, "cut")
    expected = learned(whole)
    events = learn_cell(cut)
    for event in events:
        if event.index == 2 and read_position(cut.checkpoint).setbacks:
            break
    content = bytearray(cut.checkpoint.read_bytes())
    content[-1] ^= 1
    events.close()
    cut.checkpoint.write_bytes(content)
    assert learned(cut) == expected


def test_it_stops_where_it_is_not_to_go_back_and_goes_on_when_it_is(tmp_path: Path):
    stopped = steep(tmp_path, "stopped", goes_back=False, every=60.0)
    with pytest.raises(
        DivergedError, match=r"nan at step .*: lower its learning rate, or resume with --on-nan back\.$"
    ):
        list(learn_cell(stopped))
    position = read_position(stopped.checkpoint)
    assert position.learned == 2 and position.setbacks == (), "what was learned before is kept"
    assert learned(replace(stopped, goes_back=True)) == learned(steep(tmp_path, "whole"))


def test_it_gives_up_in_the_end_and_says_so_again(tmp_path: Path):
    hopeless = steep(tmp_path, "hopeless", 1e30)
    for _ in range(2):
        with pytest.raises(DivergedError, match=rf"had gone back {HALVINGS} times: run the study with a lower "):
            list(learn_cell(hopeless))
        assert len(read_position(hopeless.checkpoint).setbacks) == HALVINGS


def test_two_ranks_go_back_together(tmp_path: Path):
    (tmp_path / "two").mkdir()
    in_ranks(2, lambda folder: list(learn_cell(steep(folder, "a"))), tmp_path / "two")
    position = read_position(steep(tmp_path / "two", "a").checkpoint)
    assert position.learned == position.experiences == position.rows == 3
    assert [setback.experience for setback in position.setbacks] == [2, 2]


def test_the_command_line_and_the_report(negreplay: Negreplay):
    following = PhaseRecipe(epochs=1, lr_features=STEEP, lr_head=STEEP)
    sentence = run(negreplay, digits("no-replay", following=following)).sentence()
    assert sentence.endswith("or resume with --on-nan back.")
    resumed = negreplay("resume", "out", "--on-nan", "back")
    assert resumed.code == 0 and resumed.err.count("goes back to the start of experience 3") == 2
    assert json.loads(Path("out/run.json").read_text())["on_nan"] == "back"
    sentence = "no-replay with seed 0 learned experience 3 at 0.25 of its learning rates: before, the"
    for shown in (Path("out/report.html").read_text(), negreplay("report", "out").out):
        assert shown.count(sentence) == 1
    assert json.loads(negreplay("report", "out", "--json").out)["setbacks"][0].startswith(sentence)
