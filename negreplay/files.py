"""Writing files so that nothing is ever half-written."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file in one piece: whoever reads it, also after a kill, finds the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
