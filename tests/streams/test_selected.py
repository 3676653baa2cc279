import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from negreplay.streams.selected import by_arrival, every, renumbered
from negreplay.streams.stream import Data, Tensors, new_both, new_classes


def data(labels: list[int]) -> Tensors:
    """A data set in which image i is the number i."""
    x = torch.arange(len(labels)).float().reshape(-1, 1, 1, 1)
    return Tensors(x, torch.tensor(labels), ("a", "b", "c"), "content")


def plain(each: int, classes: int) -> Tensors:
    """So many images of each of many classes."""
    labels = torch.arange(classes).repeat_interleave(each)
    return Tensors(torch.arange(len(labels)).float(), labels, tuple(f"class {c}" for c in range(classes)), "plain")


def names_of(data: Data, rows: Tensor) -> list[str]:
    return [data.names[c] for c in data.labels[rows].tolist()]


def numbers(x: Tensor) -> list[int]:
    return x.flatten().long().tolist()


@given(labels=st.lists(st.integers(0, 2), min_size=1, max_size=30), step=st.integers(1, 8))
def test_every_step_th_row(labels: list[int], step: int):
    chosen = every(data(labels), step)
    assert chosen.labels.tolist() == labels[::step]
    assert numbers(chosen.read(torch.arange(len(chosen.labels)))) == list(range(len(labels)))[::step]
    assert chosen.names == ("a", "b", "c") and not chosen.encoded


def test_a_selection_is_other_content():
    assert len({every(data([0] * 9), step).fingerprint for step in (1, 2, 3)}) == 3


@given(labels=st.lists(st.integers(0, 2), min_size=1, max_size=30), order=st.permutations([0, 1, 2]))
def test_renumbering_changes_labels_and_names_alike(labels: list[int], order: list[int]):
    before, after = data(labels), renumbered(data(labels), order)
    assert [after.names[c] for c in after.labels] == [before.names[c] for c in before.labels]
    assert [before.names.index(name) for name in after.names] == list(order)
    rows = torch.arange(len(labels))
    assert torch.equal(after.read(rows), before.read(rows)) and after.fingerprint == before.fingerprint


@pytest.mark.parametrize("seed", range(3))
def test_by_arrival_numbers_classes_as_they_come(seed: int):
    stream = new_classes(plain(3, 5), plain(3, 5), first=2, classes=1, seed=seed)
    arriving = by_arrival(stream)
    assert [experience.classes for experience in arriving] == [(0, 1), (2,), (3,), (4,)]
    for before, after in zip(stream, arriving, strict=True):
        rows = before.data.rows
        assert torch.equal(after.data.rows, rows)
        assert names_of(arriving.train, rows) == names_of(stream.train, rows)
        ours, theirs = (s.growing_test(before.index).rows for s in (arriving, stream))
        assert torch.equal(ours, theirs)


def test_by_arrival_where_classes_come_again():
    stream = new_both(plain(3, 5), plain(3, 5), first=2, parts=3, seed=0)
    seen: list[int] = []
    for experience in by_arrival(stream):
        seen += [c for c in experience.classes if c not in seen]
    assert seen == list(range(5))


FIRST = {1993: [54, 7, 894, 512, 126], 60: [724, 958, 241, 541, 178], 827: [30, 564, 890, 454, 152]}
"""The first classes of the authors' three orders of ImageNet-1000."""


@pytest.mark.parametrize("seed", FIRST)
def test_the_25_experiences_of_imagenet_are_the_authors(seed: int):
    images = plain(1, 1000)
    stream = new_classes(images, images, first=40, classes=40, seed=seed)
    order = np.random.RandomState(seed).permutation(1000)
    assert order[:5].tolist() == FIRST[seed]
    assert [experience.classes for experience in stream] == [tuple(sorted(group)) for group in order.reshape(25, 40)]
    arriving = by_arrival(stream)
    assert [experience.classes for experience in arriving] == [tuple(range(k, k + 40)) for k in range(0, 1000, 40)]
    assert set(arriving.names[:40]) == {f"class {c}" for c in order[:40]}
