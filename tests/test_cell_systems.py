"""Every system as an arm of a run: after each experience it is saved, and goes on from there to the bit."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from systems import SYSTEMS, arm, plain
from tiny import MACHINE, photographs, tree

from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_data, build_stream
from negreplay.cell import learn_cell
from negreplay.data.data import example_of
from negreplay.positions import read_position, read_rows_of
from negreplay.prepare import Cell, Places
from negreplay.recipe import Augment, ClassifierRecipe, Front, ImageRecipe, Recipe

STREAM = replace(photographs("no-replay").recipes[0].arriving, images=ImageRecipe(8, augment=Augment.FLIP))
SMALL = {name: replace(recipe, stream=STREAM) for name, recipe in SYSTEMS.items()}
CASES = [pytest.param(recipe, id=name) for name, recipe in SMALL.items()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("systems")
    tree(folder)
    return folder


def cell(recipe: Recipe, place: Path, checkpoint: Path) -> Cell:
    return Cell(recipe, 0, checkpoint, Places(place, place, None))


def rows(run: Cell) -> list[dict[str, object]]:
    """Every number that came out, but those of the machine."""
    found = [asdict(row) for row in read_rows_of(run.checkpoint)]
    return [{name: value for name, value in row.items() if name not in MACHINE} for row in found]


@pytest.mark.parametrize("recipe", CASES)
def test_a_system_that_was_interrupted_goes_on_to_the_bit(recipe: Recipe, place: Path, tmp_path: Path):
    whole, cut = (cell(recipe, place, tmp_path / name) for name in ("whole", "cut"))
    list(learn_cell(whole))
    events = learn_cell(cut)
    for event in events:
        if event.index == 2 and event.step is not None:
            break
    del events
    assert read_position(cut.checkpoint).learned == 2
    list(learn_cell(cut))
    assert rows(cut) == rows(whole) and len(rows(whole)) == 3
    ours, theirs = load_file(cut.checkpoint), load_file(whole.checkpoint)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize("recipe", CASES)
def test_what_is_kept_is_counted_once(recipe: Recipe, place: Path):
    train, _ = build_data(recipe.arriving, place)
    learner = build_learner(recipe, *example_of(train), weights=place, patterns=len(train.labels))
    tensors = {name: tensor for name, tensor in learner.state_dict().items() if not name.startswith("classifier.")}
    assert learner.kept_bytes == sum({t.data_ptr(): t.nbytes for t in tensors.values() if t.numel()}.values())


def test_a_front_of_the_first_experience_is_blocked_after_it(place: Path):
    """Whatever is kept of its latents would go stale otherwise."""
    recipe = replace(
        arm(plain()),
        stream=replace(STREAM, images=ImageRecipe(8)),
        classifier=ClassifierRecipe("mlp", "fc1", Front.FIRST, renorm=None),
    )
    train, test = build_data(recipe.arriving, place)
    stream = build_stream(recipe.arriving, train, test, 0)
    learner = build_learner(recipe, *example_of(train), weights=place)
    x, latents = train.read(torch.arange(4)), []
    latents.append(learner.classifier.encode(x).detach())
    for experience in stream[:2]:
        list(learner.learn(experience))
        latents.append(learner.classifier.encode(x).detach())
    before, after_one, after_two = latents
    assert not torch.equal(before, after_one)
    assert torch.equal(after_one, after_two)
