"""What is in a user's files: which of them are images, which are left out, and which are damaged.

Every file is read once, so that its content, and not its name, size and time, stands for it in the fingerprint.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import NamedTuple

from negreplay.data.containers import Files, Member
from negreplay.data.decoding import is_foreign, open_image, reason_of
from negreplay.data.threads import pool
from negreplay.errors import UserError

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".avif", ".avifs", ".tif"),
    *(".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".qoi"),
)
"""How the names of images end, in small letters: a file with such a name that is no image is damaged."""

_SHOWN = 5
_AT_ONCE = 64


class LeftOut(NamedTuple):
    """A file or folder that is not used, by its path in the data, and why."""

    path: str
    reason: str


class Looked(NamedTuple):
    """What came of looking at a file: its stamp where it is an image, or else why not."""

    stamp: str
    reason: str
    damaged: bool


def screen(files: Files, members: Sequence[Member], all_images: bool = False) -> tuple[list[Member], list[LeftOut]]:
    """The images among some files, stamped by their content, and the other files.

    Args:
        files: where they are.
        members: the files, in the order of the result.
        all_images: whether every file must be an image, whatever its name.

    Raises:
        UserError: files cannot be read, or are no images though their names say so: all of them at once.
    """
    pairs = look(files, members, all_images)
    refuse(files, pairs)
    images = [member._replace(stamp=of.stamp) for member, of in pairs if of.stamp]
    return images, [LeftOut(member.path, of.reason) for member, of in pairs if not of.stamp]


def look(files: Files, members: Sequence[Member], all_images: bool = False) -> list[tuple[Member, Looked]]:
    """Looks at each file; `all_images` is as for `screen`."""
    parts = [members[start : start + _AT_ONCE] for start in range(0, len(members), _AT_ONCE)]
    looked = chain.from_iterable(pool().map(lambda part: [_look(files, of.path, all_images) for of in part], parts))
    return list(zip(members, looked, strict=True))


def refuse(files: Files, looked: Sequence[tuple[Member, Looked]], how: str = " of a new run") -> None:
    """Refuses damaged files, all of them at once; `how` says how they can be left out.

    Raises:
        UserError: there are some.
    """
    damaged = [(files.path / member.path, of.reason) for member, of in looked if of.damaged]
    if len(damaged) == 1:
        path, reason = damaged[0]
        raise UserError(f"{path} is no readable image ({reason}): replace or convert it, or leave it out{how}.")
    if damaged:
        raise UserError(
            f"{len(damaged)} files are no readable images, {some(f'{path} ({why})' for path, why in damaged)}: "
            f"replace or convert them, or leave them out{how}."
        )


def some(names: Iterable[str]) -> str:
    """The first five names, and how many more there are."""
    listed = list(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _look(files: Files, path: str, must_be_image: bool) -> Looked:
    suffix = PurePosixPath(path).suffix.lower()
    try:
        content = files.read(path)
    except Exception as error:  # a damaged zip raises whatever its kind of compression does
        return Looked("", reason_of(error), damaged=True)
    try:
        open_image(content, path).close()
    except Exception as error:  # as Pillow does of damaged images
        named_so = must_be_image or suffix in SUFFIXES or is_foreign(path)
        reason = reason_of(error) if named_so else "it is no image"
        return Looked("", reason, must_be_image or suffix in SUFFIXES)
    return Looked(hashlib.blake2b(content, digest_size=16).hexdigest(), "", damaged=False)
