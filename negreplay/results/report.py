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
from negreplay.recipe import Choice, LatentReplayRecipe, Mode, Outputs, Recipe, Source, Study
from negreplay.results import curves
from negreplay.results.metrics import Row, Summary, class_names, summarise
from negreplay.results.pages import render
from negreplay.results.paper import IMAGENET, NC, NIC
from negreplay.results.table import title
from negreplay.results.targets import Target, benchmark_beside, target

BLOCK = 25
KEPT = {
    Source.NONE: "Learns from the newest images only; nothing of the past is shown again.",
    Source.ORIGINAL: "Some training patterns of the past are kept and shown again.",
    Source.GENERATED: "No images are kept: a generator network imagines patterns of the past.",
    Source.RANDOM: "Nothing of the past is kept: random numbers are shown under random class labels.",
}
EVERYTHING = "All training patterns of the past are kept and learned again: no method, but the ceiling."
USED = {
    Mode.POSITIVE: "They count like real data, so they may change what is known about any class (positive replay).",
    Mode.NEGATIVE: "They are counterexamples only: they tell the newest classes what they are not, and leave what is "
    "known about the earlier ones as it was (negative replay).",
}


HELD = {
    "si": "Weights whose movement lowered the loss are held where they were.",
    "ewc": "Weights that predictions depend on are held where they were.",
    "rwalk": "Weights that predictions and the loss depended on are held where they were.",
}
HOW = {
    "lwf": "What the network said of the new images before it learned them is held on to.",
    "lwm": "What the network said of the new images, and where it looked, is held on to.",
    "icarl": "Outputs are held on to; the nearest mean of kept patterns decides.",
    "eeil": "Outputs are held on to, then equally many patterns of each class are learned.",
    "lucir": "Features keep their direction, and old classes are held apart from new ones.",
    "il2m": "Scores of old classes are scaled to what they were when the class was new.",
    "bic": "Outputs are held on to, then two numbers undo the bias towards the newest classes.",
    "dgr": "A generator network imagines images of the past, which the old network labels.",
    "nearest-mean": "Nothing is trained: the nearest mean of a class's features decides.",
    "slda": "Nothing is trained but the means of classes and how features vary around them.",
}
"""What the systems do that are not Algorithm 2."""


@dataclass(frozen=True)
class Arm:
    """An arm as the page shows it. `best` marks the highest final accuracy among arms that keep no training data."""

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
    replay, learner = recipe.replay, recipe.learner
    how = HOW.get(learner.kind)
    if how is None or replay.source is not Source.NONE:
        yield EVERYTHING if replay.choice is Choice.ALL else KEPT[replay.source]
    if how is not None:
        yield how
    elif replay.source is not Source.NONE:
        yield USED[replay.mode]
    if isinstance(learner, LatentReplayRecipe):
        if learner.penalty is not None:
            yield HELD[learner.penalty.kind]
        if learner.outputs is Outputs.CURRENT:
            yield "Nothing is taught against classes that are not there."


def write_report(folder: Path, study: Study, rows: Sequence[Row], machine: str, command: str) -> Path:
    """Write `report.html`, `curves-whole.png` and `curves-growing.png`.

    Args:
        folder: the folder of the run.
        study: the arms and seeds that were to be run.
        rows: what has been evaluated so far; an unfinished run is reported and marked as such.
        machine: what it was begun on, in words.
        command: the command line that reproduces it.

    Returns:
        The path of `report.html`.
    """
    for protocol in curves.Protocol:
        curves.write_png(folder / f"curves-{protocol}.png", study, rows, protocol)
    path = folder / "report.html"
    write_whole(path, _page(study, rows, machine, command).encode())
    return path


def to_json(study: Study, rows: Sequence[Row]) -> dict[str, Any]:
    """The study, its summaries and its rows as plain values, ready for `json.dumps`."""
    return {
        "study": asdict(study),
        "summaries": [asdict(summary) for summary in summarise(rows, study)],
        "rows": [asdict(row) for row in rows],
    }


