"""Curves for TensorBoard: files in `tensorboard/<arm>-<seed>` of a run's folder."""

from importlib import import_module
from typing import Any

from negreplay.bridges.points import Followed, Point
from negreplay.results.settings import settings_of

PARTS = 100
"""A loss stands at the hundredth of an experience, for TensorBoard's steps are whole numbers."""


def check() -> None:
    """Raises a ModuleNotFoundError where the package is missing."""
    import_module("tensorboard")


class TensorBoardCurves:
    """Curves of one arm with one seed, and its settings as hyperparameters.

    Results stand at the number of experiences learned, losses at hundredths of experiences.
    """

    def __init__(self, followed: Followed) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        folder = followed.folder / "tensorboard"
        folder.mkdir(exist_ok=True)  # no more: a folder of a run that was moved away is not made again
        # What an earlier process wrote of the experience that it did not finish is hidden. Its results are none of it,
        # for they stand at lower numbers.
        self.writer: Any = SummaryWriter(str(folder / followed.name), purge_step=PARTS * followed.first, flush_secs=10)
        settings = settings_of(followed.recipe) | {"arm": followed.recipe.name, "seed": followed.seed}
        plain = {name: value if isinstance(value, int | float) else str(value) for name, value in settings.items()}
        for summary in hparams(plain, {"accuracy/whole": None, "accuracy/growing": None}):
            self.writer.file_writer.add_summary(summary)

    def write(self, point: Point) -> None:
        hundredth = PARTS * point.index + min(int(PARTS * point.share), PARTS - 1)
        for name, value in point.values.items():
            self.writer.add_scalar(name, value, point.index + 1 if point.results else hundredth)

    def close(self, finished: bool) -> None:
        del finished
        self.writer.close()
