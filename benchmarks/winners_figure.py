"""What accuracy costs: two charts of a run of `cifar50-winners`, over kept bytes and over seconds.

    negreplay run cifar50-winners
    python benchmarks/winners_figure.py runs/cifar50-winners

It reads results.csv of the run, prints a table and draws docs/winners.png. Seconds are those of learning, the fewest
that a seed took, for other programs may have slowed the others.
"""

import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import tyro

from negreplay.files import write_whole
from negreplay.recipe import Source
from negreplay.results.curves import GRID, INK, SOURCES
from negreplay.results.metrics import by_cell, final
from negreplay.results.table import read_rows, title
from negreplay.studies.arms import named
from negreplay.studies.cifar50_winners import CIFAR50_WINNERS, RANKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = Path(__file__).parents[1] / "docs" / "winners.png"
TICKS = (1, 4, 16, 64, 256)
RANKED = tuple(f"rda-{rank}" for rank in RANKS)
"""One learner with more and more kept bytes, joined by a line; all take the same time, so one stands for them there."""
CEILING = "joint"
"""The arm that keeps all images, which is drawn as a line."""
WORDS = {
    Source.NONE: "keeps sums of features",
    Source.STATISTICS: "replays from statistics",
    Source.GENERATED: "replays generated patterns",
    Source.ORIGINAL: "replays a few original patterns",
}
COLOURS = {source: INK if source is Source.NONE else SOURCES[source] for source in WORDS}
BESIDE = {"fecam": (-12, -13), "slda": (-5, 6), "ridge": (6, -9), "ranpac-10000": (-25, 7), "rda-32": (-34, 3)}
"""Where a label stands beside its point, in points, if not to the right of it."""


class Cost(NamedTuple):
    """What an arm reached with each seed, in %, and what it took."""

    finals: list[float]
    megabytes: float
    seconds: float

    @property
    def final(self) -> float:
        return statistics.mean(self.finals)


def costs(run: Path) -> dict[str, Cost]:
    """The costs of every arm of which a seed is complete, in the order of the study."""
    cells = by_cell(read_rows(run / "results.csv"))
    found = {}
    for arm in (recipe.name for recipe in CIFAR50_WINNERS.recipes):
        done = [cell for (name, _), cell in sorted(cells.items()) if name == arm and final(cell)]
        if done:
            found[arm] = Cost(
                [100 * cell[-1].whole for cell in done],
                max(row.kept_bytes for cell in done for row in cell) / 1e6,
                min(sum(row.train_seconds + row.generator_seconds for row in cell) for cell in done),
            )
    return found


def draw_panel(axes: "Axes", found: dict[str, Cost], over: str, arms: Sequence[str]) -> None:
    """Final accuracy over a cost, on a logarithmic axis."""
    for recipe in named(CIFAR50_WINNERS.recipes, *arms):
        cost, colour = found[recipe.name], COLOURS[recipe.replay.source].light
        place = getattr(cost, over), cost.final
        axes.plot(*place, "o", color=colour, markersize=5)
        shift = BESIDE.get(recipe.name, (6, -3))
        axes.annotate(title(recipe.name), place, shift, textcoords="offset points", fontsize=8, color=colour)
    axes.axhline(found[CEILING].final, color=SOURCES[Source.ORIGINAL].light, linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.grid(axis="y", color=GRID.light, linewidth=0.7)
    axes.tick_params(colors=INK.light, length=3)
    axes.spines[["top", "right"]].set_visible(False)


def draw(found: dict[str, Cost]) -> bytes:
    """Both panels as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    arms, ranks = [arm for arm in found if arm != CEILING], [arm for arm in RANKED if arm in found]
    draw_panel(left, found, "megabytes", arms)
    left.plot(
        [found[arm].megabytes for arm in ranks], [found[arm].final for arm in ranks], color=INK.light, linewidth=1
    )
    draw_panel(right, found, "seconds", [arm for arm in arms if arm not in ranks or arm == "rda-32"])
    left.set_xlabel("kept between experiences beside the network, in MB", color=INK.light)
    right.set_xlabel("seconds of learning on one core", color=INK.light)
    left.set_ylabel("recognised at the end, in %", color=INK.light)
    left.set_xlim(0.15, 400)
    right.set_xlim(0.5, 400)
    ceiling = found[CEILING]
    words = f"joint training: all images, {ceiling.megabytes:.0f} MB, {ceiling.seconds:.0f} s"
    left.text(0.16, ceiling.final + 0.2, words, fontsize=8, color=SOURCES[Source.ORIGINAL].light)
    for source, label in WORDS.items():
        left.plot([], [], "o", color=COLOURS[source].light, label=label)
    left.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.1))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120, facecolor="white", metadata={"Software": None})
    return picture.getvalue()


def main(run: tyro.conf.Positional[Path]) -> None:
    """Prints the table of a run of `cifar50-winners`, and draws what accuracy costs."""
    found = costs(run)
    print("| arm | final | seeds | kept, MB | time |\n| --- | --- | --- | --- | --- |")
    for arm, cost in sorted(found.items(), key=lambda item: -item[1].final):
        std = f" ± {statistics.stdev(cost.finals):.1f}" if len(cost.finals) > 1 else ""
        row = f"{cost.final:.1f}{std}", str(len(cost.finals)), f"{cost.megabytes:.1f}", f"{cost.seconds:.0f} s"
        print(f"| {arm} | {' | '.join(row)} |")
    write_whole(PICTURE, draw(found))


if __name__ == "__main__":
    tyro.cli(main)
