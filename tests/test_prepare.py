"""What a cell needs, made ready: with the store of latents it learns what it learns without; a look ahead."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cells, learned, state
from forked import in_ranks
from tiny import digits, photographs, pretrained, tree
from torch import Tensor

from negreplay import prepare
from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_data
from negreplay.cell import learn_cell
from negreplay.data import images
from negreplay.data.data import example_of
from negreplay.errors import UserError
from negreplay.learners.learner import Learner
from negreplay.prepare import Cell, check_cells, encode_cells
from negreplay.recipe import Augment, ImageRecipe, NearestMeanRecipe, PhaseRecipe, Recipe, Study

ARMS = ("no-replay", "nr-od", "nr-gd")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Some arms on photographs, with a pretrained network whose front is blocked."""
    tree(tmp_path)
    classifier = replace(photographs().recipes[0].classifier, weights=pretrained(tmp_path))
    phase = PhaseRecipe(epochs=3, lr_features=0.01, lr_head=0.05)
    return photographs(*ARMS, classifier=classifier, first=phase, following=phase)


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


def test_ranks_share_what_is_encoded_and_learn_the_same(study: Study, tmp_path: Path):
    means = replace(study.recipes[0], first=None, following=None, learner=NearestMeanRecipe())
    both = (
        cells(replace(study, recipes=(means,)), tmp_path, name, store=name == "together")
        for name in ("together", "alone")
    )
    (together,), (alone,) = both
    in_ranks(2, lambda _: list(learn_cell(together)), tmp_path)
    assert not list(encode_cells([together])), "all of it is stored"
    assert learned(alone) == learned(together)
    for name, of in state(alone).items():
        assert torch.allclose(of.double(), state(together)[name].double(), rtol=1e-5, atol=1e-7), name


def test_threads_that_decode_change_no_bit(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ends: list[dict[str, Tensor]] = []
    for count in (1, 8):
        decoding = ThreadPoolExecutor(count)
        monkeypatch.setattr(images, "pool", lambda decoding=decoding: decoding)
        cell = cells(augmented(study, Augment.RESIZED_CROP), tmp_path, str(count), store=False)[2]
        list(learn_cell(cell))
        ends.append(state(cell))
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []


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
