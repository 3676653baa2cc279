"""Inside an experience every system goes on to the bit from what its journal has recorded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from arms import ARMS
from safetensors.torch import load, save
from systems import SYSTEMS
from tiny import photographs, tree
from torch import Tensor

from negreplay.journal import Journal, Mark, same
from negreplay.learners.learner import Learner
from negreplay.prepare import Cell, Places, build_cell
from negreplay.recipe import Augment, ImageRecipe, Recipe

STREAM = replace(photographs("no-replay").recipes[0].arriving, images=ImageRecipe(8, augment=Augment.FLIP))
CASES = [pytest.param(replace(recipe, stream=STREAM), id=name) for name, recipe in SYSTEMS.items()]
EVERY = 3
"""Steps from one recording to the next."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journal")
    tree(folder)
    return folder


def through_a_file(mark: Mark) -> Mark:
    return Mark(load(save({name: of.contiguous() for name, of in mark.tensors.items()})), mark.numbers)


def state_of(learner: Learner, rng: torch.Generator) -> dict[str, Tensor]:
    state = {name: of.detach().cpu().clone() for name, of in learner.state_dict().items()}
    return state | {"random": rng.get_state()}


@pytest.mark.parametrize("recipe", CASES)
def test_an_experience_goes_on_from_any_of_its_steps(recipe: Recipe, place: Path):
    assert_it_goes_on(recipe, place, worth=0.0)


@pytest.mark.parametrize("name", ["dgr", "bic", "nr-gd"])
def test_stages_too_short_to_be_recorded_are_run_again(name: str, place: Path):
    recipe = (SYSTEMS | ARMS)[name]
    assert assert_it_goes_on(replace(recipe, stream=STREAM), place, worth=1e9)


def assert_it_goes_on(recipe: Recipe, place: Path, worth: float) -> int:
    """Returns how many steps were taken again."""
    cell = Cell(recipe, 0, Path(), Places(place, place, None))
    stream, learner, rng = build_cell(cell)
    again = 0
    for experience in stream[:2]:
        journal, records, taken = Journal(learner, rng, worth=worth), [], 0
        for taken, _ in enumerate(journal.watch(learner.learn(experience)), 1):
            if taken % EVERY == 1:
                records.append((taken, [through_a_file(mark) for mark in journal.record()]))
        expected = state_of(learner, rng)
        assert len(records) > 1 or taken <= EVERY
        for before, marks in records:
            other, draws = build_cell(cell)[1:]
            other.load_state_dict(journal.start)
            draws.set_state(journal.random)
            resumed = Journal(other, draws, marks=marks)
            steps = sum(1 for _ in resumed.watch(other.learn(experience)))
            assert steps == taken - before + resumed.again
            ended = state_of(other, draws)
            assert [name for name in expected if not same(expected[name], ended[name])] == [], before
            again += resumed.again
    return again


def test_zeros_have_a_sign():
    assert same(torch.tensor([0.0, torch.nan]), torch.tensor([0.0, torch.nan]))
    assert not same(torch.tensor([0.0]), torch.tensor([-0.0]))
