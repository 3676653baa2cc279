import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from negreplay.data.data import Data, Tensors
from negreplay.data.selected import every
from negreplay.errors import UserError
from negreplay.streams.scenarios import by_arrival, is_new_instances, new_both, new_classes, new_domains, renumbered


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


@pytest.mark.parametrize("seed", range(3))
def test_domains_are_the_experiences_of_new_classes_with_places_for_labels(seed: int):
    train, test = plain(4, 6), plain(3, 6)
    domains, classes = new_domains(train, test, 2, seed), new_classes(train, test, 2, 2, seed)
    order = np.random.RandomState(seed).permutation(6)
    place = {int(c): i % 2 for i, c in enumerate(order)}
    assert len(domains) == 3 and domains.names == domains.test.names == ("place 1", "place 2")
    for experience, before in zip(domains, classes, strict=True):
        assert torch.equal(experience.data.rows, before.data.rows)
        assert experience.classes == (0, 1) and experience.counts.tolist() == [4, 4]
        assert experience.data.labels.tolist() == [place[c] for c in before.data.labels.tolist()]
        assert torch.equal(domains.train.read(experience.data.rows), train.read(experience.data.rows))
    assert domains.test.labels.tolist() == [place[c] for c in test.labels.tolist()]
    assert is_new_instances(domains) and len(domains.growing_test(0)) == len(domains.whole_test) == 18


def test_the_order_of_domains_can_be_given():
    names = ("class 2", "class 0", "class 3", "class 1")
    stream = new_domains(plain(1, 4), plain(1, 4), 2, seed=0, names=names)
    assert [set(experience.data.rows.tolist()) for experience in stream] == [{2, 0}, {3, 1}]
    # 2 and 3 are the first of their domains.
    assert stream.train.labels.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("classes", [4, 5])
def test_domains_have_equally_many_classes(classes: int):
    with pytest.raises(UserError, match=rf"stream\.classes is {classes}: in new-domains give a divisor of 6\.$"):
        new_domains(plain(2, 6), plain(2, 6), classes, seed=0)
    with pytest.raises(UserError, match=r"first_classes is 7, but the data has 6 classes, .*: give 6 or fewer"):
        new_domains(plain(2, 6), plain(2, 6), 7, seed=0)
    assert len(new_domains(plain(2, 6), plain(2, 6), 6, seed=0)) == 1


def test_domains_are_the_same_images_so_that_what_is_stored_of_them_stays_valid():
    train, test = data([0, 1, 2]), plain(1, 3)
    stream = new_domains(train, test, 1, seed=0)
    assert stream.train.fingerprint == train.fingerprint and not stream.train.encoded and not stream.train.augmented
    assert torch.equal(stream.train.read(torch.tensor([2, 0])), train.read(torch.tensor([2, 0])))


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
