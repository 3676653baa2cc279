"""CORe50: 50 objects of 10 categories, filmed in 11 sessions, in the official order of any of its ten runs.

References:
    V. Lomonaco and D. Maltoni, "CORe50: a New Dataset and Benchmark for Continuous Object Recognition", CoRL 2017.
    V. Lomonaco, D. Maltoni and L. Pellegrini, "Fine-Grained Continual Learning", arXiv:1907.03799, 2019 (NICv2).
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe
from negreplay.streams.core50_lists import RUNS, read_lists
from negreplay.streams.images import Images, listed_images
from negreplay.streams.selected import by_arrival
from negreplay.streams.stream import Data, Stream

CATEGORIES = (
    *("plug_adapter", "mobile_phone", "scissor", "light_bulb", "can"),
    *("glass", "ball", "marker", "cup", "remote_control"),
)
OBJECTS = tuple(f"{category}{number}" for category in CATEGORIES for number in range(1, 6))
SESSIONS = range(1, 12)
TEST_SESSIONS = (3, 7, 10)
IMAGES = "core50_128x128"
"""The folder of the images, `s1/o1/C_01_01_000.png` and so on."""

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

_NAME = re.compile(r"C_\d\d_\d\d_\d{3}\.png")


def load_core50(place: Path, recipe: ImageRecipe, categories: bool) -> tuple[Images, Images]:
    """All training and all test images, in the order of the official lists: by session, object (o1, o10, o11), frame.

    Args:
        place: the folder that holds `core50_128x128`, or the one around it, where it is called `core50`.
        recipe: how the images are read.
        categories: whether the ten categories are the classes, or the fifty objects.

    Raises:
        UserError: the images, or a session or an object among them, are missing, or one cannot be decoded.
    """
    root = find_core50(place)
    test_sessions, names = set(TEST_SESSIONS), CATEGORIES if categories else OBJECTS

    def images(sessions: Iterable[int], training: bool) -> Images:
        paths = [path for session in sessions for path in session_images(root, session)]
        labels = objects_of(paths) // (5 if categories else 1)
        return listed_images(root, paths, labels, names, recipe, training)

    return images((s for s in SESSIONS if s not in test_sessions), True), images(TEST_SESSIONS, False)


def find_core50(place: Path) -> Path:
    """The folder that holds the images' one.

    Raises:
        UserError: it is not there.
    """
    for root in (place, place / "core50"):
        if (root / IMAGES).is_dir():
            return root
    raise UserError(
        f"there is no {IMAGES} in {place}: get CORe50 with `negreplay data core50 --root {place}`, "
        "or say where it is with --data PATH."
    )


def session_images(root: Path, session: int) -> list[str]:
    """The images of a session, as paths in `root`, in the official order; other files are ignored.

    Raises:
        UserError: an object has no images there.
    """
    paths = []
    for folder in sorted(f"{IMAGES}/s{session}/o{number + 1}" for number in range(len(OBJECTS))):
        try:
            images = sorted(path.name for path in (root / folder).iterdir() if _NAME.fullmatch(path.name))
        except OSError:
            images = []
        if not images:
            raise UserError(
                f"{root / folder} holds no images: CORe50 has 50 objects in each of 11 sessions; "
                f"copy it again, or move {IMAGES} away and get it with `negreplay data core50 --root {root}`."
            )
        paths += [f"{folder}/{name}" for name in images]
    return paths


def objects_of(paths: Sequence[str]) -> Int[Tensor, " n"]:
    """The number of the object in each image, from 0."""
    return torch.tensor([int(path.split("/")[-2][1:]) - 1 for path in paths])


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
