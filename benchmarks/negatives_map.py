"""The map of when negatives win: original patterns made worse by a dial, replayed as positive and negative examples.

    negreplay run cifar50-degraded
    python benchmarks/negatives_map.py runs/cifar50-degraded

It reads results.csv of the run, prints a table of final accuracies and draws docs/negatives.png.
"""

import io
import statistics
from collections import defaultdict
from pathlib import Path

import tyro

from negreplay.files import write_whole
from negreplay.recipe import Source
from negreplay.results.curves import INK, SOURCES
from negreplay.results.table import read_rows
from negreplay.studies.cifar50_degraded import POSITIONS

PICTURE = Path(__file__).parents[1] / "docs" / "negatives.png"
DIALS = {
    "labels": "share of wrong labels",
    "variety": "share of variety lost",
    "noise": "share of noise",
}
WAYS = {"pr-od": ("as positive examples", "--"), "nr-od": ("as negative examples", "-")}


def finals(run: Path) -> dict[str, list[float]]:
    """The accuracies in % after the last experience, by arm, in the order of the seeds."""
    last = sorted((row for row in read_rows(run / "results.csv") if row.last), key=lambda row: row.seed)
    found: dict[str, list[float]] = defaultdict(list)
    for row in last:
        found[row.arm].append(100 * row.whole)
    return found


def curve(found: dict[str, list[float]], way: str, dial: str) -> dict[float, list[float]]:
    """The accuracies of every seed, by the position of a dial, from 0 on."""
    places = {0.0: way} | {position: f"{way}-{dial}-{position:g}" for position in POSITIONS[dial]}
    return {position: found[arm] for position, arm in places.items() if arm in found}


def draw(found: dict[str, list[float]]) -> bytes:
    """The picture as PNG: a panel for each dial."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    panels = figure.subplots(1, len(DIALS), sharey=True)
    floor = statistics.mean(found["no-replay"])
    for panel, (dial, label) in zip(panels, DIALS.items(), strict=True):
        panel.axhline(floor, color=SOURCES[Source.NONE].light, linewidth=1)
        for way, (_, line) in WAYS.items():
            points = curve(found, way, dial)
            middle = [statistics.mean(values) for values in points.values()]
            panel.plot(list(points), middle, line, color=SOURCES[Source.ORIGINAL].light, linewidth=2, marker="o")
            for position, values in points.items():
                panel.plot([position] * len(values), values, ".", color=SOURCES[Source.ORIGINAL].light, alpha=0.4)
        panel.set_xlabel(label, color=INK.light)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("recognised at the end, in %", color=INK.light)
    panels[0].text(0.02, floor + 0.6, "no replay", color=SOURCES[Source.NONE].light)
    for words, line in WAYS.values():
        panels[-1].plot([], [], line, color=SOURCES[Source.ORIGINAL].light, linewidth=2, label=words)
    panels[-1].legend(frameon=False, title="old patterns replayed")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130, facecolor="white", metadata={"Software": None})
    return picture.getvalue()


def main(run: tyro.conf.Positional[Path]) -> None:
    """Prints the table of a run of `cifar50-degraded`, and draws its map."""
    found = finals(run)
    print("| dial | position | positive | negative | seeds |\n| --- | --- | --- | --- | --- |")
    for dial in DIALS:
        positive, negative = (curve(found, way, dial) for way in WAYS)
        for position in positive:
            seeds = min(len(positive[position]), len(negative.get(position, [])))
            if seeds:
                means = (statistics.mean(each[position]) for each in (positive, negative))
                print(f"| {dial} | {position:g} | {' | '.join(f'{mean:.1f}' for mean in means)} | {seeds} |")
    write_whole(PICTURE, draw(found))


if __name__ == "__main__":
    tyro.cli(main)
