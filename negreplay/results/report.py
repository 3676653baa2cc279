"""The report of a run: one page that opens anywhere, and the curves as pictures.

`report.html` holds everything it shows (styles, curves, numbers), asks for nothing outside, and reads on paper, on a
phone, by day and by night. Its words and its layout live in the template beside this module.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from negreplay.files import write_whole
from negreplay.recipe import Choice, Mode, Recipe, Replays, Source, Study
from negreplay.results import curves
from negreplay.results.compare import Headline, headlines
from negreplay.results.metrics import Row, Summary, class_names, summarise
from negreplay.results.pages import render
from negreplay.results.paper import Benchmark, benchmark_of
from negreplay.results.settings import changes, differences
from negreplay.results.table import averaging, title
from negreplay.results.targets import Target, target
from negreplay.results.text import printable

BLOCK = 25
SOURCES = {
    Source.NONE: "Learns from the newest images only; nothing of the past is shown again.",
    Source.ORIGINAL: "Some training patterns of the past are kept and shown again.",
    Source.GENERATED: "No images are kept: a generator network imagines patterns of the past.",
    Source.STATISTICS: "No images are kept: patterns of the past are drawn from statistics of each class.",
    Source.RANDOM: "Nothing of the past is kept: random numbers are shown under random class labels.",
}
EVERYTHING = "All training patterns of the past are kept and learned again: no method, but the ceiling."
MODES = {
    Mode.POSITIVE: "They count like real data, so they may change what is known about any class (positive replay).",
    Mode.NEGATIVE: "They are counterexamples only: they tell the newest classes what they are not, and leave what is "
    "known about the earlier ones as it was (negative replay).",
}


@dataclass(frozen=True)
class Arm:
    """An arm as the page shows it; `best` marks an arm that recognises most by one of the headlines."""

    recipe: Recipe
    summary: Summary
    style: curves.Style
    best: bool
    final_target: Target | None
    average_target: Target | None

    @property
    def title(self) -> str:
        return title(self.recipe.name)

    @property
    def data_kept(self) -> str:
        """How much of the training data is kept between experiences."""
        if self.recipe.replay.choice is Choice.ALL:
            return "all"
        return "some" if self.recipe.keeps_data else "none"

    @property
    def meaning(self) -> str:
        """What the arm does, for a reader who knows nothing of it."""
        return " ".join(_meaning(self.recipe))


def _meaning(recipe: Recipe) -> Iterator[str]:
    replay, anything = recipe.replay, recipe.learner.replays is Replays.ANYTHING
    if anything or replay.source is not Source.NONE:
        yield EVERYTHING if replay.choice is Choice.ALL else SOURCES[replay.source]
    if anything and replay.source is not Source.NONE:
        yield MODES[replay.mode]
    yield from recipe.learner.explanation()


def write_report(
    folder: Path,
    study: Study,
    rows: Sequence[Row],
    machine: str,
    command: str,
    shipped: Sequence[Study] = (),
    images: Sequence[str] = (),
    setbacks: Sequence[str] = (),
) -> Path:
    """Write `report.html`, `curves-whole.png` and `curves-growing.png`.

    Args:
        folder: the folder of the run.
        study: the arms and seeds that were to be run.
        rows: what has been evaluated so far; an unfinished run is reported and marked as such.
        machine: the machine on which it was begun, in words.
        command: the command line that reproduces it.
        shipped: the studies that ship with the library. The paper's numbers stand beside the arms of such a study that
            are unchanged, and the page says what was changed in a study that has the name of one.
        images: sentences on what was learned from and tested with, and on what was left out.
        setbacks: sentences on arms that learned an experience at smaller rates than the study has.

    Returns:
        The path of `report.html`.
    """
    for protocol in curves.Protocol:
        curves.write_png(folder / f"curves-{protocol}.png", study, rows, protocol)
    path = folder / "report.html"
    original = next((known for known in shipped if known.name == study.name), None)
    write_whole(path, _page(study, rows, machine, command, original, images, setbacks).encode())
    return path


def to_json(study: Study, rows: Sequence[Row]) -> dict[str, Any]:
    """The study, its summaries and its rows as plain values, ready for `json.dumps`."""
    return {
        "study": asdict(study),
        "summaries": [asdict(summary) for summary in summarise(rows, study)],
        "rows": [asdict(row) for row in rows],
    }


def _page(
    study: Study,
    rows: Sequence[Row],
    machine: str,
    command: str,
    original: Study | None,
    images: Sequence[str],
    setbacks: Sequence[str],
) -> str:
    benchmark = benchmark_of(study.name) if original else None
    experiences = max((row.experiences for row in rows), default=0)
    changed = changes(study, original) if original else []
    if benchmark and rows and experiences != benchmark.experiences:
        changed.append((f"experiences: {benchmark.experiences} → {experiences}", "other data"))
        benchmark = None
    claims = headlines(study, rows)
    arms = _arms(study, rows, claims, benchmark, original)
    return render(
        "report.html",
        study=study,
        arms=arms,
        meanings=_alike(arms),
        svgs=[curves.svg(study, rows, protocol, protocol) for protocol in curves.Protocol],
        experiences=experiences,
        classes=max((len(row.per_class) for row in rows), default=0),
        data=list(dict.fromkeys(recipe.arriving.data for recipe in study.recipes)),
        changes=changed,
        described=not (changed and original and study.summary == original.summary),
        blocks=_blocks(arms),
        benchmark=benchmark,
        aware=any(arm.summary.final_task_aware for arm in arms),
        printed=_printed(arms, benchmark),
        unfinished=[arm for arm in arms if arm.summary.incomplete],
        headlines=claims,
        praised=[leader.arm for headline in claims if not headline.at_chance for leader in headline.leaders],
        outdone={arm.recipe.name: better for arm in arms if (better := _better(arm, arms))},
        differences=differences(study.recipes),
        averaging=averaging(study),
        settings=json.dumps(asdict(study), indent=2, ensure_ascii=False),
        machine=machine,
        seen=printable(" ".join(images)),
        setbacks=setbacks,
        command=command,
    )


def _arms(
    study: Study, rows: Sequence[Row], claims: Sequence[Headline], benchmark: Benchmark | None, original: Study | None
) -> list[Arm]:
    chosen = curves.styles(study.recipes)
    best = {headline.best.arm for headline in claims if headline.best}

    def printed(table: str, recipe: Recipe) -> Target | None:
        """The paper's number, for an arm that is as shipped."""
        same = benchmark is not None and original is not None and recipe in original.recipes
        return target(table, benchmark.name, recipe.name) if benchmark and same else None

    return [
        Arm(
            recipe=recipe,
            summary=summary,
            style=chosen[recipe.name],
            best=recipe.name in best,
            final_target=printed("2", recipe),
            average_target=printed("1", recipe),
        )
        for recipe, summary in zip(study.recipes, summarise(rows, study), strict=True)
    ]


