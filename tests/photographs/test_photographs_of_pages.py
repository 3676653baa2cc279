"""What the pages say to type about photographs, in their order, on small pictures."""

from pathlib import Path

import numpy as np
import pytest
from pages import PAGES, Page, arguments
from PIL import Image
from tiny import Negreplay

COLOURS = {"cat": 200, "dog": 120, "lion": 40, "owl": 160}
COMMANDS = ("learn", "predict", "inspect", "rename", "merge", "forget", "undo")


def commands(page: Page) -> list[list[str]]:
    """Those of its shell blocks that need no network and end by themselves."""
    lines = page.in_turn("negreplay")
    return [line for line in lines if line[1] in COMMANDS and not {"--backbone", "--watch"} & {*line}]


def draw(path: Path, name: str, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number + COLOURS[name]).integers(-25, 25, (32, 32, 3))
    Image.fromarray((COLOURS[name] + noise).clip(0, 255).astype(np.uint8)).save(path)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_for_photographs_run_in_turn(page: Page, negreplay: Negreplay):
    for day, names in {"monday": ("cat", "dog"), "tuesday": ("lion", "owl"), "new": ("owl",)}.items():
        for name in names:
            for number in range(12):
                draw(Path("photos", day, name, f"{number}.png"), name, number + 100 * len(day))
    for name in ("new.jpg", "photo.jpg"):
        draw(Path(name), "cat", 1000)
    draw(Path("more", "1.png"), "dog", 1001)
    lines = commands(page)
    first = ["negreplay", "learn", "photos/monday", "--model", "shop.safetensors"]
    for line in ([*first, "--size", "32"], *(line for line in lines if line != first)):
        done = negreplay(*arguments(line))
        # A network of random weights does not know every picture.
        assert done.code in ({0, 1} if line[1] == "predict" else {0}), (line, done)
