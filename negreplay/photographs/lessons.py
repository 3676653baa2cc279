"""Learning from pictures: a lesson counts each of them once, whatever came before and in whatever order."""

import unicodedata
from collections import Counter
from collections.abc import Generator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from negreplay.data.containers import Member
from negreplay.data.download import Advance
from negreplay.data.screening import LeftOut, Looked, refuse, some
from negreplay.errors import UserError
from negreplay.photographs.model import UNKNOWN, Lesson, Model, now
from negreplay.photographs.pictures import Decoded, Pictures, decoded, screened
from negreplay.streams.stream import experience

EXAMPLES = 5
"""Files left out that are named."""
HELD_BACK = 10
"""One picture of so many is held back."""
LONGEST_NAME = 80
"""Characters of a class's name that somebody types."""


def learn(model: Model, pictures: Pictures, skip: bool = False, how: str = "") -> Generator[Advance, None, Lesson]:
    """Teaches a model, step by step; a model that has been half taught by a failed lesson is to be thrown away.

    A picture that has come before is not counted again. One of ten is held back, by its pixels, so that the choice does
    not depend on when it comes. A lesson that brings no new picture changes nothing, and is not among the lessons.

    Args:
        model: learns.
        pictures: files with the names of their classes.
        skip: whether damaged pictures, and those that have come in another class, are left out instead of refused.
        how: says how pictures can be left out, at the end of such a sentence.

    Raises:
        UserError: pictures are damaged or have two classes, none is left, or the name of a class cannot be used.
    """
    yield Advance("looking at the files", 0, len(pictures), "images")
    total, pictures = len(pictures), screened(pictures, skip, how)
    yield Advance("looking at the files", total, total, "images")
    new = sorted({name for _, name in pictures.labelled} - set(model.names))
    check_names(model.names, new)
    known, damaged, contradicting = 0, list[LeftOut](), list[LeftOut]()
    if new:
        model.grow(new)
    learned, held = Counter[str](), Counter[str]()
    paths, seen = dict[int, str](), 0
    for part in decoded(pictures, model.images):
        fresh = list[Decoded]()
        for picture in part:
            if isinstance(picture, LeftOut):
                damaged.append(picture)
            elif picture.fingerprint not in model.pictures:
                model.pictures[picture.fingerprint] = model.names.index(picture.name)
                paths[picture.fingerprint] = picture.path
                fresh.append(picture)
            elif model.names[model.pictures[picture.fingerprint]] == picture.name:
                known += 1
            else:
                contradicting.append(_contradiction(model, picture, paths))
        if (damaged or contradicting) and not skip:
            fresh.clear()  # the lesson will be refused, with all of them
        back = [model.holds_back and of.fingerprint % HELD_BACK == 0 for of in fresh]
        taught = [of for of, is_back in zip(fresh, back, strict=True) if not is_back]
        held_back = [of for of, is_back in zip(fresh, back, strict=True) if is_back]
        _teach(model, taught)
        _hold(model, held_back)
        learned.update(of.name for of in taught)
        held.update(of.name for of in held_back)
        seen += len(part)
        yield Advance("learning", seen, len(pictures), "images")
    if not skip:
        _refuse(pictures, damaged, contradicting, how)
    left_out = [*pictures.left_out, *damaged, *contradicting]
    if not model.pictures:
        raise UserError(f"no picture can be learned, {some(f'{path} ({why})' for path, why in left_out)}: give others.")
    model.drop([name for name in new if not model.counts[name]])
    model.calibrate()
    lesson = Lesson(
        *(now(), pictures.files.path.name, dict(learned), dict(held), known, len(left_out)),
        model.accuracy(),
        dict(left_out[:EXAMPLES]),
    )
    if lesson.is_new:
        model.lessons.append(lesson)
    return lesson


def class_name(text: str) -> str:
    """A name of a class that somebody has typed as it is kept: in Unicode's composed form, without spaces around it.

    Raises:
        UserError: it is empty, too long, or has characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text.strip())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(f"{text[:LONGEST_NAME]!r} cannot be the name of a class: give 1 to {LONGEST_NAME} characters.")
    return name


def check_names(known: Sequence[str], new: Sequence[str]) -> None:
    """Refuses a name of a class that would be taken for another one.

    Raises:
        UserError: there is one.
    """
    by_folded = {_folded(name): name for name in known}
    for name in new:
        if not name.strip():
            raise UserError(f"a class is called {name!r}: give it a name that can be seen.")
        if _folded(name) == UNKNOWN:
            raise UserError(f"a class is called {name!r}, as pictures that fit no class are: call it otherwise.")
        other = by_folded.setdefault(_folded(name), name)
        if other != name:
            raise UserError(
                f"the classes {other!r} and {name!r} differ in capital letters or spaces only: call both the same."
            )


def _folded(name: str) -> str:
    """The same text for names that people take for the same."""
    return " ".join(name.split()).casefold()


def _refuse(pictures: Pictures, damaged: Sequence[LeftOut], contradicting: Sequence[LeftOut], how: str) -> None:
    """Refuses what cannot be learned, all of it at once."""
    refuse(pictures.files, [(Member(path, 0, ""), Looked("", why, damaged=True)) for path, why in damaged], how)
    if contradicting:
        raise UserError(
            f"{some(f'{path} {reason}' for path, reason in contradicting)}: keep each picture in one class, "
            f"or leave out what contradicts{how}."
        )


def _contradiction(model: Model, picture: Decoded, paths: dict[int, str]) -> LeftOut:
    """A picture that has come before in another class."""
    name, other = model.names[model.pictures[picture.fingerprint]], paths.get(picture.fingerprint)
    if other == picture.path:
        return LeftOut(picture.path, f"is listed in two classes, {name!r} and {picture.name!r}")
    return LeftOut(picture.path, f"is the same picture as {other}" if other else f"has been learned as {name!r} before")


def _teach(model: Model, pictures: Sequence[Decoded]) -> None:
    if pictures:
        labels = torch.tensor([model.names.index(of.name) for of in pictures])
        for _ in model.learner.learn(experience(images_of(pictures), labels, len(model.names))):
            pass


def _hold(model: Model, pictures: Sequence[Decoded]) -> None:
    if pictures:
        labels = torch.tensor([model.names.index(of.name) for of in pictures])
        model.hold(model.learner.features(images_of(pictures), encoded=False), labels)


def images_of(pictures: Sequence[Decoded]) -> Float[Tensor, "n 3 height width"]:
    """Decoded pictures as images in [0, 1]."""
    return torch.from_numpy(np.stack([of.pixels for of in pictures])).movedim(-1, 1) / 255
