"""Fuzzes a target, guided by coverage, for some seconds: `python fuzzer.py TARGET SECONDS FOLDER`.

What came of it is in the folder's `counts.json`; an input that broke a rule is in its `broken`, one for each place. It
is a program of its own, for atheris ends the process.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import atheris

GUIDED = ("negreplay.data", "negreplay.photographs", "negreplay.checkpoint", "negreplay.sealed")
"""Where coverage is looked at, besides what the standard library reads archives with; of all else it would be slow."""

with atheris.instrument_imports(include=[*GUIDED, "pickle", "tarfile", "zipfile"]):  # pyright: ignore[reportAttributeAccessIssue]
    sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]
    from guard import GUARD, limit_memory, peak
    from targets import TARGETS


def main(name: str, seconds: float, folder: Path) -> None:
    """Fuzzes until the time is over."""
    target, place = TARGETS[name], folder / "place"
    for made in (place, folder / "corpus", folder / "broken"):
        made.mkdir(parents=True)
    whole = target.whole()
    for number, content in enumerate(whole):
        (folder / "corpus" / str(number)).write_bytes(content)
    run = target.ready(place)
    answered = sum(GUARD(run, content, place) for content in whole)
    counts = {"inputs": 0, "answered": 0, "longest": 0.0, "whole": answered, "start": peak(), "peak": 0}
    broken: dict[str, str] = {}
    begun = time.monotonic()
    limit_memory()

    def test(content: bytes) -> None:
        start = time.process_time()
        try:
            counts["answered"] += GUARD(run, content, place)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            if key not in broken:
                broken[key] = str(error)[:300]
                (folder / "broken" / f"{len(broken)}").write_bytes(content)
        counts["inputs"] += 1
        counts["longest"] = max(counts["longest"], time.process_time() - start)
        if time.monotonic() - begun > seconds:
            counts["peak"] = peak()
            corpus = len(list((folder / "corpus").iterdir()))
            (folder / "counts.json").write_text(json.dumps(counts | {"corpus": corpus, "broken": broken}))
            os._exit(0)

    size = 2 * max(map(len, whole)) + 1000
    options = (f"-max_len={size}", "-timeout=300", "-rss_limit_mb=0", "-verbosity=0", "-print_final_stats=0", "-seed=1")
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], test)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
