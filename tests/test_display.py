"""What is seen while a study is learned, in 80 columns and on a pipe."""

import io
import re
from collections.abc import Iterator
from itertools import count, islice

import pytest
from rich.console import Console

from negreplay.cell import Event
from negreplay.data.download import Advance
from negreplay.display import SILENCE, follow, show
from negreplay.optimize import Step


def events(arm: str = "nr-gd", steps: int = 4) -> Iterator[Event]:
    for index in range(2):
        for done in range(1, steps + 1):
            yield Event(arm, 0, index, 2, Step("classifier", done, steps, 0.5), None)
        yield Event(arm, 0, index, 2, None, None)


def shown(console: Console) -> list[str]:
    """The lines as they stand on the screen."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())  # type: ignore[attr-defined]
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.mark.parametrize("arm", ["nr-gd", "an-arm-with-a-name-of-many-many-many-characters"])
@pytest.mark.parametrize("width", [80, 120])
def test_bar_and_times_are_seen_in_80_columns(arm: str, width: int):
    console = Console(width=width, force_terminal=True, file=io.StringIO(), legacy_windows=False)
    show(islice(events(arm), 3), console, 0.0, 1)  # at the end of events the display is drawn once more
    study, cell = shown(console)[-2:]
    for line in (study, cell):
        assert len(line) <= width
        assert re.search(r"━.* +\d+% \d:\d\d:\d\d left [\d:-]+", line)
    assert cell.startswith(arm[:5]) and f"{arm[-5:]} 0" in cell and "1/2" in cell and "classifier" in cell


def test_a_pipe_gets_a_line_now_and_then_inside_an_experience():
    console = Console(width=80, file=io.StringIO())
    show(events(steps=100), console, 0.0, 1, clock=count(step=5).__next__)
    lines = shown(console)
    # Each look at the clock takes five seconds; a line takes one more.
    assert lines[0] == "nr-gd seed 0  experience 1/2  classifier 6/100 loss 0.500"
    assert 200 * 5 / SILENCE - 10 < len(lines) <= 200 * 5 / SILENCE
    quick = Console(width=80, file=io.StringIO())
    show(events(steps=100), quick, 0.0, 1, clock=count(step=0).__next__)
    assert shown(quick) == []


def test_a_download_on_a_pipe_is_not_silent_either():
    console = Console(width=80, file=io.StringIO())
    advances = [Advance("a [b] file.zip", done * 1_000_000, 100_000_000, "bytes") for done in range(1, 101)]
    follow(advances, console, clock=count(step=5).__next__)
    lines = shown(console)
    assert lines[-1] == "a [b] file.zip  100 of 100 MB" and 5 < len(lines) < 20
