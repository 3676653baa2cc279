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

from negreplay.data.images import Images, listed_images
from negreplay.errors import NotThereError, UserError
from negreplay.recipe import ImageRecipe

CATEGORIES = (
    *("plug_adapter", "mobile_phone", "scissor", "light_bulb", "can"),
    *("glass", "ball", "marker", "cup", "remote_control"),
)
OBJECTS = tuple(f"{category}{number}" for category in CATEGORIES for number in range(1, 6))
SESSIONS = range(1, 12)
TEST_SESSIONS = (3, 7, 10)
IMAGES = "core50_128x128"
"""The folder of the images, `s1/o1/C_01_01_000.png` and so on."""


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
    raise NotThereError(f"there is no {IMAGES} in {place}: get CORe50 with `negreplay data core50 --root {place}`.")


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
