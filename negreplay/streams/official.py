"""CORe50 in the official order of any of its ten runs.

References:
    V. Lomonaco and D. Maltoni, "CORe50: a New Dataset and Benchmark for Continuous Object Recognition", CoRL 2017.
    V. Lomonaco, D. Maltoni and L. Pellegrini, "Fine-Grained Continual Learning", arXiv:1907.03799, 2019 (NICv2).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from negreplay.data.core50 import IMAGES, objects_of
from negreplay.data.core50_lists import RUNS, read_lists
from negreplay.data.data import Data
from negreplay.data.images import Images
from negreplay.errors import UserError
from negreplay.streams.scenarios import by_arrival
from negreplay.streams.stream import Stream

NC_GROUPS = (
    tuple(range(0, 50, 5)),
    *(tuple(range(start + k, start + 25, 5)) for k in range(1, 5) for start in (0, 25)),
)
"""New Classes: the objects (from 0) of each group. All runs have the same groups, and group 0 first."""


NC_RUNS = (
    *("083271546", "027163485", "062543178", "017265843", "041368752"),
    *("034862175", "068172354", "052468173", "034582176", "016735284"),
)
"""New Classes: the order of the groups in each run, as the official lists have it (a digit is a group)."""


def core50_stream(train: Images, test: Data, lists: str, run: int) -> Stream:
    """The stream of an official run.

    In New Classes the labels are numbered as the classes arrive, as in the official lists. Among categories all ten
    are in the first experience, whatever the list: by Equation 8 that is New Instances.

    Args:
        train: the training images, of `load_core50`.
        test: the test images.
        lists: a key of `CORE50_LISTS`.
        run: 0 to 9.

    Raises:
        UserError: there is no such run, or its lists are missing, damaged, or of other images.
    """
    if run not in RUNS:
        raise UserError(f"seed {run} is no run of CORe50, whose lists are those of runs 0 to 9: give one as seed.")
    if lists == "nc":
        groups = [NC_GROUPS[int(group)] for group in NC_RUNS[run]]
        objects = objects_of(train.paths)
        rows = [torch.isin(objects, torch.tensor(group)).nonzero().flatten() for group in groups]
        return by_arrival(Stream(train, test, rows))
    return Stream(train, test, _rows(train, read_lists(train.files.path, lists, run), f"{lists}, run {run}"))


def _rows(train: Images, experiences: Sequence[Sequence[str]], lists: str) -> list[Int[Tensor, " _rows"]]:
    """The rows of the listed images, each training image once."""
    row = {path.removeprefix(f"{IMAGES}/"): number for number, path in enumerate(train.paths)}
    left, root = set(row), train.files.path
    for path in (path for images in experiences for path in images):
        if path not in left:
            reason = "names twice" if path in row else "names, is missing"
            raise UserError(f"{root / IMAGES / path}, which the list of {lists} {reason}: copy images and lists again.")
        left.remove(path)
    if left:
        raise UserError(f"{root / IMAGES / min(left)} is in no list of {lists}: copy images and lists again.")
    return [torch.tensor([row[path] for path in images]) for images in experiences]