def _page(study: Study, rows: Sequence[Row], machine: str, command: str) -> str:
    arms, benchmark = _arms(study, rows), benchmark_beside(study.name)
    return render(
        "report.html",
        study=study,
        arms=arms,
        meanings=_alike(arms),
        svgs=[curves.svg(study, rows, protocol, protocol) for protocol in curves.Protocol],
        experiences=max((row.experiences for row in rows), default=0),
        classes=max((len(row.per_class) for row in rows), default=0),
        blocks=_blocks(arms),
        benchmark=benchmark,
        aware=any(arm.summary.final_task_aware for arm in arms),
        printed=_printed(arms, benchmark),
        unfinished=[arm for arm in arms if arm.summary.incomplete],
        best=next((arm for arm in arms if arm.best), None),
        outdone=[(arm, better) for arm in arms if (better := _better(arm, arms))],
        without=next((arm for arm in arms if arm.recipe.replay.source is Source.NONE), None),
        differences=_differences(study.recipes),
        settings=json.dumps(asdict(study), indent=2, ensure_ascii=False),
        machine=machine,
        command=command,
    )


def _arms(study: Study, rows: Sequence[Row]) -> list[Arm]:
    summaries, chosen = summarise(rows, study), curves.styles(study.recipes)
    benchmark = benchmark_beside(study.name)
    kept = {recipe.name for recipe in study.recipes if recipe.keeps_data}
    rivals = {s.arm: s.final_whole.mean for s in summaries if s.final_whole and s.arm not in kept}
    best = max(rivals, key=rivals.__getitem__) if len(rivals) > 1 else None
    return [
        Arm(
            recipe=recipe,
            summary=summary,
            style=chosen[recipe.name],
            best=recipe.name == best,
            final_target=target("2", benchmark, recipe.name),
            average_target=target("1", benchmark, recipe.name),
        )
        for recipe, summary in zip(study.recipes, summaries, strict=True)
    ]


def _better(arm: Arm, arms: Sequence[Arm]) -> list[Arm]:
    """For generated replay, who recognises more of the same stream, keeps no more and takes no longer.

    Were that not shown, a comparison could speak for generated replay where something plainer would do.
    """
    if arm.recipe.replay.source is not Source.GENERATED or arm.summary.final_whole is None:
        return []
    accuracy, cost = arm.summary.final_whole.mean, _cost(arm)
    return [
        other
        for other in arms
        if other.recipe.stream == arm.recipe.stream
        and other.summary.final_whole
        and other.summary.final_whole.mean > accuracy
        and all(its <= mine for its, mine in zip(_cost(other), cost, strict=True))
    ]


def _cost(arm: Arm) -> tuple[float, float]:
    """Bytes kept between experiences, and seconds of training, of an arm that finished."""
    s = arm.summary
    kept, *seconds = (value.mean if value else 0.0 for value in (s.kept_bytes, s.train_seconds, s.generator_seconds))
    return kept, sum(seconds)


def _printed(arms: Sequence[Arm], benchmark: str | None) -> dict[str, list[Target | None]]:
    """The columns of the paper's numbers that have any, with each arm's: by the test set that its averages are over."""
    protocol = {known.name: known.protocol for known in (NC, NIC, IMAGENET)}.get(benchmark or "")
    columns = {
        "final": [arm.final_target for arm in arms],
        f"average, {protocol}": [arm.average_target for arm in arms],
    }
    return {heading: numbers for heading, numbers in columns.items() if any(numbers)}


def _alike(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """Arms of one meaning stand together: those of a sweep are explained once."""
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


def _differences(recipes: Sequence[Recipe]) -> list[tuple[str, list[str]]]:
    """The fields in which arms differ, by dotted name, with each arm's value."""
    flat = [dict(_leaves(asdict(recipe))) for recipe in recipes]
    fields = dict.fromkeys(field for values in flat for field in values if field != "name")
    table = [(field, [values.get(field, "—") for values in flat]) for field in fields]
    return [(field, values) for field, values in table if len(set(values)) > 1]


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "—" if value is None else str(value)
