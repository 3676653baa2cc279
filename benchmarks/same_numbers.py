"""Compares the accuracies of two commits to the bit, on this machine and in one go.

    python benchmarks/same_numbers.py e6205c0 --data DATA --weights WEIGHTS

Each commit runs `digits` (all arms and seeds), `split-mnist` (all arms, one seed, 600 iterations instead of 2,000) and
`cifar50-nc-pooled` (all arms, one seed). A run that lies finished in the folder is taken as it is, so an interrupted
comparison goes on. The second commit is the working tree as it is.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STUDIES = {"digits": None, "split-mnist": [0], "cifar50-nc-pooled": [0]}
"""The studies, and the seeds of each; None for all of them."""
ITERATIONS = 600
COMPARED = ("whole", "growing", "task_agnostic", "task_aware")
HERE = Path(__file__).resolve().parents[1]


def command(source: Path, *arguments: object) -> str:
    """What a command of the library in this source tree prints; it runs there, where `-m` looks first."""
    environment = os.environ | {"PYTHONPATH": str(source)}
    line = [sys.executable, "-m", "negreplay", *map(str, arguments)]
    return subprocess.run(line, cwd=source, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def shortened(value: Any) -> Any:
    """A study with no more than `ITERATIONS` minibatches a phase."""
    match value:
        case dict():
            counts = ("iterations", "first_iterations")
            return {k: min(v, ITERATIONS) if k in counts and v else shortened(v) for k, v in value.items()}
        case list():
            return [shortened(item) for item in value]
        case _:
            return value


def learn(source: Path, name: str, folder: Path, options: argparse.Namespace) -> list[dict[str, str]]:
    """Runs a study, unless it is finished, and reads its results."""
    out = folder / name
    if not (out / "report.html").exists():
        if (out / "study.json").exists():
            command(source, "resume", out)
        else:
            study = shortened(json.loads(command(source, "show", name, "--json")))
            study["seeds"] = STUDIES[name] or study["seeds"]
            path = folder / f"{name}.json"
            path.write_text(json.dumps(study))
            places = (
                "--data",
                options.data.absolute(),
                "--weights",
                options.weights.absolute(),
                "--store",
                folder / "store",
            )
            command(source, "run", path, "--out", out, *places, "--jobs", options.jobs)
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def accuracies(row: dict[str, str]) -> list[float]:
    """All accuracies that a row has, in the order of its columns, those of single classes last."""
    if "per_class" in row:
        classes = row["per_class"].split()
    else:
        classes = [value for column, value in row.items() if column.startswith("class ")]
    return [float(cell) for cell in (*(row[name] for name in COMPARED), *classes) if cell not in ("", "-")]


def compared(old: list[dict[str, str]], new: list[dict[str, str]]) -> Iterator[tuple[str, int, float]]:
    """For each arm, how many evaluations differ, and the greatest difference of its whole accuracy."""
    before, after = ({(row["arm"], row["seed"], row["experience"]): row for row in rows} for rows in (old, new))
    assert before.keys() == after.keys(), "both commits evaluate the same"
    for arm in dict.fromkeys(row["arm"] for row in old):
        pairs = [(before[key], after[key]) for key in before if key[0] == arm]
        different = sum(accuracies(one) != accuracies(other) for one, other in pairs)
        yield arm, different, max(abs(float(one["whole"]) - float(other["whole"])) for one, other in pairs)


def main() -> None:
    """Prints a table of all arms of all studies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="the commit that is compared with")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/same-numbers"))
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only-old", action="store_true", help="learn with the old commit, and compare later")
    options = parser.parse_args()
    source, folder = options.folder.absolute() / "source", options.folder.absolute()
    if not source.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "-C", HERE, "worktree", "add", "--detach", source, options.old], check=True)
    for place in ("old", "new"):
        (folder / place).mkdir(exist_ok=True)
    print("| study | arm | evaluations that differ | greatest difference |\n| --- | --- | --- | --- |")
    for name in options.studies:
        old = learn(source, name, folder / "old", options)
        if not options.only_old:
            for arm, different, most in compared(old, learn(HERE, name, folder / "new", options)):
                print(f"| {name} | {arm} | {different} | {100 * most:.2f} points |", flush=True)


if __name__ == "__main__":
    main()
