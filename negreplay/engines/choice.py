"""Which engine learns, as a user names it: `--on slurm partition=gpu`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from negreplay.devices import Device
from negreplay.engines import local, ray, slurm
from negreplay.engines.tasks import Engine
from negreplay.errors import UserError, suggest

LOCAL, RAY, SLURM = "local", "ray", "slurm"


@dataclass(frozen=True)
class Place:
    """Where cells are learned: `local`, `ray`, maybe at an address, or `slurm`; and what each worker is asked for."""

    kind: str
    address: str | None
    asked: dict[str, Any]

    @property
    def elsewhere(self) -> bool:
        """Whether other machines may learn, which have other devices."""
        return self.kind != LOCAL

    @property
    def queues(self) -> bool:
        """Whether it can be given more than it does at once."""
        return self.elsewhere and self.asked.get("cluster", SLURM) == SLURM

    def engine(self, folder: Path, device: Device, threads: int, lock: FileIO | None = None) -> Engine:
        """The engine, for workers that tell what they do in this folder, if they are elsewhere."""
        if self.kind == LOCAL:
            return local.Processes(threads, lock)
        for letters in folder.glob("*.jsonl"):
            letters.unlink()  # so that workers end that a run which was killed has left
        gpus = int(device.name.startswith("cuda"))
        if self.kind == RAY:
            return ray.Ray(self.address, {"num_gpus": gpus} | self.asked, folder, threads)
        return slurm.Slurm(({"gpus_per_node": 1} if gpus else {}) | self.asked, folder, threads)


def place(on: Sequence[str]) -> Place:
    """The place that these words name: an engine, then what it is asked for as NAME=VALUE.

    Raises:
        UserError: there is no such engine, its package is missing, or it cannot be asked for this.
    """
    name, *settings = on or (LOCAL,)
    kind = RAY if name.startswith("ray://") else name
    if kind not in (LOCAL, RAY, SLURM):
        raise UserError(f"--on is {name!r}: {suggest(name, [LOCAL, RAY, 'ray://HOST:PORT', SLURM])}")
    asked: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or kind == LOCAL:
            wrong = "has no value" if not equals else "has no effect on local processes"
            raise UserError(f"--on {name} {setting}: {key} {wrong}: give NAME=VALUE after ray or slurm only.")
        asked[key] = _value(value)
    if kind == RAY:
        ray.check(asked)
    elif kind == SLURM:
        slurm.check(asked)
    return Place(kind, name if name != kind else None, asked)


def _value(text: str) -> Any:
    """A value is JSON, or else a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
