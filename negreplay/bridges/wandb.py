"""Curves for Weights & Biases: a run there for each arm and seed, in a group for the study."""

import os
from dataclasses import asdict
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from negreplay.bridges.points import Followed, Point
from negreplay.errors import UserError
from negreplay.files import write_whole

POINTS = 1_000_000
"""More points than there are in an experience."""
PATIENCE = 60.0
"""Seconds in which the end of a run waits for a slow network; what was not sent then stays in the folder."""


def check() -> None:
    """Refuses what would wait for somebody to type a key.

    Raises:
        ModuleNotFoundError: the package is missing.
        UserError: nobody is logged in, and nobody asked it to stay offline.
    """
    wandb = _package()
    try:
        silent = wandb.setup().settings.mode in ("offline", "disabled")
        ready = silent or wandb.run is not None or wandb.login(prompt=False, verify=False)
        reason = "it has no valid key"
    except wandb.Error as error:
        ready, reason = False, str(error).rstrip(".")
    if not ready:
        raise UserError(
            f"wandb cannot send anything ({reason}): type `wandb login`, or set WANDB_MODE=offline to send nothing."
        )


def _package() -> Any:
    """The package, which reports no errors of its own to its makers unless somebody asks it to."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")
    return import_module("wandb")


class WandbCurves:
    """Curves of one arm with one seed, over experiences, and its settings as the configuration.

    A run that is resumed goes on with the same identity. Points are numbered by their place in the stream, so those
    that Weights & Biases has already are not sent again.
    """

    def __init__(self, followed: Followed) -> None:
        folder, wandb = followed.folder / "wandb", _package()
        folder.mkdir(exist_ok=True)  # no more: a folder of a run that was moved away is not made again
        recipe, study = followed.recipe, followed.study.name
        self.run: Any = wandb.init(
            project=wandb.setup().settings.project or "negreplay",
            group=study,
            name=followed.name,
            id=blake2b(f"{_token(folder)} {followed.name}".encode(), digest_size=8).hexdigest(),
            config={"study": study, "arm": recipe.name, "seed": followed.seed, "recipe": asdict(recipe)},
            dir=str(followed.folder),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off", disable_git=True, disable_code=True, finish_timeout=PATIENCE),
        )
        self.run.define_metric("*", step_metric="experience")
        self.index, self.points = followed.first, 0

    def write(self, point: Point) -> None:
        if point.index != self.index:
            self.index, self.points = point.index, 0
        number, self.points = POINTS * self.index + self.points, self.points + 1
        if number >= self.run.step:
            self.run.log({"experience": point.index + point.share, **point.values}, step=number)

    def close(self, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)


def _token(folder: Path) -> str:
    """What the identities of a study's runs are made of; it is drawn once, and kept in the folder."""
    path = folder / "identity.txt"
    if not path.exists():
        write_whole(path, uuid4().hex.encode())
    return path.read_text()
