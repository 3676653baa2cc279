"""Sums over maps: exact, in any order and in parts; and the correlations that they show."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from negreplay.statistics import ClassMeans, Diagonals, Separable, Triangle
from negreplay.statistics.maps import correlation_root

CLASSES, LATENT = 3, (5, 2, 2)


def maps(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Maps of two of three classes, whose channels and places depend on one another, as rows."""
    rng = torch.Generator().manual_seed(seed)
    channels, places = (torch.randn(size, size, generator=rng).double() for size in (5, 4))
    x = channels @ torch.randn(n, 5, 4, generator=rng).double() @ places + 3
    return x.flatten(1), torch.randint(CLASSES - 1, (n,), generator=rng)


class Counted:
    """Means of classes with both sums of maps."""

    def __init__(self) -> None:
        self.means = ClassMeans(CLASSES, 20)
        self.sums = Diagonals(CLASSES, 20), Separable(CLASSES, LATENT)

    def count(self, x: Tensor, y: Tensor) -> "Counted":
        deviations = self.means.add(x, y)
        for each in self.sums:
            each.add(deviations)
        return self

    def merge(self, other: "Counted") -> None:
        (diagonals, separable), (others, other_separable) = self.sums, other.sums
        diagonals.merge(others)
        separable.merge(other_separable)
        deviations = self.means.merge(other.means)
        for each in self.sums:
            each.add(deviations)

    def equals(self, x: Tensor, y: Tensor) -> bool:
        """Whether they are the sums over these maps, by definition."""
        deviations = torch.cat([x[y == c] - x[y == c].mean(dim=0) for c in y.unique()]).unflatten(1, (5, 4))
        squares = torch.stack([(x[y == c] - x[y == c].mean(dim=0)).square().nansum(dim=0) for c in range(CLASSES)])
        channels = torch.einsum("ncp,ndp->cd", deviations, deviations)
        places = torch.einsum("ncp,ncq->pq", deviations, deviations)
        diagonals, separable = self.sums
        pairs = (
            (diagonals.squares, squares),
            (separable.diagonals.squares, squares),
            (separable.channels.whole(), channels),
            (separable.places.whole(), places),
        )
        return all(torch.allclose(one.double(), other, rtol=1e-5, atol=1e-3) for one, other in pairs)


@given(st.permutations(range(30)), st.integers(1, 30))
def test_neither_the_order_nor_the_minibatches_change_anything(order: list[int], at_once: int):
    x, y = maps(30)
    counted = Counted()
    for rows in torch.tensor(order).split(at_once):
        counted.count(x[rows], y[rows])
    assert counted.equals(x, y)


@pytest.mark.parametrize("cut", [0, 1, 25, 59, 60])
def test_two_halves_are_the_whole(cut: int):
    x, y = maps(60)
    one, other = Counted(), Counted()
    for counted, part in ((one, slice(cut)), (other, slice(cut, None))):
        if len(x[part]):
            counted.count(x[part], y[part])
    one.merge(other)
    assert one.equals(x, y)


def test_one_map_of_a_class_and_maps_that_are_all_the_same_do_not_vary():
    counted = Counted().count(torch.full((1, 20), 2.5), torch.tensor([0]))
    for _ in range(3):
        counted.count(torch.full((4, 20), -1.5), torch.tensor([1] * 4))
    assert all(not state.any() for each in counted.sums for state in each.state_dict().values())
    assert not correlation_root(counted.sums[1].channels).any()


def test_maps_may_come_in_half_precision():
    x, y = maps(40)
    x = x.bfloat16()
    assert Counted().count(x, y).equals(x.double(), y)


def test_a_root_times_itself_is_the_correlations():
    triangle, x = Triangle(4), torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).double()
    x[:, 3] = x[:, 0] - 2 * x[:, 1]
    x[:, 2] = 0
    triangle.add(x)
    root = correlation_root(triangle)
    covariance = x.T @ x
    expected = torch.zeros(4, 4, dtype=torch.float64)
    for i in (0, 1, 3):
        for j in (0, 1, 3):
            expected[i, j] = covariance[i, j] / (covariance[i, i] * covariance[j, j]) ** 0.5
    assert torch.allclose(root @ root, expected, atol=1e-6)
    assert torch.allclose(root, root.T, atol=1e-12)
