import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from negreplay.data.data import Tensors, View
from negreplay.errors import UserError
from negreplay.streams.scenarios import (
    is_new_both,
    is_new_classes,
    is_new_instances,
    new_both,
    new_classes,
    new_instances,
)
from negreplay.streams.stream import Stream


def labelled(labels: list[int], classes: int) -> Tensors:
    """A data set in which image i is the number i."""
    x = torch.arange(len(labels)).float().reshape(-1, 1, 1, 1)
    return Tensors(x, torch.tensor(labels, dtype=torch.long), tuple(f"class {c}" for c in range(classes)), "test")


def even(classes: int, each: int) -> Tensors:
    return labelled([c for c in range(classes) for _ in range(each)], classes)


def rows_of(stream: Stream) -> list[int]:
    return [row for experience in stream for row in experience.data.rows.tolist()]


BUILDERS: dict[str, Callable[[Tensors, Tensors, int], Stream]] = {
    "new instances": lambda train, test, seed: new_instances(train, test, 3, seed),
    "new classes": lambda train, test, seed: new_classes(train, test, 2, 2, seed),
    "new both": lambda train, test, seed: new_both(train, test, 2, 3, seed),
}
PREDICATES = {"new instances": is_new_instances, "new classes": is_new_classes, "new both": is_new_both}


@st.composite
def label_lists(draw: st.DrawFn) -> list[int]:
    """The labels of 3 to 6 classes of 3 to 7 patterns each, in any order."""
    sizes = draw(st.lists(st.integers(3, 7), min_size=3, max_size=6))
    return draw(st.permutations([c for c, size in enumerate(sizes) for _ in range(size)]))


@pytest.mark.parametrize("scenario", BUILDERS)
@settings(deadline=None, max_examples=30)
@given(labels=label_lists(), seed=st.integers(0, 2**32 - 1))
def test_every_row_comes_once_whatever_the_scenario(scenario: str, labels: list[int], seed: int):
    data = labelled(labels, classes=max(labels) + 1)
    stream = BUILDERS[scenario](data, data, seed)
    assert sorted(rows_of(stream)) == list(range(len(data.labels)))
    assert rows_of(stream) == rows_of(BUILDERS[scenario](data, data, seed))
    assert stream.seen(len(stream) - 1).tolist() == list(range(len(data.names)))
    for k, experience in enumerate(stream):
        assert experience.index == k
        assert len(experience.data) == experience.counts.sum() > 0
        assert set(experience.data.labels.tolist()) == set(experience.classes)
    assert [name for name, holds in PREDICATES.items() if holds(stream)] == [scenario]


def test_seed_decides_the_order():
    data = even(classes=10, each=3)
    for build in BUILDERS.values():
        assert len({tuple(rows_of(build(data, data, seed))) for seed in range(5)}) > 1


def test_global_random_state_does_not_matter():
    data = even(classes=10, each=3)
    torch.manual_seed(1)
    before = rows_of(new_both(data, data, 2, 3, seed=7))
    torch.manual_seed(2)
    assert rows_of(new_both(data, data, 2, 3, seed=7)) == before


def test_new_classes_has_the_papers_shape():
    data = even(classes=50, each=2)
    stream = new_classes(data, data, first=10, classes=5, seed=0)
    assert [len(experience.classes) for experience in stream] == [10] + [5] * 8


def test_new_classes_leaves_a_smaller_last_experience():
    data = even(classes=10, each=2)
    stream = new_classes(data, data, first=3, classes=4, seed=0)
    assert [len(experience.classes) for experience in stream] == [3, 4, 3]


def test_all_classes_first_is_one_experience():
    data = even(classes=4, each=2)
    assert len(new_classes(data, data, first=4, classes=1, seed=0)) == 1


def test_new_both_has_the_shape_of_nic_391():
    data = even(classes=50, each=8)
    stream = new_both(data, data, first=10, parts=8, seed=0)
    assert len(stream) == 391
    assert len(stream[0].classes) == 10
    assert all(len(experience.classes) == 1 for experience in stream[1:])


