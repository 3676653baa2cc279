"""Where steps are computed, and how precisely."""

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from negreplay.patterns import Batch


@dataclass(frozen=True)
class Device:
    """Where steps are taken, and how precisely: in float32, or with bfloat16 where it is safe (autocast)."""

    name: str = "cpu"
    precision: str = "float32"

    def place(self, batch: Batch) -> Batch:
        """The batch on this device."""
        moved = {name: x.to(self.name) for name, x in batch._asdict().items() if isinstance(x, torch.Tensor)}
        return batch._replace(**moved)

    def computing(self) -> AbstractContextManager[object]:
        """Within, what is computed has this precision; parameters and statistics are float32 in any case."""
        kind = torch.device(self.name).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")


def free_bytes(name: str) -> int | None:
    """How much memory of a device is free; None where the system does not tell."""
    if torch.device(name).type == "cuda":
        return torch.cuda.mem_get_info(name)[0]
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
