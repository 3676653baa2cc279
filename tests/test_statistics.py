"""Sums over patterns: exact, in any order, in parts, and far from zero."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from negreplay.nets.projections import RandomMap
from negreplay.statistics import ClassMeans, Deviations, Sketches, Triangle, sums

CLASSES, SIZE = 4, 30


def patterns(n: int, seed: int = 0, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Patterns of three of four classes, whose numbers depend on one another."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, SIZE, generator=rng, dtype=torch.float64) @ torch.randn(SIZE, SIZE, generator=rng).double()
    return x + shift, torch.randint(CLASSES - 1, (n,), generator=rng)


def scatter(x: Tensor, y: Tensor) -> Tensor:
    """By definition."""
    total = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    for c in y.unique():
        deviations = x[y == c] - x[y == c].mean(dim=0)
        total += deviations.T @ deviations
    return total


class Counted:
    """All statistics of patterns at once."""

    def __init__(self, rank: int = 3) -> None:
        self.means, self.triangle = ClassMeans(CLASSES, SIZE), Triangle(SIZE)
        self.sketches = Sketches(CLASSES, SIZE, rank, torch.Generator().manual_seed(0))

    def add(self, deviations: Deviations) -> None:
        self.triangle.add(deviations.rows)
        self.sketches.add(deviations)

    def count(self, x: Tensor, y: Tensor) -> "Counted":
        self.add(self.means.add(x, y))
        return self

    def merge(self, other: "Counted") -> None:
        self.triangle.blocks += other.triangle.blocks
        self.sketches.merge(other.sketches)
        self.add(self.means.merge(other.means))

    def equals(self, x: Tensor, y: Tensor, atol: float = 1e-4) -> bool:
        counts = torch.bincount(y, minlength=CLASSES)
        means = torch.stack([x[y == c].mean(dim=0) if counts[c] else self.means.centre for c in range(CLASSES)])
        whole = scatter(x, y)
        shown = torch.stack([scatter(x[y == c], y[y == c]) @ self.sketches.map.matrix.double() for c in range(CLASSES)])
        return (
            torch.equal(self.means.counts, counts)
            and torch.allclose(self.means.means, means, atol=atol / 10)
            and torch.allclose(self.means.mean, x.mean(dim=0), atol=atol / 10)
            and torch.allclose(self.triangle.whole(), whole, atol=atol, rtol=1e-6)
            and torch.allclose(self.sketches.sketches.double(), shown, atol=10 * atol, rtol=1e-5)
            and torch.allclose(self.sketches.squares.sum(dim=0).double(), whole.diagonal(), atol=atol, rtol=1e-6)
        )


@pytest.mark.parametrize("at_once", [1, 7, 60])
def test_minibatches_come_to_what_the_definition_says(at_once: int):
    x, y = patterns(60)
    counted = Counted()
    for rows in torch.arange(60).split(at_once):
        counted.count(x[rows], y[rows])
    assert counted.equals(x, y)


@given(st.permutations(range(30)), st.integers(1, 30))
def test_the_order_changes_nothing(order: list[int], at_once: int):
    x, y = patterns(30)
    counted = Counted()
    for rows in torch.tensor(order).split(at_once):
        counted.count(x[rows], y[rows])
    assert counted.equals(x, y)


@pytest.mark.parametrize("cut", [0, 1, 25, 59, 60])
def test_two_halves_are_the_whole(cut: int):
    x, y = patterns(60)
    one, other = Counted(), Counted()
    for counted, part in ((one, slice(cut)), (other, slice(cut, None))):
        if len(x[part]):
            counted.count(x[part], y[part])
    one.merge(other)
    assert one.equals(x, y)


@pytest.mark.parametrize("shift", [1e3, -1e6])
def test_patterns_may_lie_anywhere(shift: float):
    x, y = patterns(60, shift=shift)
    counted = Counted()
    for rows in torch.arange(60).split(7):
        counted.count(x[rows], y[rows])
    assert counted.equals(x, y)


def test_sketches_of_two_matrices_do_not_add_up():
    one, other = (Sketches(CLASSES, SIZE, 3, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"^sketches of two random matrices do not add up: draw them with one seed$"):
        one.merge(other)


def test_a_sketch_gives_back_a_scatter_of_low_rank():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=rng).double() @ torch.randn(3, SIZE, generator=rng).double()
    y = torch.ones(40, dtype=torch.long)
    factors = Counted().count(x, y).sketches.factors(1)
    assert factors.shape == (SIZE, 3)
    assert torch.allclose(factors @ factors.T, scatter(x, y), atol=1e-3 * float(scatter(x, y).diagonal().max()))
    assert not Counted().sketches.factors(0).any()


def test_a_sketch_is_nearly_the_best_of_its_rank():
    x, y = patterns(200)
    y = torch.zeros_like(y)
    values, vectors = torch.linalg.eigh(scatter(x, y))
    best = vectors[:, -2:] * values[-2:] @ vectors[:, -2:].T
    factors = Counted(rank=2).count(x, y).sketches.factors(0)
    error, least = ((near - scatter(x, y)).norm() for near in (factors @ factors.T, best))
    assert least <= error < 1.3 * least


@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_a_triangle_is_cut_into_blocks(size: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sums, "BLOCK", 4)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(20, size, generator=rng, dtype=torch.float64)
    triangle, right = Triangle(size), torch.randn(size, 2, generator=rng, dtype=torch.float64)
    for rows in x.split(6):
        triangle.add(rows)
    whole = x.T @ x
    assert torch.allclose(triangle.whole(), whole, atol=1e-5)
    assert torch.equal(triangle.whole(), triangle.whole().T)
    assert torch.equal(triangle.diagonal(), triangle.whole().diagonal())
    assert torch.allclose(triangle.times(right), triangle.whole() @ right)
    assert triangle.blocks.dtype == torch.float32
    assert triangle.blocks.numel() == {1: 1, 3: 9, 4: 16, 9: 4 * 4 + 4 * 8 + 1 * 9}[size]


def test_a_map_is_drawn_from_its_seed():
    drawn = RandomMap(5, 12, torch.Generator().manual_seed(3))
    twin = RandomMap(5, 12, torch.Generator().manual_seed(4))
    assert not torch.equal(drawn.matrix, twin.matrix)
    twin.load_state_dict(drawn.state_dict())
    assert torch.equal(drawn.matrix, twin.matrix)
    assert sum(tensor.nbytes for tensor in drawn.state_dict().values()) == 8


def test_directions_may_be_orthogonal_and_have_random_lengths():
    matrix = RandomMap(6, 15, torch.Generator().manual_seed(0), orthogonal=True).matrix
    assert matrix.shape == (6, 15)
    for group in matrix.split(6, dim=1):
        products = group.T @ group
        assert torch.allclose(products, products.diagonal().diag(), atol=1e-5)
    assert matrix.norm(dim=0).std() > 0.1
