"""Writes a study that searches the strengths of EWC, online EWC and SI for `split-mnist`.

Every power of ten, a seed that `split-mnist` does not use. What ends with the highest accuracy is to be taken; that
is judged on the test images, as in the publications that `split-mnist` is compared with.

    python benchmarks/make_strengths.py strengths.json
    negreplay run strengths.json                                # one seed
    negreplay run strengths.json --seeds 1111 1112 1113 ...     # more, for the `--arms` that it does not tell apart
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import tyro

from negreplay.builders.study_files import dump_study
from negreplay.recipe import Recipe, Study
from negreplay.studies.split_mnist import SCENARIOS, penalised

EWC, SI = range(4, 13), range(6)
"""Exponents of the strengths, of both kinds of EWC and of SI."""


def searched() -> Iterator[Recipe]:
    """An arm for each scenario, penalty and strength."""
    for scenario in SCENARIOS:
        for exponent in sorted({*EWC, *SI}):
            strength = float(10**exponent)
            for arm in penalised(scenario, strength, strength, strength):
                if exponent in (SI if arm.name.endswith("-si") else EWC):
                    yield replace(arm, name=f"{arm.name}-1e{exponent}")


def main(path: tyro.conf.Positional[Path]) -> None:
    """Writes the study.

    Args:
        path: the file.
    """
    summary = "Strengths of EWC, online EWC and SI on split MNIST."
    path.write_bytes(dump_study(Study("strengths", summary, tuple(searched()), seeds=(1111,))))


if __name__ == "__main__":
    tyro.cli(main)
