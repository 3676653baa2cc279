"""Which classes come when: the scenarios of the paper as constructors and as predicates."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from negreplay.data.data import Data
from negreplay.data.screening import some
from negreplay.data.selected import Selected
from negreplay.errors import UserError
from negreplay.streams.stream import Stream


def new_instances(train: Data, test: Data, parts: int, seed: int) -> Stream:
    """All classes in every experience, each class's patterns cut into `parts` that come in any order (Equation 8)."""
    _check_classes(train)
    pieces = _parts(train, parts)
    order = np.random.RandomState(seed).permutation(parts)
    return Stream(train, test, [torch.cat([part[k] for part in pieces]) for k in order])


def new_classes(train: Data, test: Data, first: int, classes: int, seed: int, names: Sequence[str] = ()) -> Stream:
    """`first` classes, then `classes` at a time; no class comes twice (Equation 9).

    Their order is drawn by the seed, unless `names` gives it.
    """
    _check_classes(train)
    order = class_order(train, first, seed, names)
    groups = [order[:first], *order[first:].split(classes)]
    return Stream(train, test, [torch.isin(train.labels, group).nonzero().flatten() for group in groups if len(group)])


def new_both(train: Data, test: Data, first: int, parts: int, seed: int, names: Sequence[str] = ()) -> Stream:
    """One part of `first` classes, then the remaining (class, part) pairs one at a time, shuffled (Equation 10).

    With 50 classes, 10 first ones and 8 parts this is the shape of CORe50 NIC-391: 1 + 390 experiences. The first
    classes are drawn by the seed, unless they stand first in `names`.
    """
    _check_classes(train)
    order = class_order(train, first, seed, names)
    pieces = _parts(train, parts)
    opening = torch.cat([pieces[int(c)][0] for c in order[:first]])
    held = {(int(c), 0) for c in order[:first]}
    pairs = [(c, part) for c in range(len(train.names)) for part in range(parts) if (c, part) not in held]
    shuffled = np.random.RandomState(seed).permutation(len(pairs))
    return Stream(train, test, [opening, *(pieces[pairs[i][0]][pairs[i][1]] for i in shuffled)])


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


def is_new_instances(stream: Stream) -> bool:
    """Equation 8: every class is present in the first experience."""
    return set(stream[0].classes) >= {c for experience in stream for c in experience.classes}


def is_new_classes(stream: Stream) -> bool:
    """Equation 9: no experience holds a class of an earlier one."""
    classes = [c for experience in stream for c in experience.classes]
    return len(classes) == len(set(classes))


def is_new_both(stream: Stream) -> bool:
    """Equation 10: some experience holds a class seen before, and some holds a class absent from the first."""
    return not is_new_classes(stream) and not is_new_instances(stream)


def class_order(train: Data, first: int, seed: int, names: Sequence[str]) -> Int[Tensor, " classes"]:
    """The classes as they arrive: drawn by the seed, unless `names` gives them; `first` must not be more than all."""
    classes = len(train.names)
    if first > classes:
        there, remedy = f"{classes} class{'es' * (classes != 1)}", f"{classes} or fewer" if classes > 1 else "1"
        raise UserError(
            f"stream.first_classes is {first}, but the data has {there}, {some(train.names)}: "
            f"give {remedy}, or add classes."
        )
    if not names:
        return torch.from_numpy(np.random.RandomState(seed).permutation(classes))
    for name in (*names, *train.names):
        if name not in train.names or name not in names:
            where = "the data has no such class" if name in names else "does not name it"
            raise UserError(f"stream.order and class {name!r}: {where}; name every class of the data once.")
    return torch.tensor([train.names.index(name) for name in names])


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


def _parts(train: Data, parts: int) -> list[tuple[Int[Tensor, " _rows"], ...]]:
    """For each class, its rows in file order cut into `parts` of nearly equal size."""
    pieces = []
    for c, name in enumerate(train.names):
        rows = (train.labels == c).nonzero().flatten()
        if len(rows) < parts:
            raise UserError(f"class {name!r} has {len(rows)} images for {parts} parts: lower stream.parts.")
        pieces.append(rows.tensor_split(parts))
    return pieces


def _check_classes(train: Data) -> None:
    """A class that is in the test set only cannot be learned."""
    missing = torch.bincount(train.labels, minlength=len(train.names)) == 0
    if missing.any():
        name = train.names[int(missing.nonzero()[0])]
        raise UserError(f"class {name!r} has no training images: add some, or remove it from the test set.")
