"""Handwritten digits, 8 x 8 pixels, which come with scikit-learn: a stream that needs no download."""

import hashlib
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from negreplay.data.data import Tensors
from negreplay.errors import UserError

_FULL_INK = 16
_NAMES = tuple("0123456789")


def load_digits() -> tuple[Tensors, Tensors]:
    """The 1797 images as 1 x 8 x 8 values in [0, 1]: a training set, and every fourth image of each class as test set.

    The split is the same whatever the seed of the run, so that the accuracies of different seeds compare.

    References:
        E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    rows = torch.from_numpy(np.loadtxt(_file(), delimiter=",", dtype=np.float32))
    x = rows[:, :-1].div(_FULL_INK).reshape(-1, 1, 8, 8)
    labels = rows[:, -1].long()
    test = _every_fourth(labels)
    return _named(x[~test], labels[~test]), _named(x[test], labels[test])


def _file() -> Path:
    """The table of digits in scikit-learn, whose import takes longer than everything else when a run starts."""
    try:
        found = files("scikit-learn") or ()
    except PackageNotFoundError:
        found = ()
    path = next((file.locate() for file in found if file.name == "digits.csv.gz"), None)
    if path is None:
        raise UserError("scikit-learn is not installed whole: pip install --force-reinstall scikit-learn.")
    return Path(str(path))


def _every_fourth(labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for c in labels.unique():
        chosen[(labels == c).nonzero().flatten()[3::4]] = True
    return chosen


def _named(x: Float[Tensor, "n 1 8 8"], labels: Int[Tensor, " n"]) -> Tensors:
    content = x.numpy().tobytes() + labels.numpy().tobytes()
    return Tensors(x, labels, _NAMES, hashlib.sha256(content).hexdigest()[:16])
