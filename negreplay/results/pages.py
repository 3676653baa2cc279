"""Pages from the templates beside this module: each holds all it shows and asks for nothing outside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from negreplay.results import curves
from negreplay.results.metrics import Spread
from negreplay.results.table import percent, title
from negreplay.results.text import printable


def render(template: str, **values: Any) -> str:
    """Fills a template; all templates share one style and the colours of the curves."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader,
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "seconds": seconds,
        "size": size,
        "highest": _highest,
        "arm": title,
    }
    values["palette"] = curves.PALETTE
    return environment.get_template(template).render(values)


def _highest(spreads: Sequence[Spread | None]) -> float:
    """The largest mean, for the length of bars; 1 if there is none, so that it can divide."""
    return max((spread.mean for spread in spreads if spread), default=0.0) or 1.0


def seconds(value: float) -> str:
    """A duration as `4.2 s`, `3 min 05 s` or `2 h 07 min`."""
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(value: float) -> str:
    """Bytes as `0 B`, `12.4 MB` or `1.9 GB`, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
