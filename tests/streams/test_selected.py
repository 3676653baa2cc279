import numpy as np
import pytest
import torch
from torch import Tensor

from negreplay.streams.selected import by_arrival, every, renumbered
from negreplay.streams.stream import Data, Tensors, new_both, new_classes


def data(each: int = 3, classes: int = 5) -> Tensors:
    labels = torch.arange(classes).repeat_interleave(each)
    names = tuple(f"class {c}" for c in range(classes))
    return Tensors(torch.arange(len(labels)).float().unsqueeze(1), labels, names, "d")


def names_of(data: Data, rows: Tensor) -> list[str]:
    return [data.names[c] for c in data.labels[rows].tolist()]


def test_every_row_is_the_data_itself():
    original = data()
    assert every(original, 1) is original


def test_every_third_row():
    original, few = data(each=4, classes=2), every(data(each=4, classes=2), 3)
    assert few.read(torch.arange(3)).flatten().tolist() == [0, 3, 6]
    assert few.labels.tolist() == [0, 0, 1] and few.names == original.names
    assert len({original.fingerprint, few.fingerprint, every(original, 2).fingerprint}) == 3
    assert not few.encoded and not few.augmented


def test_renumbered_classes_keep_their_names_and_images():
    original, other = data(), renumbered(data(), [3, 0, 4, 1, 2])
    rows = torch.arange(len(original.labels))
    assert other.names == tuple(f"class {c}" for c in (3, 0, 4, 1, 2))
    assert names_of(other, rows) == names_of(original, rows)
    assert torch.equal(other.read(rows), original.read(rows))
    assert other.fingerprint == original.fingerprint


@pytest.mark.parametrize("seed", range(3))
def test_by_arrival_numbers_classes_as_they_come(seed: int):
    stream = new_classes(data(), data(), first=2, classes=1, seed=seed)
    arriving = by_arrival(stream)
    assert [experience.classes for experience in arriving] == [(0, 1), (2,), (3,), (4,)]
    for before, after in zip(stream, arriving, strict=True):
        rows = before.data.rows
        assert torch.equal(after.data.rows, rows)
        assert names_of(arriving.train, rows) == names_of(stream.train, rows)
        ours, theirs = (s.growing_test(before.index).rows for s in (arriving, stream))
        assert torch.equal(ours, theirs)


def test_by_arrival_where_classes_come_again():
    stream = new_both(data(), data(), first=2, parts=3, seed=0)
    seen: list[int] = []
    for experience in by_arrival(stream):
        seen += [c for c in experience.classes if c not in seen]
    assert seen == list(range(5))


FIRST = {1993: [54, 7, 894, 512, 126], 60: [724, 958, 241, 541, 178], 827: [30, 564, 890, 454, 152]}
"""The first classes of the authors' three orders of ImageNet-1000."""


@pytest.mark.parametrize("seed", FIRST)
def test_the_25_experiences_of_imagenet_are_the_authors(seed: int):
    images = data(each=1, classes=1000)
    stream = new_classes(images, images, first=40, classes=40, seed=seed)
    order = np.random.RandomState(seed).permutation(1000)
    assert order[:5].tolist() == FIRST[seed]
    assert [experience.classes for experience in stream] == [tuple(sorted(group)) for group in order.reshape(25, 40)]
    arriving = by_arrival(stream)
    assert [experience.classes for experience in arriving] == [tuple(range(k, k + 40)) for k in range(0, 1000, 40)]
    assert set(arriving.names[:40]) == {f"class {c}" for c in order[:40]}
