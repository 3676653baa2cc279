"""Handwritten digits, 8 x 8 pixels, which come with scikit-learn: a stream that needs no download."""

import hashlib

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from negreplay.data.data import Tensors

_FULL_INK = 16
_NAMES = tuple("0123456789")


def load_digits() -> tuple[Tensors, Tensors]:
    """The 1797 images as 1 x 8 x 8 values in [0, 1]: a training set, and every fourth image of each class as test set.

    The split is the same whatever the seed of the run, so that the accuracies of different seeds compare.

    References:
        E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    from sklearn import datasets

    pixels, target = datasets.load_digits(return_X_y=True)
    x = torch.from_numpy(pixels).float().div(_FULL_INK).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(target).long()
    test = _every_fourth(labels)
    return _named(x[~test], labels[~test]), _named(x[test], labels[test])


def _every_fourth(labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for c in labels.unique():
        chosen[(labels == c).nonzero().flatten()[3::4]] = True
    return chosen


def _named(x: Float[Tensor, "n 1 8 8"], labels: Int[Tensor, " n"]) -> Tensors:
    content = x.numpy().tobytes() + labels.numpy().tobytes()
    return Tensors(x, labels, _NAMES, hashlib.sha256(content).hexdigest()[:16])
