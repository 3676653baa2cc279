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

    def __init__(self, inputs: int, units: int, rng: torch.Generator, orthogonal: bool = False) -> None:
        super().__init__()
        self.inputs, self.units, self.orthogonal = inputs, units, orthogonal
        self.register_buffer("seed", torch.randint(2**62, (), generator=rng))
        self._drawn: dict[tuple[int, torch.device], Tensor] = {}  # no buffer, for it is no state

    @property
    def matrix(self) -> Float[Tensor, "inputs units"]:
        """The matrix, on the device of the seed."""
        key = int(self.seed), self.seed.device
        if key not in self._drawn:
            self._drawn = {key: self._draw(torch.Generator().manual_seed(key[0])).to(key[1])}
        return self._drawn[key]

    def _draw(self, rng: torch.Generator) -> Float[Tensor, "inputs units"]:
        if not self.orthogonal:
            return torch.randn(self.inputs, self.units, generator=rng)
        groups = []
        for _ in range(math.ceil(self.units / self.inputs)):
            drawn = torch.randn(self.inputs, self.inputs, generator=rng)
            groups.append(torch.linalg.qr(drawn).Q * drawn.norm(dim=0))
        return torch.cat(groups, dim=1)[:, : self.units].contiguous()
