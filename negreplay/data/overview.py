"""What there is to learn from and to test with, said before anything is learned."""

import torch

from negreplay.data.data import Data
from negreplay.data.images import Images
from negreplay.data.screening import LeftOut, some
from negreplay.data.selected import Selected


def overview(train: Data, test: Data) -> list[str]:
    """Sentences on the images of each class and split, and on what is left out and why."""
    lines = [_counts("training", train), _counts("test", test)]
    left_out = [of for data in (train, test) for of in _left_out(data)]
    if left_out:
        files = "1 file or folder is" if len(left_out) == 1 else f"{len(left_out)} files or folders are"
        lines.append(f"{files} left out: {some(f'{of.path} ({of.reason})' for of in left_out)}.")
    return lines


def _counts(split: str, data: Data) -> str:
    counts = torch.bincount(data.labels, minlength=len(data.names))
    there = [c for c in range(len(data.names)) if counts[c]]
    fewest, most = (choose(there, key=lambda c: int(counts[c])) for choose in (min, max))
    total = f"{len(data.labels)} {split} images of {len(there)} classes"
    if counts[fewest] == counts[most]:
        return f"{total}, {counts[most]} of each."
    return f"{total}, {counts[fewest]} ({data.names[fewest]}) to {counts[most]} ({data.names[most]}) of each."


def _left_out(data: Data) -> tuple[LeftOut, ...]:
    while isinstance(data, Selected):
        data = data.data
    return data.left_out if isinstance(data, Images) else ()
