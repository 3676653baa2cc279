"""How far a run of `digits` ends from the same run on other threads, in another precision, on other hardware.

    python benchmarks/bits.py

Every arm is learned to its end with seed 0, once in each way. A processor that knows fewer instructions is put on by
ATEN_CPU_CAPABILITY, by which torch leaves those of its kernels alone that need them; products of matrices heed it in
part. Printed are, beside one thread, one process and float32: of how many arms every number is equal to the bit, the
largest difference of the head's rows relative to their largest number, and the largest difference of a final accuracy.
"""

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import tyro
from safetensors.torch import load_file
from torch import Tensor

FIRST = "the same once more"
WAYS: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
    FIRST: ((), {}),
    "two arms at once": (("--jobs", "2"), {}),
    "two threads": (("--threads", "2"), {}),
    "two ranks": (("--ranks", "2"), {}),
    "no AVX-512": ((), {"ATEN_CPU_CAPABILITY": "avx2"}),
    "no AVX2 either": ((), {"ATEN_CPU_CAPABILITY": "default"}),
    "bfloat16": (("--precision", "bfloat16"), {}),
}


class Ended(NamedTuple):
    """An arm: every number of its rows that is not one of the machine, its final accuracy, and its head."""

    numbers: list[str]
    accuracy: float
    head: dict[str, Tensor]


def learned(folder: Path, options: Sequence[str], environment: Mapping[str, str]) -> dict[str, Ended]:
    """The arms of a run by name."""
    line = [sys.executable, "-m", "negreplay", "run", "digits", "--seeds", "0", "--out", str(folder), *options]
    line += [] if {"--jobs", "--ranks"} & set(options) else ["--jobs", "1"]
    subprocess.run(line, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, Ended] = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        numbers = [
            value for row in own for name, value in row.items() if "seconds" not in name and name != "peak_bytes"
        ]
        state = load_file(folder / "checkpoints" / f"{arm}-0.safetensors")
        head = {name: of for name, of in state.items() if "head." in name and of.is_floating_point()}
        found[arm] = Ended(numbers, float(own[-1]["whole"]), head)
    return found


def distance(one: Ended, other: Ended) -> float:
    """The largest difference of the head's rows, relative to their largest number."""
    return max(
        float((of - other.head[name]).abs().max() / of.abs().max().clamp(min=1e-30)) for name, of in one.head.items()
    )


def main(ways: tuple[str, ...] = tuple(WAYS)) -> None:
    """Prints a table.

    Args:
        ways: some of them.
    """
    with tempfile.TemporaryDirectory() as place:
        plain = learned(Path(place) / "plain", (), {})
        print("| other than the first run | arms equal to the bit | head's rows | final accuracy, points |")
        print("| --- | --- | --- | --- |")
        for way in ways:
            found = learned(Path(place) / way.replace(" ", "-"), *WAYS[way])
            equal = sum(found[arm].numbers == of.numbers and distance(of, found[arm]) == 0 for arm, of in plain.items())
            rows = max(distance(of, found[arm]) for arm, of in plain.items())
            points = 100 * max(abs(found[arm].accuracy - of.accuracy) for arm, of in plain.items())
            print(f"| {way} | {equal} of {len(plain)} | {rows:.1e} | {points:.2f} |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
