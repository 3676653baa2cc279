"""The paper's tables and figures, filled from runs: which studies and arms each of them shows, and what came out.

A study on other images has a benchmark's shape and can stand in for it while its own has not been run. It is then
shown as what it is: its numbers stand apart, and are never said to reproduce the paper's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from negreplay.recipe import Recipe, Study
from negreplay.results.curves import Protocol
from negreplay.results.metrics import Row, Spread, Summary, by_cell, summarise
from negreplay.results.reproduced import Line
from negreplay.results.targets import targets

FOUR = ("no-replay", "pr-od", "pr-gd", "nr-gd")
SIX = (*FOUR, "nr-od", "nr-rd")


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of the paper: its name there, its test protocol, its study, and studies that can stand in.

    `experiences` is how many all of these have; a study that has another number was run on other data.
    `measure` names what its tables show: the field of a `Summary`, without `final_` or `average_`. None takes that of
    the protocol.
    """

    name: str
    protocol: Protocol
    study: str
    experiences: int
    stand_ins: tuple[str, ...] = ()
    measure: str | None = None

    @property
    def counted(self) -> str:
        """In words, what its accuracies are shares of."""
        if self.measure is None:
            images = "all test images" if self.protocol is Protocol.WHOLE else "the test images of the classes seen"
            return f"share of {images}, each counting once"
        mean = "mean over experiences of the accuracy on their classes"
        return mean if self.measure == "task_agnostic" else f"{mean}, the experience of each image being known"


NC = Benchmark("CORe50 NC", Protocol.WHOLE, "core50-nc", 9, ("cifar50-nc", "cifar50-nc-pooled"))
NC_GROWING = Benchmark("CORe50 NC", Protocol.GROWING, NC.study, 9, NC.stand_ins)
NIC = Benchmark("CORe50 NIC", Protocol.WHOLE, "core50-nic", 391, ("cifar50-nic", "cifar50-nic-pooled"))
NAIVE = Benchmark("CORe50 NC, naive", Protocol.WHOLE, "core50-nc-naive", 9, ("cifar50-nc-naive",))
IMAGENET = Benchmark("ImageNet-1000 NC", Protocol.GROWING, "imagenet-nc", 25, ("cifar50-25x2",))
SPLIT_MNIST = tuple(
    Benchmark(f"Split MNIST, {name}-incremental", Protocol.GROWING, "split-mnist", 5, measure=measure)
    for name, measure in (("class", "task_agnostic"), ("task", "task_aware"), ("domain", None))
)
UNPUBLISHED = (
    ("class-pr-gd", "class-nr-gd", "class-er", "class-nearest-mean", "class-cwr-star"),
    ("task-er",),
    ("domain-er",),
)
"""Arms of `split-mnist`, by scenario, that stand beside the published ones: generative replay, and yardsticks."""
IMAGENET_25X40 = Benchmark("ImageNet-1000 25x40", Protocol.GROWING, "imagenet-25x40", 25)


def benchmark_of(study: str) -> Benchmark | None:
    """The benchmark of Tables 1 and 2 that a shipped study is, or that it has the shape of; None if there is none."""
    return next((known for known in (NC, NIC, IMAGENET) if study in (known.study, *known.stand_ins)), None)


@dataclass(frozen=True)
class Exhibit:
    """A table or a figure of the paper: for each benchmark in it, the arms shown.

    `quantity` is `final` or `average` accuracy; it is None for figures, which show the accuracy over experiences.
    """

    name: str
    caption: str
    panels: tuple[tuple[Benchmark, tuple[str, ...]], ...]
    quantity: str | None = None

    @property
    def title(self) -> str:
        """Its heading, such as `Table 1`, `Figure 10` or `Split MNIST`."""
        if self.name == "split-mnist":
            return "Split MNIST"
        kind = "Table" if self.quantity else "Figure"
        return f"{kind} {self.name.removeprefix(kind.lower())}"

    @property
    def table(self) -> str:
        """The `table` of the `targets` that it shows."""
        return self.name.removeprefix("table")

    def beside_title(self, benchmark: str) -> str:
        """A benchmark's name where the title stands above it: `Split MNIST, task-incremental` loses its first half."""
        return benchmark.removeprefix(f"{self.title}, ")


