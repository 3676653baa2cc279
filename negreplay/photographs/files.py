"""Model files: read, written whole or not at all, with the version before beside them."""

import glob
import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from negreplay.errors import UserError
from negreplay.files import alone, write_beside
from negreplay.photographs.model import FORMAT, Description, Model, check_network, check_recipe
from negreplay.sealed import NOT_AS_WRITTEN, read_sealed

SUFFIX = ".safetensors"
"""How the name of a model's file ends."""


def read_model(path: Path, remedy: str = "") -> Model:
    """The model in a file.

    Args:
        path: of the file.
        remedy: against damage; without one it is the version before, or another copy.

    Raises:
        UserError: it is missing, damaged, no model, or of a newer version.
    """
    _check_there(path)
    undoing = f"`negreplay undo --model {shlex.quote(str(path))}` takes the version before."
    remedy = remedy or (undoing if before(path).exists() else "copy it again.")
    try:
        text, tensors, intact = read_sealed(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no model, or only a part of one ({error}): {remedy}") from None
    if text is None:
        raise UserError(f"{path} is no model of negreplay: give one that `negreplay learn` has made.")
    try:
        raw = json.loads(text)
        if raw["format"] > FORMAT:
            raise UserError(
                f"{path} was made by negreplay {raw['library']}, a newer one: upgrade negreplay to read it."
            )
        if not intact:
            raise ValueError(NOT_AS_WRITTEN)
        description = TypeAdapter(Description).validate_python(raw)
        wrong = next((name for name, of in tensors.items() if of.is_floating_point() and not of.isfinite().all()), None)
        if wrong is not None:
            raise ValueError(f"{wrong} holds values that are not finite")
        check_recipe(description.recipe, description.size)
        check_network(description.recipe, description.size, tensors)
        model = Model(description.recipe, description.size, description.origin, description.holds_back)
        model.fill(description, tensors)
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError, AssertionError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged ({reason}): {remedy}") from error
    return model


def write_model(model: Model, path: Path) -> None:
    """Writes a model whole or not at all; the version before stays beside it."""
    write_version(model.content(), path)


def write_version(content: bytes, path: Path) -> None:
    """Writes the content of a model's file; the version before stays beside it."""
    write_beside(path, before(path), content)


def change(path: Path, edit: Callable[[Model], str]) -> str:
    """Changes a model in its file, and gives what `edit` says of it.

    Raises:
        UserError: another process is writing the model, it cannot be read, or `edit` refuses.
    """
    _check_there(path)
    with writing(path):
        model = read_model(path)
        sentence = edit(model)
        write_model(model, path)
    return sentence


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within, nobody else writes the model; what a writer that was killed has left of it is removed first.

    Raises:
        UserError: somebody is writing it, or it is a folder.
    """
    _check_no_folder(path)
    busy = f"another process is writing {path}: wait until it has finished."
    with alone(path.with_name(f".{path.name}.lock"), busy):
        for name in (path.name, f".{path.name}.new", before(path).name):
            for unfinished in path.parent.glob(f".{glob.escape(name)}.negreplay-*"):
                unfinished.unlink(missing_ok=True)
        yield


def check_path(path: Path) -> None:
    """Refuses a name for a new model that does not say what kind of file it is.

    Raises:
        UserError: it does not end in .safetensors.
    """
    if path.suffix != SUFFIX:
        raise UserError(
            f"the model is called {path}: give it a name that ends in .safetensors, such as shop.safetensors."
        )


def undo(path: Path) -> Model:
    """Brings back the version before; the present one takes its place, so that a second undo takes the first one back.

    Returns:
        The model as it is then.

    Raises:
        UserError: there is none, it is damaged, or another process is writing the model.
    """
    _check_no_folder(path)
    if not before(path).is_file():
        _check_there(path)
    with writing(path):
        if not before(path).is_file():
            raise UserError(f"there is no version before {path}: nothing has been changed since it was made.")
        model = read_model(before(path))
        write_version(before(path).read_bytes(), path)
    return model


def before(path: Path) -> Path:
    """Where the version before the present one lies: beside the model."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _check_there(path: Path) -> None:
    _check_no_folder(path)
    named = path if path.suffix == SUFFIX else path.with_name(f"{path.name}{SUFFIX}")
    if path.is_file():
        return
    if named.is_file():
        raise UserError(f"there is no model {path}: did you mean {named}?")
    raise UserError(f"there is no model {path}: `negreplay learn FOLDER --model {shlex.quote(str(named))}` makes one.")


def _check_no_folder(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the file of a model, such as {path / f'shop{SUFFIX}'}.")
