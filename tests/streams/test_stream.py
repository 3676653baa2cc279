from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from negreplay.errors import UserError
from negreplay.streams.stream import (
    Stream,
    Tensors,
    is_new_both,
    is_new_classes,
    is_new_instances,
    new_both,
    new_classes,
    new_instances,
)


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
    with pytest.raises(UserError, match=r"stream\.first_classes is 4, but the data has 3 classes: give 3 or fewer"):
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
