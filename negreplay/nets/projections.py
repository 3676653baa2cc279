"""Random maps of features to more of them, of which nothing is kept but a seed."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RandomMap(nn.Module):
    """A matrix of normal random numbers, drawn anew from its seed where it is needed.

    Args:
        inputs: rows of the matrix.
        units: its columns.
        rng: draws the seed.
        orthogonal: whether columns are orthogonal, group by group of `inputs` of them; their lengths stay random.
    """

    seed: Tensor
    drawn: Tensor
    derived = ("drawn",)
    """What is no state: buffers that are made from others where they are needed."""

    def __init__(self, inputs: int, units: int, rng: torch.Generator, orthogonal: bool = False) -> None:
        super().__init__()
        self.inputs, self.units, self.orthogonal = inputs, units, orthogonal
        self.register_buffer("seed", torch.randint(2**62, (), generator=rng))
        self.register_buffer("drawn", torch.empty(0), persistent=False)
        self._drawn_from: int | None = None

    @property
    def matrix(self) -> Float[Tensor, "inputs units"]:
        """The matrix, on the device of the seed."""
        seed = int(self.seed)
        if self._drawn_from != seed:
            self.drawn = self._draw(torch.Generator().manual_seed(seed)).to(self.seed.device)
            self._drawn_from = seed
        return self.drawn

    def _draw(self, rng: torch.Generator) -> Float[Tensor, "inputs units"]:
        if not self.orthogonal:
            return torch.randn(self.inputs, self.units, generator=rng)
        groups = []
        for _ in range(math.ceil(self.units / self.inputs)):
            drawn = torch.randn(self.inputs, self.inputs, generator=rng)
            groups.append(torch.linalg.qr(drawn).Q * drawn.norm(dim=0))
        return torch.cat(groups, dim=1)[:, : self.units].contiguous()
