"""The images of an experience, decoded once though they are read in every epoch."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from negreplay.data.data import Data, View
from negreplay.data.images import Images, Pixels
from negreplay.data.selected import Selected
from negreplay.recipe import Augment

LIMIT = 512 * 2**20
"""Bytes of pixels that are held at most."""


class Decoded:
    """Images that are decoded when they are first read, a data set; it forgets them when it is let go."""

    def __init__(self, images: Images, rows: Int[Tensor, " n"], labels: Int[Tensor, " n"], whole: Data) -> None:
        width, height = images.size
        self.images, self.rows, self.labels, self.names = images, rows, labels, whole.names
        self.fingerprint, self.encoded, self.augmented = f"{whole.fingerprint}-held", False, images.augmented
        self.decoded: Bool[np.ndarray, " n"] = np.zeros(len(rows), dtype=bool)
        fitted = replace(images.recipe, size=None, shorter_side=None)
        room = np.empty((len(rows), height, width, 3), dtype=np.uint8)
        self.pixels = Pixels(room, labels, self.names, self.fingerprint, fitted, self.augmented)

    def read(
        self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k 3 height width"]:
        """As `Images.read` of the same images, to the bit."""
        missing = rows.numpy()[~self.decoded[rows.numpy()]]
        if len(missing):
            self.pixels.pixels[missing] = self.images.fitted(self.rows[missing])
            self.decoded[missing] = True
        return self.pixels.read(rows, draws)


def decode_once(view: View) -> View:
    """The same patterns, decoded once if they are images from files and do not take more than `LIMIT`.

    Crops of random size are left as they are: each is taken of the image as it is in its file.
    """
    images, rows = view.data, view.rows
    while isinstance(images, Selected):
        images, rows = images.data, images.rows[rows]
    if not isinstance(images, Images) or images.recipe.augment is Augment.RESIZED_CROP:
        return view
    width, height = images.size
    if len(rows) * 3 * width * height > LIMIT:
        return view
    return View(Decoded(images, rows, view.labels, view.data), torch.arange(len(rows)))