def _better(arm: Arm, arms: Sequence[Arm]) -> list[Arm]:
    """The arms that outdo one with generated replay: they recognise more of the same stream with no more cost.

    They keep no more bytes and take no longer. If the page did not show them, a comparison could speak for generated
    replay where something plainer would do.
    """
    if arm.recipe.replay.source is not Source.GENERATED or arm.summary.final_whole is None:
        return []
    accuracy, cost = arm.summary.final_whole.mean, _cost(arm)
    return [
        other
        for other in arms
        if other.recipe.arriving == arm.recipe.arriving
        and other.summary.final_whole
        and other.summary.final_whole.mean > accuracy
        and all(theirs <= ours for theirs, ours in zip(_cost(other), cost, strict=True))
    ]


def _cost(arm: Arm) -> tuple[float, float]:
    """Bytes kept between experiences, and seconds of training, of an arm that finished."""
    s = arm.summary
    spreads = (s.kept_bytes, s.train_seconds, s.generator_seconds)
    size, *seconds = (spread.mean if spread else 0.0 for spread in spreads)
    return size, sum(seconds)


def _printed(arms: Sequence[Arm], benchmark: Benchmark | None) -> dict[str, list[Target | None]]:
    """The columns of the paper's numbers that have any, by their headings, with the number of each arm or None."""
    columns = {
        "final": [arm.final_target for arm in arms],
        f"average, {benchmark.protocol if benchmark else ''}": [arm.average_target for arm in arms],
    }
    return {heading: numbers for heading, numbers in columns.items() if any(numbers)}


def _alike(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """Groups arms by what they do, so that the arms of a sweep are explained once."""
    alike: dict[str, list[Arm]] = {}
    for arm in arms:
        alike.setdefault(arm.meaning, []).append(arm)
    return alike


def _blocks(arms: Sequence[Arm]) -> list[list[tuple[str, list[float | None]]]]:
    """The final accuracy on each class, one line a class, cut into blocks that stand side by side on a wide page."""
    names = class_names(arm.summary for arm in arms)
    lines = [(name, [arm.summary.per_class.get(name) for arm in arms]) for name in names]
    height = math.ceil(len(lines) / math.ceil(len(lines) / BLOCK)) if lines else 1
    return [lines[start : start + height] for start in range(0, len(lines), height)]
