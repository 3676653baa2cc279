"""Saving and loading a learner at the end of an experience, or inside one.

A checkpoint is a sealed file: the learner's state, that of the random generator, and as text the position. At the end
of an experience it holds the whole `state_dict`. Inside an experience it holds the marks of a `Journal`, and names the
checkpoint of the experience's start by its checksum. The last two of each kind are kept. A damaged one is set aside,
and the one before it is used.

Beside them is the table of the rows so far, to which a line is added before a checkpoint that counts it: what a kill
leaves below the rows that are counted does not count. So saving costs the same after any number of experiences.
"""

import sys
import time
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.files import write_beside
from negreplay.journal import Journal, Mark
from negreplay.positions import DamagedError, Found, Position, before, found_at, inside, reason_of, text_of, unreadable
from negreplay.ranks import present
from negreplay.results.text import one_line
from negreplay.sealed import NOT_AS_WRITTEN, read_header, read_sealed, seal

RANDOM_STATE = "random_state"


class Checkpoints:
    """The checkpoints of one arm with one seed, written at most every so many seconds, by the leading rank.

    Args:
        path: of the newest one at the end of an experience; the others are beside it.
        learner: whose state they hold.
        rng: its generator.
        constant: names of state that is rebuilt from the recipe and left out.
        every: seconds from one to the next; with 0 they are written after each step.
    """

    def __init__(
        self, path: Path, learner: nn.Module, rng: torch.Generator, constant: Collection[str], every: float = 0.0
    ) -> None:
        self.path, self.learner, self.rng, self.constant, self.every = path, learner, rng, constant, every
        self._last, self._base, self._at = time.monotonic(), "", Position()

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self.every

    def end(self, position: Position, now: bool = False) -> None:
        """An experience has ended: writes a checkpoint if it is time, after the last one, or if it has to be `now`."""
        last = position.learned == position.experiences
        if not present().leads:
            return
        if self._base and self._at == position:
            return
        if not (now or last or self.due):
            self._base = ""
            return
        state = {name: of for name, of in self.learner.state_dict().items() if name not in self.constant}
        self._write(state | {RANDOM_STATE: self.rng.get_state()}, position)
        before(inside(self.path)).unlink(missing_ok=True)  # the newer one is the last but one checkpoint now
        if last:
            inside(self.path).unlink(missing_ok=True)

    def save_inside(self, journal: Journal, start: Position, position: Position) -> None:
        """Writes a checkpoint inside an experience, whose `start` is written first if it is not there."""
        if not present().leads:
            return
        self.keep_start(journal, start)
        marks = journal.record()
        tensors = {f"{i}.{name}": of for i, mark in enumerate(marks) for name, of in mark.tensors.items()}
        text = text_of(position, base=self._base, stages=[mark.numbers for mark in marks])
        path = inside(self.path)
        write_beside(path, before(path), seal(text, tensors))
        self._last = time.monotonic()

    def keep_start(self, journal: Journal, start: Position) -> None:
        """Writes the start of an experience if it is not there, so that what was learned before is not lost."""
        if not self._base:
            self.go_back(journal, start)

    def go_back(self, journal: Journal, position: Position) -> None:
        """Writes the start of an experience, also once more where it is to be learned in another way from now on."""
        if present().leads:
            self._write(journal.start | {RANDOM_STATE: journal.random}, position)

    def _write(self, tensors: dict[str, Tensor], position: Position) -> None:
        write_beside(self.path, before(self.path), seal(text_of(position), tensors))
        self._last, self._base, self._at = time.monotonic(), read_header(self.path).digest, position

    def load(self) -> tuple[Position, list[Mark]]:
        """Restores learner and generator as they were last saved, or leaves them alone where there is no file.

        Returns:
            How far the arm has come, and the marks of the experience that has begun.

        Raises:
            UserError: all checkpoints are damaged, or their state is not the state of this learner.
        """
        damaged: dict[Path, str] = {}
        found = found_at(self.path, damaged)
        for one in found:
            base = next((other for other in found if other.digest == one.base and not other.base), None)
            try:
                if one.base:
                    if base is None:
                        continue  # its experience has ended since
                    marks = _marks(one)
                    self._load(base.path)
                else:
                    marks = []
                    self._load(one.path)
            except DamagedError as error:
                damaged[error.path] = error.reason
                continue
            self._base = base.digest if base else one.digest
            for path, reason in damaged.items():
                _set_aside(path, reason, one.position)
            return one.position, marks
        if damaged:
            raise unreadable(*next(iter(damaged.items())))
        return Position(), []

    def _load(self, path: Path) -> None:
        own, constant = self.learner.state_dict(), self.constant
        state = _tensors(path)
        try:
            random = state.pop(RANDOM_STATE)
            torch.Generator().set_state(random)
        except (KeyError, TypeError, RuntimeError) as error:
            raise DamagedError(path, reason_of(error)) from error
        if different := state.keys() ^ (own.keys() - set(constant)):
            raise _of_another_learner(path, f"{min(different)} is in only one of them")
        try:
            # Names are compared above, for batch norm does not report a missing counter.
            self.learner.load_state_dict(state | {name: own[name] for name in constant})
        except RuntimeError as error:
            raise _of_another_learner(path, str(error).splitlines()[-1].strip()) from error
        self.rng.set_state(random)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        _, tensors, intact = read_sealed(path)
    except (SafetensorError, OSError, RuntimeError) as error:  # torch cannot open it
        raise DamagedError(path, reason_of(error)) from error
    if not intact:
        raise DamagedError(path, NOT_AS_WRITTEN)
    return tensors


def _marks(one: Found) -> list[Mark]:
    marks = [Mark({}, numbers) for numbers in one.stages]
    for name, tensor in _tensors(one.path).items():
        stage, _, rest = name.partition(".")
        marks[int(stage)].tensors[rest] = tensor
    return marks


def _set_aside(path: Path, reason: str, position: Position) -> None:
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    print(
        one_line(
            f"negreplay: the checkpoint {path} is damaged ({reason}): it is set aside as {aside.name}, and the arm "
            f"goes on from the one before, of {position.learned} experiences and {position.taken} steps."
        ),
        file=sys.stderr,
    )


def _of_another_learner(path: Path, difference: str) -> UserError:
    return UserError(
        f"the checkpoint {path} does not fit what study.json and the data describe ({difference.rstrip('.')}): "
        "put both back as they were, or run the study in another folder."
    )
