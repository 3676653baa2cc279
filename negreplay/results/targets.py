"""Numbers that others published, to be printed beside ours: the paper's Tables 1, 2 and 3, and those of Split MNIST."""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """One published number: an accuracy in percent, as printed.

    `table` is `1`, `2` or `3` of the paper, or `split-mnist`. Table 1 averages over all experiences; the others give
    final accuracies. `std` is None where none is printed. `tolerance` says by how many points a mean of 5 seeds may
    differ: with a standard error SE over n seeds it is 2 sqrt(SE^2 + n SE^2 / 5).
    """

    table: str
    benchmark: str
    arm: str
    value: float
    std: float | None
    tolerance: float | None
    source: str
    note: str

    def __str__(self) -> str:
        return f"{self.value:.2f}" if self.std is None else f"{self.value:.2f} ± {self.std:.2f}"


def targets() -> list[Target]:
    """Every number, in the order in which it is printed."""
    with Path(__file__).with_name("targets.csv").open(newline="", encoding="utf-8") as file:
        return [
            Target(
                table=line["table"],
                benchmark=line["benchmark"],
                arm=line["arm"],
                value=float(line["value"]),
                std=float(line["std"]) if line["std"] else None,
                tolerance=float(line["tolerance"]) if line["tolerance"] else None,
                source=line["source"],
                note=line["note"],
            )
            for line in csv.DictReader(file)
        ]


def target(table: str, benchmark: str | None, arm: str) -> Target | None:
    """What a table prints for an arm on a benchmark; None where it prints nothing."""
    return next((t for t in targets() if (t.table, t.benchmark, t.arm) == (table, benchmark, arm)), None)