def test_experience_of_one_image():
    data = even(classes=3, each=4)
    stream = new_both(data, data, first=1, parts=4, seed=0)
    assert all(len(experience.data) == 1 for experience in stream)
    (batch,) = stream[5].batches(8)
    assert batch.x.shape == (1, 1, 1, 1)


def test_batches_hold_every_row_once_in_shuffled_order():
    data = even(classes=2, each=10)
    experience = new_classes(data, data, first=2, classes=1, seed=0)[0]
    in_order = torch.cat([batch.x for batch in experience.batches(6)]).flatten().tolist()
    shuffled = list(experience.batches(6, torch.Generator().manual_seed(0)))
    numbers = torch.cat([batch.x for batch in shuffled]).flatten()
    assert in_order == list(range(20))
    assert numbers.tolist() != in_order
    assert sorted(numbers.tolist()) == in_order
    assert [len(batch.y) for batch in shuffled] == [6, 6, 6, 2]
    assert torch.equal(torch.cat([batch.y for batch in shuffled]), data.labels[numbers.long()])


def test_whole_and_growing_test():
    train, test = even(classes=6, each=2), even(classes=6, each=3)
    stream = new_classes(train, test, first=2, classes=2, seed=0)
    assert len(stream.whole_test) == 18
    for k in range(len(stream)):
        seen = {c for experience in stream[: k + 1] for c in experience.classes}
        assert set(stream.growing_test(k).labels.tolist()) == seen
        assert len(stream.growing_test(k)) == 3 * len(seen)


def test_indices_are_those_of_a_sequence():
    data = even(classes=6, each=2)
    stream = new_classes(data, data, first=2, classes=2, seed=0)
    assert stream[-1].index == 2
    assert [experience.index for experience in stream[1:]] == [1, 2]
    with pytest.raises(IndexError):
        stream[3]


def test_the_same_rows_over_other_data():
    data = even(classes=6, each=2)
    latents = Tensors(torch.randn(12, 5), data.labels, data.names, "latents", encoded=True)
    stream = new_both(data, data, first=2, parts=2, seed=0)
    over = stream.over(latents, latents)
    assert rows_of(over) == rows_of(stream)
    (batch,) = over[0].batches(8)
    assert torch.equal(batch.x, latents.x[stream[0].data.rows])
    assert over.whole_test.encoded


def test_more_first_classes_than_classes():
    data = even(classes=3, each=2)
    with pytest.raises(UserError, match=r"stream\.first_classes is 4, but the data has 3 classes, .*: give 3 or fewer"):
        new_classes(data, data, first=4, classes=1, seed=0)


def test_more_parts_than_images():
    data = even(classes=3, each=2)
    with pytest.raises(UserError, match=r"class 'class 0' has 2 images for 3 parts: lower stream\.parts"):
        new_instances(data, data, parts=3, seed=0)


def test_class_in_the_test_set_only():
    train, test = labelled([0, 0, 1, 1], classes=3), even(classes=3, each=1)
    with pytest.raises(UserError, match="class 'class 2' has no training images: add some, or remove it from the test"):
        new_classes(train, test, first=1, classes=1, seed=0)
    with pytest.raises(UserError, match="class 'class 2' has no training images"):
        new_instances(train, test, parts=2, seed=0)
    with pytest.raises(UserError, match="class 'class 2' has no training images"):
        new_both(train, test, first=1, parts=2, seed=0)


def test_classes_arrive_in_a_given_order():
    data = Tensors(torch.arange(12.0).unsqueeze(1), torch.arange(12) % 4, tuple("abcd"), "d")
    stream = new_classes(data, data, 2, 1, seed=0, names="dbac")
    assert [experience.classes for experience in stream] == [(1, 3), (0,), (2,)]
    assert new_both(data, data, 2, 3, seed=0, names="dbac")[0].classes == (1, 3)
    for names, name in (("dba", "c"), ("dbace", "e")):
        with pytest.raises(UserError, match=rf"stream\.order and class '{name}': .*name every class of the data once"):
            new_classes(data, data, 2, 1, seed=0, names=names)


