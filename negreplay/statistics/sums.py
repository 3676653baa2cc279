"""Sums over patterns that say all a closed-form classifier needs: counts, means, and how patterns vary.

They are accumulated in double precision, minibatch by minibatch, and kept in single precision. Sums do not depend on
the order in which patterns come, and those of two parts of a stream add up to those of the whole.

References:
    Chan, Golub & LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from negreplay.nets.projections import RandomMap

BLOCK = 256
"""Rows of a block of a triangle."""
BESIDE = 16
"""Columns that a sketch has beside the rank that is wanted of it."""
LARGEST = 1e15
"""Patterns of larger numbers have squares whose sums do not fit in single precision."""


def signed_roots(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The square roots of the absolute values, with the signs of x; their distribution is closer to a normal one."""
    return x.sign() * x.abs().sqrt()


class Deviations(NamedTuple):
    """Rows in double precision whose products v v^T, added up by class, are what is added to the classes' scatters.

    The scatter of a class is the sum of (x - mean)(x - mean)^T over its patterns x.
    """

    rows: Float[Tensor, "n size"]
    labels: Int[Tensor, " n"]


class Triangle(nn.Module):
    """A symmetric matrix that is a sum of products; its lower triangle is kept, in single precision.

    The triangle is cut into rows of blocks, each of which ends where the block on the diagonal ends.

    Args:
        size: rows of the matrix.
    """

    blocks: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        entries = sum((end - start) * end for start, end in self._bounds())
        self.register_buffer("blocks", torch.zeros(entries))

    @property
    def device(self) -> torch.device:
        """Where it is kept."""
        return self.blocks.device

    def rows(self) -> Iterator[tuple[int, int, Float[Tensor, "block end"]]]:
        """The first row of each row of blocks, the row after its last, and its entries."""
        used = 0
        for start, end in self._bounds():
            entries = (end - start) * end
            yield start, end, self.blocks[used : used + entries].view(end - start, end)
            used += entries

    @torch.no_grad()
    def add(self, x: Float[Tensor, "n size"]) -> None:
        """Adds x^T x, computed in the precision of x."""
        for start, end, rows in self.rows():
            rows += x[:, start:end].T @ x[:, :end]

    @torch.no_grad()
    def merge(self, other: "Triangle", share: float = 1.0) -> None:
        """Adds another sum, or a share of it."""
        self.blocks += share * other.blocks

    def whole(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "size size"]:
        """The matrix with both its triangles."""
        matrix = torch.empty(self.size, self.size, dtype=dtype, device=self.device)
        for start, end, rows in self.rows():
            matrix[start:end, :end] = rows
            matrix[:start, start:end] = rows[:, :start].T
        return matrix

    def diagonal(self) -> Float[Tensor, " size"]:
        """The entries on the diagonal, in double precision."""
        return torch.cat([rows.double().diagonal(offset=start) for start, _, rows in self.rows()])

    def times(self, x: Float[Tensor, "size k"]) -> Float[Tensor, "size k"]:
        """The product with a matrix in double precision, without a copy of the whole in it."""
        product = torch.zeros_like(x)
        for start, end, rows in self.rows():
            double = rows.double()
            product[start:end] += double @ x[:end]
            product[:start] += double[:, :start].T @ x[start:end]
        return product

    def _bounds(self) -> list[tuple[int, int]]:
        return [(start, min(start + BLOCK, self.size)) for start in range(0, self.size, BLOCK)]


