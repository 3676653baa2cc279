"""In which order classes come, and in which experience each of them does."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from negreplay.data.data import Data, Tensors
from negreplay.errors import UserError
from negreplay.streams.scenarios import class_order, new_both, new_classes, new_instances
from negreplay.streams.stream import Stream


def labelled(labels: list[int], classes: int) -> Tensors:
    y = torch.tensor(labels, dtype=torch.long)
    return Tensors(torch.arange(len(y)).float(), y, tuple(f"class {c}" for c in range(classes)), "test")


def even(classes: int, each: int) -> Tensors:
    return labelled([c for c in range(classes) for _ in range(each)], classes)


def test_the_order_of_classes_is_drawn_by_the_seed_unless_names_give_it():
    data = even(classes=5, each=1)
    orders = [class_order(data, 1, seed, ()).tolist() for seed in range(4)]
    assert orders == [np.random.RandomState(seed).permutation(5).tolist() for seed in range(4)]
    assert class_order(data, 5, 3, [f"class {c}" for c in (4, 0, 3, 1, 2)]).tolist() == [4, 0, 3, 1, 2]
    with pytest.raises(UserError, match=r"stream\.first_classes is 6, but the data has 5 classes, .*: give 5 or fewer"):
        class_order(data, 6, 0, ())


@pytest.mark.parametrize("seed", range(3))
def test_in_which_experience_a_class_arrives(seed: int):
    data = even(classes=7, each=2)
    stream = new_classes(data, data, first=3, classes=2, seed=seed)
    arrivals = stream.arrivals()
    assert arrivals is not None
    assert [set((arrivals == k).nonzero().flatten().tolist()) for k in range(3)] == [set(e.classes) for e in stream]


def test_a_class_that_never_comes_does_not_arrive():
    data = labelled([0, 2, 0, 3], classes=5)
    stream = Stream(data, data, [torch.tensor([1]), torch.tensor([2, 0, 3])])
    arrivals = stream.arrivals()
    assert arrivals is not None and arrivals.tolist() == [1, -1, 0, 1, -1]


@pytest.mark.parametrize(
    "build", [partial(new_instances, parts=3, seed=0), partial(new_both, first=2, parts=3, seed=0)]
)
def test_where_classes_come_twice_they_have_no_one_arrival(build: Callable[[Data, Data], Stream]):
    data = even(classes=4, each=3)
    assert build(data, data).arrivals() is None
    # Not even where it is one pattern of one class, in the last experience.
    data = labelled([0, 1, 2, 0], classes=3)
    assert Stream(data, data, [torch.tensor([row]) for row in range(4)]).arrivals() is None


def test_what_is_known_of_arrivals_is_counted_once(monkeypatch: pytest.MonkeyPatch):
    """After 300 experiences no question about them reads the labels of all of them again."""
    labels = torch.arange(600) % 7
    data = Tensors(torch.zeros(600, 1), labels, tuple("abcdefg"), "test")
    stream = Stream(data, data, torch.arange(600).split(2))
    stream.seen(0)
    monkeypatch.setattr(stream, "_rows", None)
    for index in (0, 1, 2, 3, 299):
        assert stream.seen(index).tolist() == list(range(min(7, 2 * (index + 1))))
    assert stream.arrivals() is None