@dataclass
class Varied:
    """Augmented images: each read notes its rows, draws and thread, and an image is its row plus its draw's parity."""

    labels: Tensor
    augmented: bool = True
    names: tuple[str, ...] = ("only",)
    fingerprint: str = "varied"
    encoded: bool = False
    reads: list[tuple[list[int], list[int] | None, threading.Thread]] = field(default_factory=list)

    def read(self, rows: Tensor, draws: Tensor | None = None) -> Tensor:
        drawn = None if draws is None else draws.tolist()
        self.reads.append((rows.tolist(), drawn, threading.current_thread()))
        return rows.float() + (0 if draws is None else draws % 2 / 2)


def varied(images: int, augmented: bool = True) -> tuple[Varied, View]:
    data = Varied(torch.zeros(images, dtype=torch.long), augmented)
    return data, View(data, torch.arange(images))


def batches_of(view: View, size: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """The images, and the state of the generator afterwards."""
    rng = torch.Generator().manual_seed(seed)
    return [batch.x for batch in view.batches(size, rng)], rng.get_state()


def test_augmented_images_are_varied_by_the_one_generator():
    (data, view), (other, plain) = varied(100), varied(100, augmented=False)
    images, state = batches_of(view, 32, seed=5)
    again, state_again = batches_of(view, 32, seed=5)
    as_they_are, state_without = batches_of(plain, 32, seed=5)
    assert all(map(torch.equal, images, again)) and torch.equal(state, state_again)
    assert all(torch.equal(x.floor(), y) for x, y in zip(images, as_they_are, strict=True)), "in the same order"
    draws = [draw for _, drawn, _ in data.reads[:4] for draw in drawn or ()]
    assert len(set(draws)) == 100 and min(draws) >= 0
    assert 30 < sum(draw % 2 for draw in draws) < 70
    rng = torch.Generator().manual_seed(5)
    torch.randperm(100, generator=rng)
    assert torch.equal(state_without, rng.get_state()), "nothing but the order is drawn where nothing varies"
    assert not torch.equal(state, state_without)
    assert all(drawn is None for _, drawn, _ in other.reads)


def test_without_a_generator_augmented_images_are_read_plainly():
    data, view = varied(10)
    images = [batch.x for batch in view.batches(4)]
    assert torch.equal(torch.cat(images), torch.arange(10.0))
    assert all(drawn is None for _, drawn, _ in data.reads)


@settings(deadline=None, max_examples=25)
@given(images=st.integers(0, 20), size=st.integers(1, 8), taken=st.integers(0, 20))
def test_the_next_batch_is_read_ahead_and_no_thread_is_left(images: int, size: int, taken: int):
    data, view = varied(images)
    rng = torch.Generator().manual_seed(0)
    batches = view.batches(size, rng)
    before = None
    for _, _batch in zip(range(taken), batches, strict=False):
        if before is None:
            before = rng.get_state()
        assert torch.equal(rng.get_state(), before), "all is drawn before the first batch"
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]
    total = -(-images // size)
    least, most = (0, 0) if taken == 0 else (min(taken, total), min(taken + 1, total))
    assert least <= len(data.reads) <= most
    assert all(thread is not threading.main_thread() and not thread.is_alive() for *_, thread in data.reads)


def test_a_batch_is_read_while_the_last_one_is_used():
    data, view = varied(8)
    batches = view.batches(4)
    next(batches)
    for _ in range(500):
        if len(data.reads) == 2:
            break
        time.sleep(0.01)
    assert [rows for rows, *_ in data.reads] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_what_goes_wrong_in_reading_comes_out():
    class Broken(Varied):
        def read(self, rows: Tensor, draws: Tensor | None = None) -> Tensor:
            if 5 in rows:
                raise UserError("image 5 is broken: replace it.")
            return super().read(rows, draws)

    batches = View(Broken(torch.zeros(8, dtype=torch.long)), torch.arange(8)).batches(2)
    assert [next(batches).x.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(UserError, match="image 5 is broken"):
        next(batches)


def test_of_a_view_the_rows_of_one_class():
    data = Tensors(torch.arange(6.0).unsqueeze(1), torch.tensor([1, 0, 1, 2, 1, 0]), ("a", "b", "c"), "six")
    view = View(data, torch.tensor([5, 4, 2, 1]))
    assert view.of(1).rows.tolist() == [4, 2] and view.of(0).rows.tolist() == [5, 1] and len(view.of(2)) == 0
