"""The images of an experience, decoded once though they are read in every epoch."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from negreplay.data.data import View
from negreplay.data.images import Images, Pixels
from negreplay.data.selected import Selected
from negreplay.recipe import Augment

LIMIT = 512 * 2**20
"""Bytes of decoded pixels at most; a larger experience is decoded in every epoch."""


class Decoded:
    """A data set of which some rows are decoded when they are first read; it forgets them when it is let go."""

    def __init__(self, view: View, images: Images, files: NDArray[np.integer]) -> None:
        """The rows of a view, which are these `files` among the images."""
        order = view.rows.numpy().argsort()
        self.rows, self.files, self.images = view.rows.numpy()[order], files[order], images
        self.labels, self.names = view.data.labels, view.data.names
        self.fingerprint, self.encoded, self.augmented = view.data.fingerprint, False, images.augmented
        self.decoded: Bool[np.ndarray, " n"] = np.zeros(len(files), dtype=bool)
        self.pixels: Pixels | None = None

    def read(
        self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k 3 height width"]:
        """As `Images.read` of the same images, to the bit; only rows of the view can be read."""
        if self.pixels is None:
            self.pixels = self._room()
        places = self.rows.searchsorted(rows.numpy())
        missing = np.unique(places[~self.decoded[places]])
        if len(missing):
            self.pixels.pixels[missing] = self.images.fitted(torch.from_numpy(self.files[missing]))
            self.decoded[missing] = True
        return self.pixels.read(torch.from_numpy(places), draws)

    def _room(self) -> Pixels:
        width, height = self.images.size
        pixels = np.empty((len(self.rows), height, width, 3), dtype=np.uint8)
        fitted = replace(self.images.recipe, size=None, shorter_side=None)
        labels = self.labels[torch.from_numpy(self.rows)]
        return Pixels(pixels, labels, self.names, self.fingerprint, fitted, self.augmented)


def decode_once(view: View) -> View:
    """The same rows, each decoded once, if they are images from files and do not take more than `LIMIT`.

    Crops of random size are left as they are: each is taken of the image as it is in its file.
    """
    images, files = view.data, view.rows
    while isinstance(images, Selected):
        images, files = images.data, images.rows[files]
    if not isinstance(images, Images) or images.recipe.augment is Augment.RESIZED_CROP:
        return view
    width, height = images.size
    if len(files) * 3 * width * height > LIMIT:
        return view
    return View(Decoded(view, images, files.numpy()), view.rows)
