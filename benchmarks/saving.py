"""What saving costs: of a run's seconds those spent on its checkpoints, and the bytes that they take.

    python benchmarks/saving.py core50-nic-drawn.json --arm nr-gd

Counted is everything that is done only so that the run can go on where it was stopped: copies of the state at the start
of an experience and at the end of each of its stages, checkpoints with their checksums until the disk has them, and the
table of rows. The arm is learned in this process, from its first experience to its last one.
"""

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro

from negreplay import checkpoint
from negreplay.checkpoint import Checkpoints
from negreplay.cli.studies import named_study
from negreplay.cli.where import cache
from negreplay.devices import Device
from negreplay.errors import suggest
from negreplay.journal import Journal, Stage
from negreplay.prepare import Cell, Places
from negreplay.results.table import GrowingTable
from negreplay.slow_paths import avoid_slow_paths


@dataclass
class Costs:
    """Seconds by what they were spent on, how often this was done, and the bytes that were written."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))
    times: Counter[str] = field(default_factory=Counter[str])
    written: int = 0
    within: int = 0

    def of(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose seconds are counted; those of one within another are counted once, for the outer one."""

        def timed(*args: Any, **more: Any) -> Any:
            self.within += 1
            begun = time.perf_counter()
            try:
                return function(*args, **more)
            finally:
                self.within -= 1
                if not self.within:
                    self.seconds[name] += time.perf_counter() - begun
                    self.times[name] += 1

        return timed

    def watch(self) -> None:
        """From now on everything that saves is counted."""
        places = (
            ("state at the start", Journal, "__init__"),
            ("state at the end of a stage", Stage, "end"),
            ("checkpoints inside", Checkpoints, "save_inside"),
            ("checkpoints at the end", Checkpoints, "_write"),
            ("table", GrowingTable, "add"),
        )
        for name, owner, method in places:
            setattr(owner, method, self.of(name, getattr(owner, method)))
        write = checkpoint.write_beside

        def counted(path: Path, aside: Path, content: bytes) -> None:
            self.written += len(content)
            write(path, aside, content)

        checkpoint.write_beside = counted


def main(
    study: tyro.conf.Positional[str],
    arm: str,
    seed: int = 0,
    save_every: float = 1.0,
    data: Path = Path("data"),
    weights: Path = Path("weights"),
    precision: str = "float32",
) -> None:
    """Prints a table.

    Args:
        study: a name, or a file.
        arm: one of its arms.
        seed: draws all that is random.
        save_every: minutes.
        data: where the images are.
        weights: where the weights are.
        precision: float32 or bfloat16.
    """
    from negreplay.cell import learn_cell

    recipes = {recipe.name: recipe for recipe in named_study(study).recipes}
    if arm not in recipes:
        raise SystemExit(f"{study} has no arm {arm!r}: {suggest(arm, list(recipes))}")
    avoid_slow_paths()
    torch.set_num_threads(1)
    costs = Costs()
    costs.watch()
    places = Places(data.absolute(), weights.absolute(), cache() / "latents", Device("cpu", precision))
    with tempfile.TemporaryDirectory(dir=Path()) as folder:
        cell = Cell(recipes[arm], seed, Path(folder) / "arm.safetensors", places, 60 * save_every)
        begun, experiences = time.perf_counter(), 0
        for event in learn_cell(cell):
            if event.step and event.step.part == "encoding":
                begun = time.perf_counter()
            elif event.step is None:
                experiences += 1
        whole = time.perf_counter() - begun
        left = sum(path.stat().st_size for path in Path(folder).iterdir())
    print(f"{study}, {arm}: {experiences} experiences in {whole:,.0f} s, saved every {60 * save_every:g} s")
    print("| what | times | seconds | share of the run, % |")
    print("| --- | --- | --- | --- |")
    for name, seconds in costs.seconds.items():
        print(f"| {name} | {costs.times[name]:,} | {seconds:.2f} | {100 * seconds / whole:.3f} |")
    total = sum(costs.seconds.values())
    print(f"| all | {costs.times.total():,} | {total:.2f} | {100 * total / whole:.3f} |")
    print(f"written: {costs.written / 1e6:,.0f} MB of checkpoints; on the disk at the end: {left / 1e6:,.1f} MB")


if __name__ == "__main__":
    tyro.cli(main)
