"""One arm with one seed: with the store of latents it learns what it learns without, and it resumes."""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import MACHINE, digits, photographs, pretrained, tree
from torch import Tensor

from negreplay import prepare
from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_data
from negreplay.cell import Clock, learn_cell
from negreplay.checkpoint import Position, read_position, read_rows_of, table_of
from negreplay.data.data import example_of
from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.learners.learner import Learner
from negreplay.prepare import Cell, Event, Places, check_cells, encode_cells
from negreplay.recipe import Augment, ImageRecipe, PhaseRecipe, Recipe, Scenario, Study
from negreplay.results.table import read_rows
from negreplay.run import learn, start

ARMS = ("no-replay", "nr-od", "nr-gd")
PARTS = ("classifier", "generator", "evaluation")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Some arms on photographs, with a pretrained network whose front is blocked."""
    tree(tmp_path)
    classifier = replace(photographs().recipes[0].classifier, weights=pretrained(tmp_path))
    phase = PhaseRecipe(epochs=3, lr_features=0.01, lr_head=0.05)
    return photographs(*ARMS, classifier=classifier, first=phase, following=phase)


def cells(
    study: Study, folder: Path, name: str, store: bool, seeds: Sequence[int] = (0,), precision: str = "float32"
) -> list[Cell]:
    places = Places(folder, folder, folder / "latents" if store else None, Device("cpu", precision))
    files = folder / name
    return [Cell(r, seed, files / f"{r.name}-{seed}.safetensors", places) for r in study.recipes for seed in seeds]


def learned(cell: Cell) -> list[dict[str, object]]:
    """Every number that comes out, but those of the machine."""
    list(learn_cell(cell))
    rows = [asdict(row) for row in read_rows_of(cell.checkpoint)]
    return [{name: value for name, value in row.items() if name not in MACHINE} for row in rows]


def state(cell: Cell) -> dict[str, Tensor]:
    return load_file(cell.checkpoint)


def rounds_alike(cell: Cell) -> bool:
    """Whether on this machine the front makes the same of an image in a batch of 2 as among all, to the bit."""
    train, _ = build_data(cell.recipe.arriving, cell.places.data)
    learner = build_learner(cell.recipe, *example_of(train), weights=cell.places.weights).eval()
    images = train.read(torch.arange(len(train.labels)))
    few = torch.cat([learner.classifier.encode(two) for two in images.split(2)])
    return torch.equal(few, learner.classifier.encode(images))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_with_the_store_equals_a_run_without_it(study: Study, tmp_path: Path, precision: str):
    """All results are equal, and so is every weight to the bit.

    But a convolution may round otherwise in a batch of another size: of one image, which is all that a memory takes
    in at times, or of few on some processors. Then a latent differs in its last bits, and training amplifies that.
    """
    ours, theirs = (
        cells(study, tmp_path, name, store, precision=precision) for name, store in (("a", True), ("b", False))
    )
    for stored, direct in zip(ours, theirs, strict=True):
        assert learned(stored) == learned(direct)
        ours, theirs = state(stored), state(direct)
        assert ours.keys() == theirs.keys() and torch.equal(ours["random_state"], theirs["random_state"])
        if rounds_alike(stored):
            differing = [name for name in ours if not torch.equal(ours[name], theirs[name])]
            assert set(differing) <= ({"source.x"} if stored.recipe.name == "nr-od" else set())
            for name in differing:
                torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-7)
    assert (tmp_path / "latents").is_dir()


def test_the_store_is_filled_once_for_all_arms_and_seeds(study: Study, tmp_path: Path):
    all_cells = cells(study, tmp_path, "a", True, seeds=(0, 1))
    encoded = list(encode_cells(all_cells))
    assert [event.step.part for event in encoded if event.step] == ["encoding"] * 2
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "latents").iterdir()}
    assert len(files) == 2, "one for the training images, one for the test images"
    for cell in all_cells:
        assert all(event.step is None or event.step.part != "encoding" for event in learn_cell(cell))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "latents").iterdir()} == files


def test_without_weights_each_seed_has_a_front_of_its_own(tmp_path: Path):
    tree(tmp_path)
    list(encode_cells(cells(photographs(*ARMS), tmp_path, "a", True, seeds=(0, 1))))
    assert len(list((tmp_path / "latents").iterdir())) == 4


def test_a_front_that_learns_stores_nothing(tmp_path: Path):
    assert not list(encode_cells(cells(digits("nr-od"), tmp_path, "a", True)))
    assert not (tmp_path / "latents").exists()


def test_images_that_are_latents_themselves_are_not_stored_twice(study: Study, tmp_path: Path):
    at_the_input = replace(study.recipes[0].classifier, replay_layer="input")
    changed = replace(study, recipes=tuple(replace(recipe, classifier=at_the_input) for recipe in study.recipes[:1]))
    (cell,) = cells(changed, tmp_path, "a", store=True)
    assert not list(encode_cells([cell]))
    assert len(learned(cell)) == 3
    assert not (tmp_path / "latents").exists()


def augmented(study: Study, augment: Augment) -> Study:
    """The same arms on images that are varied each time they are read."""
    stream = replace(study.recipes[0].arriving, images=ImageRecipe(32, augment=augment))
    return replace(study, recipes=tuple(replace(recipe, stream=stream) for recipe in study.recipes))


def test_augmented_images_are_not_stored(study: Study, tmp_path: Path):
    """Though the front is blocked: an image has no one latent."""
    stored, direct = (cells(augmented(study, Augment.CROP), tmp_path, name, name == "a")[1] for name in "ab")
    assert not list(encode_cells([stored]))
    assert learned(stored) == learned(direct)
    assert not (tmp_path / "latents").exists()
    plain = cells(study, tmp_path, "c", store=False)[1]
    list(learn_cell(plain))
    assert not torch.equal(state(plain)["random_state"], state(direct)["random_state"])


@pytest.mark.parametrize("augment", [Augment.FLIP, Augment.RESIZED_CROP])
def test_a_run_on_augmented_images_resumes_to_the_bit(study: Study, tmp_path: Path, augment: Augment):
    whole, cut = (cells(augmented(study, augment), tmp_path, name, store=False)[2] for name in ("whole", "cut"))
    expected = learned(whole)
    events = learn_cell(cut)
    for event in events:
        if event.index == 1 and event.step is not None and event.step.done == 2:
            break
    del events
    assert learned(cut) == expected
    ours, theirs = state(cut), state(whole)
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_changed_images_are_encoded_anew(study: Study, tmp_path: Path):
    (cell,) = cells(replace(study, recipes=study.recipes[:1]), tmp_path, "a", True)
    list(encode_cells([cell]))
    image = tmp_path / "pets" / "train" / "cat" / "0.png"
    image.write_bytes((tmp_path / "pets" / "train" / "dog" / "0.png").read_bytes())
    os.utime(image, ns=(1, 1))
    assert len([event for event in encode_cells([cell]) if event.step]) == 1, "the training images alone"


def test_a_blocked_front_is_no_part_of_the_checkpoint(study: Study, tmp_path: Path):
    (cell, *_) = cells(study, tmp_path, "a", True)
    list(learn_cell(cell))
    assert not any(name.startswith("classifier.front.") for name in state(cell))
    assert any(name.startswith("classifier.back.") for name in state(cell))


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


def test_a_look_ahead_names_the_classes_and_leaves_nothing(study: Study, tmp_path: Path):
    before = set(tmp_path.rglob("*"))
    assert check_cells(cells(study, tmp_path, "a", True)).names == ("cat", "dog", "eel")
    assert set(tmp_path.rglob("*")) == before


def test_a_look_ahead_names_the_arm_that_cannot_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def build(recipe: Recipe, *arguments: Any, **options: Any) -> Learner:
        if recipe.name == "nr-od":
            raise RuntimeError("shapes do not fit\nand more that nobody wants to read")
        return build_learner(recipe, *arguments, **options)

    monkeypatch.setattr(prepare, "build_learner", build)
    with pytest.raises(UserError, match=re.escape("arm 'nr-od' cannot be built (shapes do not fit): make its")):
        check_cells(cells(digits("no-replay", "nr-od"), tmp_path, "a", True))


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
    (cell,) = cells(digits("no-replay"), tmp_path, "a", False)
    expected = learned(cells(digits("no-replay"), tmp_path, "whole", False)[0])
    before: dict[Path, bytes] = {}
    for event in learn_cell(cell):
        if event.step is None and event.index == learned_before:
            break
        if event.step is None:
            before = {cell.checkpoint: cell.checkpoint.read_bytes()}
    earlier = len(table_of(cell.checkpoint).read_bytes().splitlines(keepends=True)[-1])
    cell.checkpoint.unlink()
    for path, content in before.items():
        path.write_bytes(content)
    os.truncate(table_of(cell.checkpoint), table_of(cell.checkpoint).stat().st_size - int(earlier * (1 - left)))
    assert read_position(cell.checkpoint).rows == len(read_rows_of(cell.checkpoint)) == learned_before
    assert learned(cell) == expected
    assert len(read_rows(table_of(cell.checkpoint))) == len(expected)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads and writes")
def test_what_is_read_and_written_after_an_experience_does_not_grow(tmp_path: Path):
    """Not with the rows before: a row has about 200 bytes here, and numbers may differ by some digits."""
    stream = replace(digits().recipes[0].arriving, scenario=Scenario.NI, parts=30, first_classes=1, classes=1)
    run = start(tmp_path / "out", digits("no-replay", stream=stream), Places(tmp_path, tmp_path, None), 1, "x")
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
