"""Damaged and made-up files of every kind are answered or refused in a sentence (see `guard` for the rules).

The long tests fuzz each kind for `NEGREPLAY_FUZZ_SECONDS`, guided by coverage, and print what came of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from guard import GUARD, BrokenError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS

Edits = list[tuple[float, int, bytes]]
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8)), max_size=4)
"""Each replaces so many bytes, at a place that is a share of the whole, by others."""


def edited(whole: bytes, edits: Edits) -> bytes:
    for share, length, others in edits:
        at = round(share * len(whole))
        whole = whole[:at] + others + whole[at + length :]
    return whole


@pytest.mark.parametrize("name", TARGETS)
def test_damage_is_answered_or_refused(name: str, tmp_path: Path):
    target = TARGETS[name]
    whole, run = target.whole(), target.ready(tmp_path)
    answered = [GUARD(run, content, tmp_path) for content in whole]
    assert any(answered) or name in ("pickled lists", "list", "zip of lists", "tar.xz of lists"), answered

    @settings(max_examples=5 if "model" in name else 20, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(content=st.sampled_from(whole), edits=EDITS)
    def damaged(content: bytes, edits: Edits) -> None:
        GUARD(run, edited(content, edits), tmp_path)

    damaged()


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks_a_rule(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seconds = os.environ.get("NEGREPLAY_FUZZ_SECONDS", "60")
    program = Path(__file__).with_name("fuzzer.py")
    done = subprocess.run(
        [sys.executable, program, name, seconds, tmp_path / "fuzz"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads((tmp_path / "fuzz" / "counts.json").read_text())
    with capsys.disabled():
        print(f"\n{name}: {counts}")
    assert counts["inputs"] > 0 and counts["broken"] == {}
    assert counts["peak"] - counts["start"] < 3_000_000_000


# The rules themselves


def test_what_an_input_may_not_do_is_noticed(tmp_path: Path):
    def outside(_: bytes) -> None:
        (tmp_path / "other").write_text("x")

    def program(_: bytes) -> None:
        subprocess.run(["true"], check=True)

    inside = tmp_path / "inside"
    inside.mkdir()
    for run in (outside, program):
        with pytest.raises(BrokenError, match="outside its folder"):
            GUARD(run, b"", inside)
    assert GUARD(lambda content: (inside / "x").write_bytes(content), b"", inside)
    with pytest.raises(KeyError):
        GUARD(lambda _: {}["x"], b"", inside)
