"""Changes of a model's classes; each gives a sentence that says what has become of it."""

from collections.abc import Sequence

from negreplay.errors import UserError
from negreplay.photographs.lessons import check_names, class_name
from negreplay.photographs.model import Model


def forget(model: Model, name: str) -> str:
    """Forgets a class.

    Raises:
        UserError: there is no such class, or no other one.
    """
    number = model.number(name)
    if len(model.names) == 1:
        raise UserError(f"the model knows {name!r} only: teach it another class before it forgets this one.")
    name = model.names[number]
    pictures = model.counts[name]
    model.drop([name])
    return f"forgot {name}: {pictures} pictures. {model.learner.spec.stays}"


def rename(model: Model, old: str, new: str) -> str:
    """Gives a class another name.

    Raises:
        UserError: there is no such class, or its new name cannot be used.
    """
    number, new = model.number(old), class_name(new)
    others = [name for c, name in enumerate(model.names) if c != number]
    if new in others:
        raise UserError(f"there is a class {new!r} already: `negreplay merge` makes one class of two.")
    check_names(others, [new])
    model.names[number] = new
    return f"{old} is called {new} now"


def merge(model: Model, names: Sequence[str], into: str) -> str:
    """Makes one class of several, as if their pictures had always been of one class.

    Raises:
        UserError: they are fewer than two, there is no such class, or the new name cannot be used.
    """
    into = class_name(into)
    merged = {model.number(name) for name in names}
    if len(merged) + (into in model.names and model.number(into) not in merged) < 2:
        raise UserError("one class cannot be merged: name two classes or more.")
    if into in model.names:
        merged.add(model.number(into))
    remaining = [name for c, name in enumerate(model.names) if c not in merged]
    check_names(remaining, [into])
    remaining.append(into)
    to = [remaining.index(into if c in merged else name) for c, name in enumerate(model.names)]
    model.regroup(to, remaining)
    return f"{' and '.join(names)} are one class now, {into}: {model.counts[into]} pictures"
