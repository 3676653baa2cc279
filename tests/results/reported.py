"""The page of a report, its words and its tables."""

import re
from html import unescape
from pathlib import Path

from negreplay.recipe import Study
from negreplay.results.metrics import Row
from negreplay.results.report import write_report


def page(folder: Path, study: Study, rows: list[Row], shipped: list[Study] | None = None) -> str:
    path = write_report(folder, study, rows, "2 cores", "negreplay run cifar50-nc", shipped or [study])
    assert {file.name for file in folder.iterdir()} == {"report.html", "curves-whole.png", "curves-growing.png"}
    return path.read_text(encoding="utf-8")


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def table(html: str, heading: str = "Results") -> list[list[str]]:
    """The table below a heading, line by line, cell by cell."""
    lines = html.split(f"<h2>{heading}</h2>")[1].split("</table>")[0].split("<tr")[1:]
    return [[words(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.S)] for line in lines]
