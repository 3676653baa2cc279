import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from negreplay.streams.selected import every, renumbered
from negreplay.streams.stream import Tensors


def data(labels: list[int]) -> Tensors:
    """A data set in which image i is the number i."""
    x = torch.arange(len(labels)).float().reshape(-1, 1, 1, 1)
    return Tensors(x, torch.tensor(labels), ("a", "b", "c"), "content")


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
