"""How the numbers of a map vary, without a matrix of all of them: each by itself, or by its channel and its place.

These are sums over patterns too, accumulated in double precision and kept in single precision.

References:
    Dawid, Some Matrix-Variate Distribution Theory, 1981.
    Werner, Jansson & Stoica, On Estimation of Covariance Matrices with Kronecker Product Structure, 2008.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.statistics.sums import Deviations, Triangle


class Diagonals(nn.Module):
    """The diagonal of each class's scatter: how much each number varies, whatever others do.

    Args:
        classes: how many classes there are.
        size: numbers of a pattern.
    """

    squares: Tensor

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.register_buffer("squares", torch.zeros(classes, size))

    @torch.no_grad()
    def add(self, deviations: Deviations) -> None:
        """Adds to the scatters of the classes."""
        for c in deviations.labels.unique().tolist():
            self.squares[c] += deviations.rows[deviations.labels == c].square().sum(dim=0)

    @torch.no_grad()
    def merge(self, other: "Diagonals") -> None:
        """Adds the scatters of others."""
        self.squares += other.squares


class Separable(nn.Module):
    """The diagonal of each class's scatter, and for all classes together how channels vary and how places do.

    A map X has a row for each channel and a column for each place. The sum of X X^T over the deviations of all classes
    is the scatter of channels, and the sum of X^T X is that of places. If a covariance is separable, the correlation of
    two numbers is that of their channels times that of their places; the two scatters show these.

    Args:
        classes: how many classes there are.
        latent: the shape of a map, channels first.
    """

    def __init__(self, classes: int, latent: tuple[int, ...]) -> None:
        super().__init__()
        self.diagonals = Diagonals(classes, math.prod(latent))
        self.channels, self.places = Triangle(latent[0]), Triangle(math.prod(latent[1:]))

    @torch.no_grad()
    def add(self, deviations: Deviations) -> None:
        """Adds to the scatters."""
        self.diagonals.add(deviations)
        maps = deviations.rows.unflatten(1, (self.channels.size, self.places.size))
        self.channels.add(maps.transpose(1, 2).flatten(0, 1))
        self.places.add(maps.flatten(0, 1))

    @torch.no_grad()
    def merge(self, other: "Separable") -> None:
        """Adds the scatters of others."""
        self.diagonals.merge(other.diagonals)
        self.channels.merge(other.channels)
        self.places.merge(other.places)


def correlation_root(scatter: Triangle) -> Float[Tensor, "size size"]:
    """The symmetric square root of the correlations that a scatter shows, in double precision.

    What does not vary is correlated with nothing, not even with itself.
    """
    matrix = scatter.whole()
    scale = matrix.diagonal().clamp(min=0).sqrt()
    scale = torch.where(scale > 0, 1 / scale, 0)
    values, vectors = torch.linalg.eigh(scale.unsqueeze(1) * matrix * scale)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
