"""The map of when negatives win, with generators on it: what a judge recognises of recalled patterns, how they vary.

    negreplay run cifar50-degraded
    python benchmarks/generators_map.py runs/cifar50-degraded

It recalls 1,000 patterns from the generator of each arm as the run has left it, and makes 1,000 real test patterns
worse by each dial. It measures them, prints a table and draws docs/generators.png.

The judge is streaming LDA of square roots of features, which has learned all training images of all classes. *Variety*
is the mean squared distance of patterns to the mean of their class, divided by that of real ones. *Shift* is how far
the mean of all patterns lies from that of real ones, divided by the root of the same number.
"""

import io
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import tyro
from jaxtyping import Float
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from negatives_map import DIALS, finals
from safetensors import safe_open
from torch import Tensor

from negreplay.files import write_whole
from negreplay.learners.learner import Learner
from negreplay.patterns import Memory, Patterns, nothing
from negreplay.positions import read_position
from negreplay.prepare import Cell, build_cell, over_latents
from negreplay.recipe import Recipe, Source
from negreplay.results.curves import GRID, INK, SOURCES, SPARE
from negreplay.run import reopen
from negreplay.streams.stream import Experience, Stream
from negreplay.studies import study
from negreplay.studies.arms import named
from negreplay.studies.cifar50_degraded import POSITIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = Path(__file__).parents[1] / "docs" / "generators.png"
SAMPLE = 1000
"""How many patterns are recalled to be measured."""
POSITIVE, NEGATIVE, OPEN = SPARE[1].light, SPARE[3].light, SOURCES[Source.NONE].light
WINNERS = {
    NEGATIVE: "negative examples are ahead with every seed",
    POSITIVE: "positive examples are ahead with every seed",
    OPEN: "the seeds disagree",
}
MARKERS = {"labels": "o", "variety": "s", "noise": "^", "generator": "*"}
KINDS = {kind: f"original patterns: {words}" for kind, words in DIALS.items()} | {"generator": "a generator"}
BESIDE = {
    ("variety", "0.9"): (12, -2),
    ("variety", "0.95"): (12, -14),
    ("variety", "1"): (-22, -17),
    ("generator", "without gates"): (-22, 11),
    ("generator", "as it is"): (-22, -17),
}
"""Where a label stands beside its point, in points, if not above it to the right."""
GENERATORS = {
    "as it is": "",
    "without gates": "-ungated",
    "starved": "-starved",
    "starved, no gates": "-starved-ungated",
}
WAYS = {("labels", "0"): "od"}
WAYS |= {(dial, f"{position:g}"): f"od-{dial}-{position:g}" for dial in DIALS for position in POSITIONS[dial]}
WAYS |= {("generator", words): f"gd{ending}" for words, ending in GENERATORS.items()}
"""What the names of a point's two arms end in, by its kind and name."""


class Place(NamedTuple):
    """Where patterns lie on the map (see above); `recognised` is in %."""

    recognised: float
    variety: float
    shift: float


@dataclass(frozen=True)
class Point:
    """A place on the map with a name, and the accuracies in % of its two arms, in the order of the seeds.

    It `helps` if one of the two ends above no replay.
    """

    kind: str
    name: str
    place: Place
    helps: bool
    positive: list[float]
    negative: list[float]

    @property
    def leads(self) -> list[float]:
        """By how many points negative examples lead, for each seed; nothing while one of the two is not complete."""
        if len(self.negative) != len(self.positive):
            return []
        return [n - p for n, p in zip(self.negative, self.positive, strict=True)]

    @property
    def colour(self) -> str:
        """That of the mode that wins with every seed."""
        if not self.leads:
            return GRID.light
        if min(self.leads) > 0:
            return NEGATIVE
        return POSITIVE if max(self.leads) < 0 else OPEN


class Judge:
    """A classifier that has learned all real patterns of a stream, and what is measured of real ones."""

    def __init__(self, stream: Stream, learner: Learner) -> None:
        for experience in stream:
            for _ in learner.learn(experience):
                pass
        self.learner = learner
        rows = torch.arange(len(stream.train.labels))
        real = Patterns(stream.train.read(rows), stream.train.labels)
        self.mean, self.variety = real.x.mean(dim=0), within(real)

    def place(self, memory: Memory) -> Place:
        """Where recalled patterns lie."""
        patterns = Patterns(memory.read(torch.arange(len(memory.labels))), memory.labels)
        right = self.learner.predict(patterns.x, encoded=True).argmax(dim=1) == patterns.y
        shift = (patterns.x.mean(dim=0) - self.mean).norm().item() / self.variety**0.5
        return Place(100 * right.double().mean().item(), within(patterns) / self.variety, shift)


def within(patterns: Patterns) -> float:
    """The mean squared distance of patterns to the mean of their class, whatever the number of patterns a class."""
    classes, index = patterns.y.unique(return_inverse=True)
    x: Float[Tensor, "n f"] = patterns.x.double()
    means = torch.zeros(len(classes), x.shape[1], dtype=x.dtype).index_add_(0, index, x)
    means /= torch.bincount(index).unsqueeze(1)
    return (x - means[index]).square().sum().item() / (len(x) - len(classes))


def built(cell: Cell) -> tuple[Stream, Learner]:
    """The stream of a cell over stored latents, and its learner before the first experience."""
    stream, learner, _ = build_cell(cell)
    encoding = over_latents(cell, stream, learner)
    while True:
        try:
            next(encoding)
        except StopIteration as end:
            return end.value, learner


def recalling(recipe: Recipe) -> Recipe:
    """The same arm, whose source recalls a sample that is large enough to be measured."""
    return replace(recipe, replay=replace(recipe.replay, memory=SAMPLE))


