"""Where steps are computed, and how precisely."""

import os
import platform
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from negreplay import __version__
from negreplay.errors import UserError
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


def machine(device: Device) -> str:
    """What learns here, and by which programs."""
    parts = [platform.machine(), f"{os.cpu_count()} cores"]
    if device.name.startswith("cuda"):
        parts.append(torch.cuda.get_device_name(device.name))
    programs = f"Python {platform.python_version()}", f"torch {torch.__version__}", f"negreplay {__version__}"
    return ", ".join((*parts, *programs))


def check_device(device: Device, remedy: str | None = None) -> None:
    """Refuses a device that is not usable here; the `remedy`, if none is given, is to choose another one."""
    usable = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    choices = " or ".join(usable)
    if device.name.partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise UserError(f"the device is {device.name!r}: {choices} can be used here.")
    try:
        torch.empty(1, device=device.name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the device {device.name} is not usable here ({reason}): {remedy or f'{choices} can be used.'}"
        ) from error