class ClassMeans(nn.Module):
    """How many patterns of each class have come, and their mean.

    The mean of a class is `centre` + its row of `offsets`: relative to the mean of the first minibatch, single
    precision suffices wherever patterns lie.

    Args:
        classes: how many classes there are.
        size: numbers of a pattern.
    """

    counts: Tensor
    centre: Tensor
    offsets: Tensor

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.long))
        self.register_buffer("centre", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("offsets", torch.zeros(classes, size))

    @property
    def means(self) -> Float[Tensor, "classes size"]:
        """The mean of each class in double precision, and the centre for a class that has not come."""
        return self.centre + self.offsets.double()

    @property
    def mean(self) -> Float[Tensor, " size"]:
        """The mean of all patterns, in double precision."""
        shares = self.counts.double() / self.counts.sum().clamp(min=1)
        return self.centre + shares @ self.offsets.double()

    def share(self, classes: Int[Tensor, " classes"]) -> float:
        """The share of all patterns that are of the classes for which this is no negative number."""
        taken = self.counts[classes.to(self.counts.device) >= 0].sum()
        return float(taken.double() / self.counts.sum().clamp(min=1))

    @torch.no_grad()
    def add(self, x: Float[Tensor, "n size"], labels: Int[Tensor, " n"]) -> Deviations:
        """Counts patterns in.

        Args:
            x: patterns, whose numbers are finite and smaller than `LARGEST`.
            labels: their classes.

        Returns:
            What the patterns add to the scatter of their classes.
        """
        x = x.double()
        if not self.counts.any():
            self.centre.copy_(x.mean(dim=0))
        return self._count(x, torch.ones_like(labels), labels)

    @torch.no_grad()
    def merge(self, other: "ClassMeans", to: Int[Tensor, " others"] | None = None) -> Deviations:
        """Counts in what others have counted, of patterns that have not come here.

        Args:
            other: the others' counts and means.
            to: the class here of each of their classes, or -1 for one that is left out; None if they are the same.

        Returns:
            What this adds to the scatter of the classes, beside the scatters of the others' classes.
        """
        if not self.counts.any():
            self.centre.copy_(other.centre)
        to = torch.arange(len(other.counts)) if to is None else to
        taken = (to.to(other.counts.device) >= 0) & (other.counts > 0)
        return self._count(other.means[taken], other.counts[taken], to.to(taken.device)[taken])

    def _count(self, x: Float[Tensor, "n size"], weights: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> Deviations:
        """Counts patterns in, each as often as its weight says."""
        present, place = labels.unique(
            return_inverse=True
        )  # a minibatch costs the same, however many classes there are
        counts = self.counts.new_zeros(len(present)).index_add_(0, place, weights)
        means = x.new_zeros(len(present), x.shape[1]).index_add_(0, place, x * weights.unsqueeze(1))
        means = means / counts.clamp(min=1).unsqueeze(1)
        within = (x - means[place]) * weights.double().sqrt().unsqueeze(1)
        between = self._move(present, counts, means)
        return Deviations(torch.cat([within, between.rows]), torch.cat([labels, between.labels]))

    def _move(
        self, present: Int[Tensor, " k"], counts: Int[Tensor, " k"], means: Float[Tensor, "k size"]
    ) -> Deviations:
        """Moves the means of the classes that are present towards those of so many patterns."""
        before, both = self.counts[present].double(), (self.counts[present] + counts).clamp(min=1).double()
        between = means - (self.centre + self.offsets[present].double())
        self.offsets[present] += (counts / both).unsqueeze(1) * between
        self.counts[present] += counts
        common = (before * counts > 0).nonzero().flatten()
        return Deviations(((before * counts / both).sqrt().unsqueeze(1) * between)[common], present[common])


class Sketches(nn.Module):
    """For each class what a random matrix W of few columns shows of its scatter S, and the diagonal of S.

    S W and the diagonal are sums over patterns, as S is, so they do not depend on the order either. `factors` gets from
    them nearly the best approximation of low rank there is, for S W has `BESIDE` columns more than the rank.

    Args:
        classes: how many classes there are.
        size: numbers of a pattern.
        rank: the rank of the approximation; at most `size` of it is taken.
        rng: draws W.

    References:
        Tropp, Yurtsever, Udell & Cevher, Fixed-Rank Approximation of a Positive-Semidefinite Matrix from Streaming
        Data, 2017 (Algorithm 3).
    """

    sketches: Tensor
    squares: Tensor

    def __init__(self, classes: int, size: int, rank: int, rng: torch.Generator) -> None:
        super().__init__()
        self.rank, columns = min(rank, size), min(size, rank + BESIDE)
        self.map = RandomMap(size, columns, rng)
        self.register_buffer("sketches", torch.zeros(classes, size, columns))
        self.register_buffer("squares", torch.zeros(classes, size))

    @torch.no_grad()
    def add(self, deviations: Deviations) -> None:
        """Adds to the scatters of the classes."""
        matrix = self.map.matrix.double()
        for c in deviations.labels.unique().tolist():
            rows = deviations.rows[deviations.labels == c]
            self.sketches[c] += rows.T @ (rows @ matrix)
            self.squares[c] += rows.square().sum(dim=0)

    @torch.no_grad()
    def merge(self, other: "Sketches", to: Int[Tensor, " others"] | None = None) -> None:
        """Adds the scatters of others, which have the same matrix W; `to` is as for `ClassMeans.merge`.

        Raises:
            ValueError: they have another one.
        """
        if not torch.equal(self.map.seed, other.map.seed):
            raise ValueError("sketches of two random matrices do not add up: draw them with one seed")
        to = torch.arange(len(other.sketches)) if to is None else to
        taken = to >= 0
        self.sketches.index_add_(0, to[taken], other.sketches[taken])
        self.squares.index_add_(0, to[taken], other.squares[taken])

    def factors(self, c: int) -> Float[Tensor, "size rank"]:
        """Columns L, as many as `rank`, such that L L^T approximates the scatter of a class, in double precision."""
        sketch, matrix = self.sketches[c].double(), self.map.matrix.double()
        if not sketch.any():
            return sketch[:, : self.rank]
        shift = 1e-6 * sketch.norm()  # without it the core may be singular in single precision
        sketch = sketch + shift * matrix
        core = matrix.T @ sketch
        factor, failed = torch.linalg.cholesky_ex((core + core.T) / 2)
        assert not failed, "the shift makes the core positive"
        vectors, values, _ = torch.linalg.svd(
            torch.linalg.solve_triangular(factor, sketch.T, upper=False).T, full_matrices=False
        )
        return (vectors * (values.square() - shift).clamp(min=0).sqrt())[:, : self.rank]