def degraded_place(judge: Judge, cell: Cell) -> Place:
    """Where the patterns of an arm with original patterns lie, if test patterns are in their place."""
    stream, learner = built(cell)
    test = Experience(0, stream.whole_test, torch.bincount(stream.test.labels))
    for _ in learner.source.absorb(learner.classifier, test, nothing()):
        pass
    return judge.place(learner.source.recall())


def generated_place(judge: Judge, cell: Cell) -> Place:
    """Where the patterns of the generator in the checkpoint of a cell lie."""
    source = built(cell)[1].source
    with safe_open(cell.checkpoint, "pt") as file:
        names = [name for name in file.keys() if name.startswith("source.")]  # noqa: SIM118 - no mapping
        source.load_state_dict({name.removeprefix("source."): file.get_tensor(name) for name in names})
    return judge.place(source.recall())


def finished(cell: Cell) -> bool:
    """Whether the whole stream has been learned."""
    position = read_position(cell.checkpoint)
    return 0 < position.learned == position.experiences


def points(folder: Path) -> Iterator[Point]:
    """Every position of a dial and every generator of which the run has accuracies of both modes."""
    run, arms, found = reopen(folder), study("cifar50-degraded").recipes, finals(folder)
    floor = statistics.mean(found["no-replay"])
    (slda,) = named(study("cifar50-winners").recipes, "slda")
    judge = Judge(*built(Cell(slda, run.study.seeds[0], Path(), run.places)))
    for (kind, name), way in WAYS.items():
        positive, negative = found[f"pr-{way}"], found[f"nr-{way}"]
        if not positive and not negative:
            continue
        pair = named(arms, f"pr-{way}", f"nr-{way}")
        if kind == "generator":
            cells = [cell for cell in run.cells() if cell.recipe in pair and finished(cell)]
            each = [generated_place(judge, replace(cell, recipe=recalling(cell.recipe))) for cell in cells]
            place = Place(*map(statistics.mean, zip(*each, strict=True)))
        else:
            place = degraded_place(judge, Cell(recalling(pair[0]), run.study.seeds[0], Path(), run.places))
        helps = max(statistics.mean(each) for each in (positive, negative) if each) > floor
        yield Point(kind, name, place, helps, positive, negative)


def draw_point(axes: "Axes", point: Point) -> None:
    """A point in the colour of who wins, the larger the more; it is hollow where no replay is better than both."""
    lead, generator = statistics.mean(point.leads or [0.0]), point.kind == "generator"
    x, y, _ = point.place
    axes.scatter(
        x,
        y,
        s=(120 if generator else 40) + 45 * abs(lead),
        marker=MARKERS[point.kind],
        facecolor=point.colour if point.helps else "white",
        edgecolor=INK.light if generator else point.colour,
        linewidth=0.8 if generator else 1.6,
        zorder=4 if generator else 3,
    )
    words = "real" if point.name == "0" else point.name
    number = f"{round(lead, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}") if point.leads else "?"
    label = f"{words}: {number}"
    shift = BESIDE.get((point.kind, point.name), (8, 5))
    weight = "bold" if generator else "normal"
    axes.annotate(label, (x, y), shift, textcoords="offset points", fontsize=8, color=INK.light, weight=weight)


def draw_legends(axes: "Axes") -> None:
    """What markers and colours mean."""
    shapes = [
        Line2D([], [], marker=MARKERS[kind], color=OPEN, linewidth=0, label=words) for kind, words in KINDS.items()
    ]
    colours = [Patch(color=colour, label=words) for colour, words in WINNERS.items()]
    colours.append(Patch(facecolor="white", edgecolor=OPEN, label="no replay is better than both"))
    style = {"frameon": False, "fontsize": 8, "alignment": "left"}
    first = axes.legend(
        handles=shapes, title="What is replayed", bbox_to_anchor=(0.06, 0.86), loc="upper left", **style
    )
    axes.add_artist(first)
    axes.legend(handles=colours, title="Who is ahead", bbox_to_anchor=(0.41, 0.86), loc="upper left", **style)


def draw(found: list[Point]) -> bytes:
    """The map as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    real = next(point for point in found if point.name == "0")
    for dial in DIALS:
        path = [real, *(point for point in found if point.kind == dial and point is not real)]
        axes.plot(*zip(*(point.place[:2] for point in path), strict=True), color=GRID.light, linewidth=1, zorder=1)
    for point in found:
        draw_point(axes, point)
    draw_legends(axes)
    axes.set_title("By how many points negative examples are ahead of positive ones", color=INK.light, fontsize=11)
    axes.set_xlabel("patterns of which the judge recognises the class, in %", color=INK.light)
    axes.set_ylabel("variety of a class, beside that of real patterns", color=INK.light)
    axes.set_xlim(-4, 86)
    axes.set_ylim(-0.1, 1.32)
    axes.tick_params(colors=INK.light, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, facecolor="white", metadata={"Software": None})
    return picture.getvalue()


def main(run: tyro.conf.Positional[Path]) -> None:
    """Prints the table of a run of `cifar50-degraded`, and draws the map with generators."""
    print("| what | recognised | variety | shift | positive | negative | lead of negative, by seed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found = []
    for point in points(run):
        recognised, variety, shift = point.place
        both = point.positive, point.negative
        accuracies = " | ".join(f"{statistics.mean(each):.1f}" if each else "" for each in both)
        leads = ", ".join(f"{lead:+.1f}" for lead in point.leads)
        print(
            f"| {point.kind} {point.name} | {recognised:.0f} | {variety:.2f} | {shift:.2f} | {accuracies} | {leads} |"
        )
        found.append(point)
    write_whole(PICTURE, draw(found))


if __name__ == "__main__":
    tyro.cli(main)
