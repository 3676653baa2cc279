"""Some rows of a data set, or all of them under other labels: a data set itself."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.data.data import Data, files_of


@dataclass(frozen=True)
class Selected:
    """The `rows` of a data set, with labels and names of their own."""

    data: Data
    rows: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str

    @property
    def encoded(self) -> bool:
        return self.data.encoded

    @property
    def augmented(self) -> bool:
        return self.data.augmented

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *shape"]:
        return self.data.read(self.rows[rows], draws)

    def files_of(self, rows: Int[Tensor, " k"]) -> Int[Tensor, " k"] | None:
        return files_of(self.data, self.rows[rows])


def every(data: Data, step: int) -> Data:
    """Every `step`-th row, beginning with the first."""
    if step == 1:
        return data
    rows = torch.arange(0, len(data.labels), step)
    return Selected(data, rows, data.labels[rows], data.names, f"{data.fingerprint}-every-{step}")
