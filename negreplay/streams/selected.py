"""Some rows of a data set, or all of them under other labels: a data set itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay.errors import UserError
from negreplay.streams.stream import Data, Stream, class_order, new_classes


@dataclass(frozen=True)
class Selected:
    """The `rows` of a data set, with labels and names of their own."""

    data: Data
    rows: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    fingerprint: str

    @property
    def encoded(self) -> bool:
        return self.data.encoded

    @property
    def augmented(self) -> bool:
        return self.data.augmented

    def read(self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None) -> Float[Tensor, "k *shape"]:
        return self.data.read(self.rows[rows], draws)


def every(data: Data, step: int) -> Data:
    """Every `step`-th row, beginning with the first."""
    if step == 1:
        return data
    rows = torch.arange(0, len(data.labels), step)
    return Selected(data, rows, data.labels[rows], data.names, f"{data.fingerprint}-every-{step}")


def renumbered(data: Data, order: Sequence[int]) -> Data:
    """The same data, its classes numbered in this order; what is stored of it stays valid."""
    number = torch.tensor(order).argsort()
    rows = torch.arange(len(data.labels))
    return Selected(data, rows, number[data.labels], tuple(data.names[c] for c in order), data.fingerprint)


def by_arrival(stream: Stream) -> Stream:
    """The same stream, its classes numbered as they arrive, as the authors' benchmarks of CORe50 NC and ImageNet do.

    Those that arrive together keep the order of their names.
    """
    order = list(dict.fromkeys(c for experience in stream for c in experience.classes))
    return stream.over(renumbered(stream.train, order), renumbered(stream.test, order))


def new_domains(train: Data, test: Data, classes: int, seed: int, names: Sequence[str] = ()) -> Stream:
    """The experiences of New Classes, each class labelled by its place in its experience (domain-incremental learning).

    Raises:
        UserError: the last experience would have fewer classes.
    """
    stream = new_classes(train, test, classes, classes, seed, names)
    if len(train.names) % classes:
        raise UserError(f"stream.classes is {classes}: in new-domains give a divisor of {len(train.names)}.")
    order = class_order(train, classes, seed, names)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order)) % classes
    known = tuple(f"place {i + 1}" for i in range(classes))

    def placed(data: Data) -> Data:
        return Selected(data, torch.arange(len(data.labels)), place[data.labels], known, data.fingerprint)

    return stream.over(placed(train), placed(test))
