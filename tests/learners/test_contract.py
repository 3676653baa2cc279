"""The contract that every system keeps."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from arms import CLASSES, build_any, images, learn, stream_of
from states import same, state_of
from systems import SYSTEMS, accuracy
from torch import Tensor, nn

from negreplay.builders import learners
from negreplay.data.data import Tensors
from negreplay.learners.learner import Learner
from negreplay.recipe import LearnerRecipe
from negreplay.streams.stream import Stream

EVERY_SYSTEM = pytest.mark.parametrize("system", SYSTEMS)


@pytest.fixture
def new_classes() -> Stream:
    """Two classes, then one, then one; class 3 never comes."""
    return stream_of([0, 2], [4], [1])


@EVERY_SYSTEM
def test_scores_are_finite_for_the_classes_seen_and_for_no_other(system, new_classes):
    learner, x = build_any(SYSTEMS[system]), images().x
    for k, experience in enumerate(new_classes):
        for step in learn(learner, experience):
            assert 1 <= step.done <= step.total
        scores = learner.predict(x)
        assert scores.shape == (len(x), CLASSES) and not scores.requires_grad
        seen = torch.isin(torch.arange(CLASSES), new_classes.seen(k))
        assert scores[:, seen].isfinite().all() and (scores[:, ~seen] == -torch.inf).all()


@EVERY_SYSTEM
def test_it_learns_the_first_experience(system, new_classes):
    learner = build_any(SYSTEMS[system])
    for _ in range(1 if SYSTEMS[system].first is None else 6):
        learn(learner, new_classes[0])
    assert accuracy(learner.predict(images().x)) > 0.8


@EVERY_SYSTEM
def test_two_runs_are_equal_to_the_bit(system, new_classes):
    states = []
    for _ in range(2):
        learner = build_any(SYSTEMS[system])
        learn(learner, *new_classes)
        states.append(state_of(learner))
    assert same(*states)


@EVERY_SYSTEM
def test_it_goes_on_from_its_state_to_the_bit(system, new_classes):
    learner = build_any(SYSTEMS[system])
    learn(learner, *new_classes[:2])
    twin = build_any(SYSTEMS[system], weights=1, seed=1)
    twin.load_state_dict(state_of(learner))
    twin.rng.set_state(learner.rng.get_state())
    assert torch.equal(twin.predict(images().x), learner.predict(images().x))
    assert learn(twin, new_classes[2]) == learn(learner, new_classes[2])
    assert same(state_of(twin), state_of(learner))


@EVERY_SYSTEM
def test_one_image_is_an_experience(system):
    data = images()
    rows = [(data.labels == c).nonzero().flatten()[:1] for c in (0, 2, 4)]
    learner = build_any(SYSTEMS[system])
    learn(learner, *Stream(data, data, rows))
    assert learner.predict(data.x)[:, [0, 2, 4]].isfinite().all()
    assert all(tensor.isfinite().all() for tensor in learner.state_dict().values())


@EVERY_SYSTEM
def test_a_class_that_comes_again_is_learned_on(system):
    learner = build_any(SYSTEMS[system])
    learn(learner, *stream_of([0, 2], [4], [0], [2, 1]))
    assert learner.predict(images().x)[:, [0, 1, 2, 4]].isfinite().all()


@EVERY_SYSTEM
def test_what_it_keeps_is_its_state(system, new_classes):
    learner = build_any(SYSTEMS[system])
    learn(learner, *new_classes)
    state = {tensor.data_ptr() for tensor in (*learner.state_dict().values(), *learner.buffers())}
    beside = [tensor for tensor in tensors_of(learner) if tensor.numel() > 1 and tensor.data_ptr() not in state]
    assert beside == []
    kept = [t for name, t in learner.state_dict().items() if not name.startswith("classifier.")]
    assert learner.kept_bytes == sum(tensor.nbytes for tensor in kept)


@EVERY_SYSTEM
def test_images_are_kept_only_where_the_recipe_says_so(system, new_classes):
    learner = build_any(SYSTEMS[system])
    learn(learner, *new_classes)
    shown = [image.flatten() for image in images().x]
    found = any(holds(tensor, image) for tensor in learner.state_dict().values() for image in shown)
    assert found == SYSTEMS[system].keeps_data


def holds(tensor: Tensor, image: Tensor) -> bool:
    """Whether a row of the tensor is the image, as numbers or as bytes."""
    if tensor.dim() == 0 or tensor.numel() % len(image):
        return False
    rows = tensor.reshape(-1, len(image)).float()
    return bool(torch.isclose(rows, image, atol=1e-6).all(dim=1).any())


def tensors_of(thing: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """All tensors that can be reached from a learner's attributes."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, nn.Module):
        yield from tensors_of(vars(thing), seen)
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from tensors_of(value, seen)
    elif isinstance(thing, list | tuple | set):
        for value in thing:
            yield from tensors_of(value, seen)
    elif isinstance(thing, Tensors):
        yield thing.x


def test_the_search_for_images_finds_them():
    image = images().x[3].flatten()
    assert holds(images().x, image) and not holds(images().x + 0.1, image)


def test_the_search_for_tensors_finds_them():
    class Hoarder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [{"deep": torch.ones(3)}]

    assert len(list(tensors_of(Hoarder()))) == 1


def test_every_system_is_here_and_every_learner_is_a_system():
    ours = {cls for cls in ends_of(Learner) if cls.__module__.startswith("negreplay.")}
    assert set(learners.SYSTEMS.values()) == ours
    assert set(learners.SYSTEMS) == set(get_args(LearnerRecipe)) == {type(r.learner) for r in SYSTEMS.values()}


def ends_of(cls: type[Learner]) -> Iterator[type[Learner]]:
    """The classes below a class that have none below them."""
    for below in cls.__subclasses__():
        yield from ends_of(below) if below.__subclasses__() else [below]


def attributes(learner: Learner) -> dict[str, Any]:
    """All that the modules of a learner hold beside parameters, buffers and modules, tensors as what they hold now."""
    known = {id(tensor) for tensor in (*learner.parameters(), *learner.buffers())}
    found: dict[str, Any] = {}
    for place, module in learner.named_modules():
        for name, value in vars(module).items():
            for i, item in enumerate(value if isinstance(value, list | tuple) else [value]):
                if isinstance(item, Tensor) and id(item) not in known:
                    found[f"{place}.{name}.{i}"] = item.tolist()
                elif isinstance(item, bool | int | float) and name != "training":
                    found[f"{place}.{name}.{i}"] = item
    return found


@EVERY_SYSTEM
def test_all_state_that_lives_between_two_steps_is_a_buffer(system, new_classes):
    learner = build_any(SYSTEMS[system])
    learn(learner, new_classes[0])
    before = None
    for _ in learner.learn(new_classes[1]):
        now = attributes(learner)
        assert before is None or now == before
        before = now
