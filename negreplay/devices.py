"""Where steps are computed, and how precisely."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from negreplay.patterns import Batch


@dataclass(frozen=True)
class Device:
    """Where steps are taken, and how precisely: in float32, or with bfloat16 where it is safe (autocast)."""

    name: str = "cpu"
    precision: str = "float32"

    def place(self, batch: Batch) -> Batch:
        """The batch on this device."""
        current, encoded, *rest = batch
        return Batch(current.to(self.name), encoded, *(tensor.to(self.name) for tensor in rest))

    def computing(self) -> AbstractContextManager[object]:
        """Within, what is computed has this precision; parameters and statistics are float32 in any case."""
        kind = torch.device(self.name).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")