def averaged(exhibit: Exhibit) -> str:
    """What the numbers of a table are means of, in a sentence for each benchmark that differs."""
    last = "after the last experience" if exhibit.quantity == "final" else "averaged over all evaluated experiences"
    by_meaning: dict[str, list[str]] = {}
    for benchmark, _ in exhibit.panels:
        by_meaning.setdefault(benchmark.counted, []).append(exhibit.beside_title(benchmark.name))
    return " ".join(f"{' and '.join(names)}: {counted}, {last}." for counted, names in by_meaning.items())


def _arms(table: str, benchmark: Benchmark) -> tuple[str, ...]:
    arms = (t.arm for t in targets() if (t.table, t.benchmark) == (table, benchmark.name))
    return tuple(dict.fromkeys(arms))


def exhibits() -> tuple[Exhibit, ...]:
    """All exhibits that a user can ask for, in the paper's order."""
    tables = (
        ("1", "average", "Accuracy averaged over all experiences, NC scenario", (NC, IMAGENET)),
        ("2", "final", "Final accuracy with negative replay of original, generated and random data", (NC, NIC)),
        ("3", "final", "Final accuracy of AR1 and others with a memory of 20,000 patterns", (IMAGENET_25X40,)),
    )
    return (
        *(Exhibit(f"table{n}", text, tuple((b, _arms(n, b)) for b in shown), kind) for n, kind, text, shown in tables),
        Exhibit("figure1", "Positive and negative generative replay", ((NC, FOUR[2:]), (IMAGENET, FOUR[2:]))),
        Exhibit("figure3", "Accuracy over experiences, NC scenario", ((NC, FOUR), (IMAGENET, FOUR))),
        Exhibit("figure4", "Accuracy over experiences, NIC scenario", ((NIC, FOUR),)),
        Exhibit("figure6", "Naive negative replay (Appendix C)", ((NAIVE, FOUR),)),
        Exhibit("figure8", "CORe50 NC on the growing test set", ((NC_GROWING, FOUR),)),
        Exhibit("figure9", "CORe50 NC, all experiments", ((NC, SIX),)),
        Exhibit("figure10", "ImageNet-1000 NC, all experiments", ((IMAGENET, SIX),)),
        Exhibit("figure11", "CORe50 NIC, all experiments", ((NIC, SIX),)),
        Exhibit(
            "split-mnist",
            "Final accuracy of systems on Split MNIST, beside what others have published",
            tuple(
                (benchmark, (*_arms("split-mnist", benchmark), *more))
                for benchmark, more in zip(SPLIT_MNIST, UNPUBLISHED, strict=True)
            ),
            "final",
        ),
    )


@dataclass(frozen=True)
class Found:
    """What runs of a study have given so far; `study` holds its shipped arms and seeds."""

    study: Study
    rows: tuple[Row, ...]

    def only(self, arms: Sequence[str]) -> Study:
        """The study with these arms alone, in this order."""
        known = {recipe.name: recipe for recipe in self.study.recipes}
        return Study(self.study.name, self.study.summary, tuple(known[a] for a in arms if a in known), self.study.seeds)


def collect(shipped: Study, studies: Iterable[tuple[Study, Sequence[Row]]]) -> Found:
    """The rows of all runs of a shipped study, each arm and seed once, from the run that has come furthest.

    An arm whose settings were changed is another experiment under the same name, and is left out.
    """
    recipes = {recipe.name: recipe for recipe in shipped.recipes}
    best: dict[tuple[str, int], list[Row]] = {}
    for study, rows in studies:
        if study.name == shipped.name:
            same = {recipe.name for recipe in study.recipes if recipe == recipes.get(recipe.name)}
            for key, cell in by_cell(row for row in rows if row.arm in same and row.seed in shipped.seeds).items():
                if key not in best or cell[-1].experience > best[key][-1].experience:
                    best[key] = cell
    return Found(shipped, tuple(row for cell in best.values() for row in cell))


