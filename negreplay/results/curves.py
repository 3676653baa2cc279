"""Accuracy over experiences as curves, drawn once and written as PNG and as SVG that follows the reader's colours."""

import io
import re
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from negreplay.files import write_whole
from negreplay.recipe import Mode, Recipe, Source, Study
from negreplay.results.metrics import Row, curve
from negreplay.results.table import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Protocol(StrEnum):
    """Which test images count: all of them from the start, or those of the classes seen so far."""

    WHOLE = "whole"
    GROWING = "growing"


@dataclass(frozen=True)
class Colour:
    """A colour by name, for light and for dark surroundings."""

    name: str
    light: str
    dark: str


@dataclass(frozen=True)
class Style:
    """How an arm is drawn everywhere: the colour tells the source, dashes tell positive replay."""

    colour: Colour
    dashes: str


INK = Colour("ink", "#1c232b", "#e6eaee")
GRID = Colour("grid", "#d5dbe1", "#3a444f")
SOURCES = {
    Source.NONE: Colour("none", "#6b7480", "#aab4bf"),
    Source.ORIGINAL: Colour("original", "#0072b2", "#4fb3f0"),
    Source.GENERATED: Colour("generated", "#d55e00", "#ff8b3d"),
    Source.STATISTICS: Colour("statistics", "#a3338f", "#e07fd0"),
    Source.RANDOM: Colour("random", "#009e73", "#2fd0a2"),
}
# These are for further arms of the same source and mode. Like the above they follow Okabe and Ito, for colour-blind
# readers.
SPARE = (
    Colour("spare-1", "#cc79a7", "#e79cc5"),
    Colour("spare-2", "#b8860b", "#e8bb4a"),
    Colour("spare-3", "#3a9bcb", "#8fd3f7"),
    Colour("spare-4", "#5b4b9a", "#a99be8"),
)
PALETTE = (INK, GRID, *SOURCES.values(), *SPARE)
SOLID, DASHED, DOTTED = "none", "5 2.5", "1.5 2"
MARKED_UP_TO = 30


def styles(recipes: Sequence[Recipe]) -> dict[str, Style]:
    """The style of each arm, by its name."""
    taken: set[tuple[Source, Mode]] = set()
    chosen: dict[str, Style] = {}
    repeats = 0
    for recipe in recipes:
        kind = (recipe.replay.source, recipe.replay.mode)
        positive = recipe.replay.mode is Mode.POSITIVE and recipe.replay.source is not Source.NONE
        style = Style(SOURCES[recipe.replay.source], DASHED if positive else SOLID)
        if kind in taken:
            dashes = style.dashes if repeats < len(SPARE) else DOTTED
            style = Style(SPARE[repeats % len(SPARE)], dashes)
            repeats += 1
        taken.add(kind)
        chosen[recipe.name] = style
    return chosen


def write_png(path: Path, study: Study, rows: Sequence[Row], protocol: Protocol) -> None:
    """Write the curves of all arms, with a legend below."""
    from matplotlib.lines import Line2D

    figure, axes = _figure(study, rows, protocol, (6.4, 4.9))
    axes.set_title(f"Accuracy on the {protocol} test set", fontsize=11, color=INK.light)
    chosen = styles(study.recipes)
    handles = [Line2D([], [], color=s.colour.light, dashes=_dashes(s), linewidth=1.8) for s in chosen.values()]
    legend = figure.legend(handles, ["arm"] * len(handles), loc="outside lower center", ncols=3, frameon=False)
    # An arm may be called anything; only as plain text set afterwards are "$x$" and "_x" safe from the legend's rules.
    for text, name in zip(legend.get_texts(), chosen, strict=True):
        text.set_parse_math(False)
        text.set_text(title(name))
        text.set_color(INK.light)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes, which needs no warning.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(picture, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    write_whole(path, picture.getvalue())


def svg(study: Study, rows: Sequence[Row], protocol: Protocol, key: str) -> str:
    """The curves as an `<svg>` element for a page that defines the palette's colours as CSS variables.

    Each picture of a page needs a `key` of its own.
    """
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "font.size": 11.5}):
        figure, _ = _figure(study, rows, protocol, (5.4, 3.9))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<(metadata|style).*?</\1>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    # Two pictures on one page must not share the identifiers of their parts.
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{key}-", text)
    for colour in PALETTE:
        text = text.replace(colour.light, f"var(--{colour.name})")
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" {_label(protocol)}>', text)


def _label(protocol: Protocol) -> str:
    return f'aria-label="Accuracy on the {protocol} test set after each experience, one curve an arm"'


def _figure(
    study: Study, rows: Sequence[Row], protocol: Protocol, inches: tuple[float, float]
) -> "tuple[Figure, Axes]":
    """Axes with one curve an arm, both protocols on one scale so that their pictures can be compared."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.add_subplot()
    for name, style in styles(study.recipes).items():
        _draw(axes, curve(rows, name), style, protocol)
    highest = max((max(row.whole, row.growing) for row in rows), default=1.0)
    last = max((row.experiences for row in rows), default=1)
    margin = max(0.02 * (last - 1), 0.3)
    axes.set_xlim(1 - margin, last + margin)
    axes.set_ylim(0, min(100, 10 * (int(10 * highest) + 1)))
    axes.set_xlabel("experience", color=INK.light)
    axes.set_ylabel(f"accuracy, {protocol} test set (%)", color=INK.light)
    axes.set_xticks(_ticks(last))
    axes.grid(axis="y", color=GRID.light, linewidth=0.7)
    axes.tick_params(colors=INK.light, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK.light)
    return figure, axes


def _draw(axes: "Axes", points: list[list[Row]], style: Style, protocol: Protocol) -> None:
    """One arm: the mean over its seeds, and a band of one standard deviation on either side."""
    if not points:
        return
    x = [point[0].experience + 1 for point in points]
    shares = [[100 * (row.whole if protocol is Protocol.WHOLE else row.growing) for row in point] for point in points]
    mean = [statistics.fmean(values) for values in shares]
    colour, marked = style.colour.light, len(points) <= MARKED_UP_TO
    if len(points[0]) > 1:
        std = [statistics.stdev(values) for values in shares]
        low, high = [m - s for m, s in zip(mean, std, strict=True)], [m + s for m, s in zip(mean, std, strict=True)]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        if len(points) == 1:
            axes.vlines(x, low, high, color=colour, alpha=0.5)
    axes.plot(x, mean, color=colour, dashes=_dashes(style), linewidth=1.8, marker="o" if marked else "", markersize=3)


def _ticks(last: int) -> list[int]:
    """The experiences that are named on the axis: all if they are few, else round ones, the first and the last."""
    step = next(step for step in (1, 5, 10, 50, 100, 500, 1000, last) if last <= 12 * step)
    round_ones = [tick for tick in range(step, last, step) if last - tick > step / 2]
    return sorted({1, *round_ones, last})


def _dashes(style: Style) -> tuple[float, ...] | tuple[None, None]:
    """The dashes as matplotlib counts them, in line widths."""
    return (None, None) if style.dashes == SOLID else tuple(float(length) for length in style.dashes.split())
