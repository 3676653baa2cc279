"""A table or figure of the paper as a page, and on the terminal."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from negreplay.files import write_whole
from negreplay.results import curves
from negreplay.results.pages import render
from negreplay.results.paper import (
    Curves,
    Exhibit,
    Found,
    Missing,
    averaged,
    figure_panels,
    missing,
    table_lines,
)
from negreplay.results.reproduced import WITHIN, Line
from negreplay.results.table import percent, title


def write_exhibit(folder: Path, exhibit: Exhibit, found: dict[str, Found]) -> Path:
    """Writes `<name>.html` to the folder, and for a figure one PNG for each panel that has curves.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    panels = [] if exhibit.quantity else figure_panels(exhibit, found)
    drawn = [_drawn(folder, exhibit, panel, number) for number, panel in enumerate(panels)]
    lines = table_lines(exhibit, found) if exhibit.quantity else []
    wanted = missing(exhibit, found)
    page = render(
        "paper.html",
        exhibit=exhibit,
        lines=lines,
        panels=drawn,
        missing=wanted,
        within=int(WITHIN),
        averaged=averaged(exhibit),
    )
    path = folder / f"{exhibit.name}.html"
    write_whole(path, page.encode())
    return path


def print_exhibit(exhibit: Exhibit, found: dict[str, Found], console: Console) -> None:
    """Prints a table's lines, or what a figure was drawn from, and the runs that are missing."""
    if exhibit.quantity:
        console.print(_terminal_table(exhibit, table_lines(exhibit, found)))
    else:
        console.print(f"[bold]{exhibit.title}[/]: {exhibit.caption}")
        for panel in figure_panels(exhibit, found):
            console.print(f"  {panel.benchmark.name}, {panel.benchmark.protocol} test set: {_source(panel)}")
    for item in missing(exhibit, found):
        console.print(f"missing: {item.command}  ({_hours(item)})", soft_wrap=True, highlight=False)


def _drawn(folder: Path, exhibit: Exhibit, panel: Curves, number: int) -> dict[str, object]:
    """One panel for the page; its curves become a PNG too."""
    if panel.found is None:
        return {"curves": panel}
    study, protocol = panel.found.only(panel.arms), panel.benchmark.protocol
    rows = [row for row in panel.found.rows if row.arm in panel.arms]
    curves.write_png(folder / f"{exhibit.name}-{study.name}.png", study, rows, protocol)
    begun = {row.arm for row in rows}
    legend = [(title(name), style) for name, style in curves.styles(study.recipes).items() if name in begun]
    svg = curves.svg(study, rows, protocol, f"{protocol}-{number}")
    return {"curves": panel, "legend": legend, "svg": svg}


def _terminal_table(exhibit: Exhibit, lines: list[Line]) -> Table:
    caption = f"Accuracy in %. {averaged(exhibit)} Reproduced: within {WITHIN:g} standard deviations of the difference."
    if any(line.stand_in for line in lines):
        caption += " * other images: compare the order, not the numbers."
    table = Table(title=f"{exhibit.title}: {exhibit.caption}", caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    several = len({line.paper.source for line in lines if line.paper}) > 1
    for column in ("arm", "published", *(["by"] if several else []), "ours", "reproduced"):
        justify = "right" if column in ("published", "ours") else "left"
        table.add_column(column, justify=justify, no_wrap=column in ("arm", "published", "ours"))
    shown = None
    for line in lines:
        name = f"* {line.study}" if line.stand_in else exhibit.beside_title(line.benchmark)
        if name != shown:
            table.add_row(Text(name, style="bold"))
            shown = name
        verdict = "" if line.stand_in else line.reproduced
        source = [line.paper.source if line.paper else "—"] if several else []
        table.add_row(title(line.arm), str(line.paper or "—"), *source, percent(line.ours), verdict)
    return table


def _source(panel: Curves) -> str:
    if panel.found is None:
        return "not run"
    return panel.found.study.name + (" (other images in its shape)" if panel.stand_in else "")


def _hours(item: Missing) -> str:
    return "hours unknown" if item.hours is None else f"about {item.hours:.1f} hours on {item.on}"