def table_lines(exhibit: Exhibit, found: dict[str, Found]) -> list[Line]:
    """A table's lines: our number for each of the paper's, then the number of each stand-in that has been run.

    Arms for which nothing is published come last in their benchmark.
    """
    lines: list[Line] = []
    for benchmark, arms in exhibit.panels:
        known = [t for t in targets() if (t.table, t.benchmark) == (exhibit.table, benchmark.name) and t.arm in arms]
        unpublished = [arm for arm in arms if arm not in {t.arm for t in known}]
        for name in (benchmark.study, *benchmark.stand_ins):
            stand_in = name != benchmark.study
            summaries = _summaries(found.get(name))
            for arm, paper in (*((t.arm, t) for t in known), *((arm, None) for arm in unpublished)):
                ours = _spread(summaries.get(arm), exhibit.quantity, benchmark.measure or benchmark.protocol)
                if ours is not None or not stand_in:
                    lines.append(Line(benchmark.name, arm, paper, name if ours else None, ours, stand_in))
    return lines


def _summaries(found: Found | None) -> dict[str, Summary]:
    return {} if found is None else {s.arm: s for s in summarise(found.rows, found.study)}


def _spread(summary: Summary | None, quantity: str | None, measure: str) -> Spread | None:
    return None if summary is None else getattr(summary, f"{quantity}_{measure}")


@dataclass(frozen=True)
class Curves:
    """One panel of a figure: the runs that are drawn, None where there are none, and whether they stand in."""

    benchmark: Benchmark
    found: Found | None
    stand_in: bool
    arms: tuple[str, ...]


def figure_panels(exhibit: Exhibit, found: dict[str, Found]) -> list[Curves]:
    """A figure's panels, each from the benchmark's own study or, while that has no rows, from the first stand-in."""
    panels = []
    for benchmark, arms in exhibit.panels:
        names = (benchmark.study, *benchmark.stand_ins)
        name = next((n for n in names if n in found and any(row.arm in arms for row in found[n].rows)), None)
        panels.append(Curves(benchmark, found[name] if name else None, name not in (None, benchmark.study), arms))
    return panels


@dataclass(frozen=True)
class Missing:
    """Runs that an exhibit still wants, as the command that makes them; `hours` is an estimate, None if unknown."""

    command: str
    hours: float | None
    on: str


def missing(exhibit: Exhibit, found: dict[str, Found]) -> list[Missing]:
    """What must be run to complete the exhibit: unfinished seeds of the benchmarks' own studies."""
    wanted: dict[str, list[str]] = {}
    for benchmark, arms in exhibit.panels:
        wanted.setdefault(benchmark.study, []).extend(arms)
    return [_missing(found[name], arms) for name, arms in wanted.items() if name in found and _gaps(found[name], arms)]


def _gaps(found: Found, arms: Sequence[str]) -> list[tuple[Recipe, int]]:
    summaries = _summaries(found)
    return [(r, seed) for r in found.only(arms).recipes for seed in summaries[r.name].incomplete]


def _missing(found: Found, arms: Sequence[str]) -> Missing:
    gaps, study = _gaps(found, arms), found.study
    names = list(dict.fromkeys(recipe.name for recipe, _ in gaps))
    seeds = sorted({seed for _, seed in gaps})
    options = "" if len(names) == len(study.recipes) else f" --arms {' '.join(names)}"
    options += "" if len(seeds) == len(study.seeds) else f" --seeds {' '.join(map(str, seeds))}"
    share = len(names) * len(seeds) / (len(study.recipes) * len(study.seeds))
    return Missing(f"negreplay run {study.name}{options}", study.hours and study.hours * share, study.on)


def to_json(exhibit: Exhibit, found: dict[str, Found]) -> dict[str, Any]:
    """A table's lines (for a figure those of its curves' rows) and what is missing, ready for `json.dumps`."""
    lines = table_lines(exhibit, found) if exhibit.quantity else []
    panels = [] if exhibit.quantity else figure_panels(exhibit, found)
    return {
        "name": exhibit.name,
        "caption": exhibit.caption,
        "lines": [asdict(line) | {"reproduced": line.reproduced} for line in lines],
        "panels": [
            {
                "benchmark": panel.benchmark.name,
                "protocol": panel.benchmark.protocol,
                "study": panel.found and panel.found.study.name,
                "stand_in": panel.stand_in,
                "rows": [asdict(row) for row in panel.found.rows if row.arm in panel.arms] if panel.found else [],
            }
            for panel in panels
        ],
        "missing": [asdict(item) for item in missing(exhibit, found)],
    }
