"""What a browser sends, written to a temporary folder: pictures with the names of their classes."""

import json
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from negreplay.data.containers import Folder, Member, read_file
from negreplay.data.screening import look, some
from negreplay.errors import UserError
from negreplay.photographs.lessons import class_name
from negreplay.photographs.pictures import Labelled, Pictures

MEGABYTE = 1_000_000
LARGEST_PICTURE = 25 * MEGABYTE
LARGEST_LESSON = 1000 * MEGABYTE
LARGEST_MODEL = 500 * MEGABYTE
MOST_PICTURES = 400
LIMITS = {"picture": LARGEST_PICTURE, "lesson": LARGEST_LESSON, "model": LARGEST_MODEL, "pictures": MOST_PICTURES}
"""In bytes, and in pictures of a lesson."""
_ROOM_FOR_NAMES = MEGABYTE


@dataclass(frozen=True)
class Received(Folder):
    """Files in a temporary folder under the names that their senders gave them, which open nothing."""

    places: dict[str, Path]

    def members(self) -> list[Member]:
        """All of them."""
        return [Member(name, 0, "") for name in self.places]

    def read(self, member: str) -> bytes:
        return read_file(self.places[member])


@asynccontextmanager
async def form_of(request: Request, largest: int, most: int = 1) -> AsyncIterator[FormData]:
    """Within, the form that a browser sends; nothing is read of one that is too large.

    Args:
        request: carries it.
        largest: bytes that its files may have together.
        most: files.

    Raises:
        UserError: it is too large, has too many files, or is no form.
    """
    check_size(request, largest)
    try:
        form = await request.form(max_files=most, max_fields=1)
    except HTTPException as error:
        if "Too many files" in str(error.detail):
            raise UserError(f"these are too many files: send at most {most} at once.") from None
        raise UserError(f"what was sent cannot be read ({error.detail}): send it from the page.") from None
    try:
        yield form
    finally:
        await form.close()


def check_size(request: Request, largest: int) -> None:
    """Refuses what is too large before it is read.

    Raises:
        UserError: it is, or nobody knows.
    """
    size = request.headers.get("content-length", "")
    if not (size.isascii() and size.isdecimal()):
        raise UserError("the size of what was sent is unknown: send it from the page.")
    if int(size) > largest + _ROOM_FOR_NAMES:
        raise UserError(f"{int(size) // MEGABYTE} MB are too much at once: send at most {largest // MEGABYTE} MB.")


async def values_of(request: Request) -> dict[str, str]:
    """The named texts that a browser sends as JSON.

    Raises:
        UserError: it is too large, or something else.
    """
    check_size(request, 0)
    try:
        values = json.loads(await request.body())
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(text, str) for text in values.values()):
        raise UserError("what was sent cannot be read: send it from the page.")
    return values


def files_of(form: FormData, field: str) -> list[UploadFile]:
    """The files of a form; there is at least one.

    Raises:
        UserError: there is none.
    """
    files = [file for file in form.getlist(field) if not isinstance(file, str)]
    if not files:
        raise UserError("no file was sent: choose one.")
    return files


def names_of(form: FormData, count: int) -> list[str]:
    """The classes of a form's files, one for each.

    Raises:
        UserError: they are not so many, or one cannot be the name of a class.
    """
    try:
        names = json.loads(str(form.get("classes", "")))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise UserError("the pictures came without the names of their classes: send them from the page.")
    return [class_name(name) for name in names]


def pictures_in(folder: Path, files: Sequence[tuple[str, BinaryIO]], names: Sequence[str]) -> Pictures:
    """Writes pictures to a folder, under numbers.

    Args:
        folder: a temporary one.
        files: the names that their senders gave them, and their contents.
        names: of their classes, or empty.

    Raises:
        UserError: one is too large, or is no picture.
    """
    places, labelled = dict[str, Path](), list[Labelled]()
    for number, ((title, content), name) in enumerate(zip(files, names, strict=True)):
        last = re.split(r"[/\\]", title)[-1] or "picture"
        path = f"{name}/{last}".lstrip("/")
        while path in places:  # two cameras give the same names
            path = f"{path} ({number})"
        places[path] = folder / str(number)
        _write(content, places[path], path)
        labelled.append(Labelled(path, name))
    pictures = Pictures(Received(Path("page"), places), tuple(sorted(labelled)))
    looked = look(pictures.files, [Member(path, 0, "") for path, _ in pictures.labelled], all_images=True)
    bad = [f"{member.path} ({of.reason})" for member, of in looked if of.damaged]
    if bad:
        verb, them = ("is no picture", "it") if len(bad) == 1 else ("are no pictures", "them")
        raise UserError(f"{some(bad)} {verb} that can be read: leave {them} out, or convert {them} to JPEG.")
    return pictures


def _write(content: BinaryIO, place: Path, title: str) -> None:
    content.seek(0, 2)
    if content.tell() > LARGEST_PICTURE:
        raise UserError(f"{title} is larger than {LARGEST_PICTURE // MEGABYTE} MB: make it smaller, or leave it out.")
    content.seek(0)
    with place.open("xb") as file:
        shutil.copyfileobj(content, file)
