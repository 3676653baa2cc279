"""One model that several visitors teach and ask: one lesson at a time, and what there is to know about it."""

import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Literal

from negreplay.data.download import Advance
from negreplay.errors import UserError
from negreplay.page.overview import overview, result_of
from negreplay.page.uploads import pictures_in
from negreplay.photographs.files import before, change, read_model, undo, write_model, writing
from negreplay.photographs.lessons import learn
from negreplay.photographs.model import Lesson, Model
from negreplay.photographs.networks import network
from negreplay.photographs.pictures import Pictures
from negreplay.photographs.predictions import Prediction, predict

BUSY = "a lesson is going on: wait until it has finished, and try again."


@dataclass
class Progress:
    """How far the newest lesson has come; `sentence` says how it ended."""

    pictures: int
    state: Literal["learning", "learned", "failed", "stopped"] = "learning"
    task: str = "looking at the files"
    done: int = 0
    sentence: str = ""


class Classroom:
    """A model in its file, and the lesson that is going on.

    What is read is what lies in the file, so that a lesson that fails, or the command line beside the page, leave no
    other model here than there.

    Args:
        path: the model's file, which need not be there yet.
        new: makes a model where there is none.
    """

    def __init__(self, path: Path, new: Callable[[], Model] | None = None) -> None:
        self.path = path
        self.new = new or (lambda: Model.new(network()))
        self.progress: Progress | None = None
        self._worker: threading.Thread | None = None
        self._stopping = threading.Event()
        self._starting, self._reading = threading.Lock(), threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._model: Model | None = None
        self._overview: dict[str, Any] | None = None

    @property
    def is_learning(self) -> bool:
        """Whether a lesson is going on."""
        return self.progress is not None and self.progress.state == "learning"

    def state(self) -> dict[str, Any]:
        """What the page shows: the model, if there is one and it can be read, and the newest lesson."""
        problem, known = "", None
        if self.path.exists():
            try:
                self._read()
                known = self._overview
            except UserError as error:
                problem = str(error)
        progress = self.progress
        return {
            "file": self.path.name,
            "model": known,
            "problem": problem,
            "lesson": vars(progress).copy() if progress else None,
            "can_undo": before(self.path).exists(),
        }

    def learn(self, files: Sequence[tuple[str, BinaryIO]], names: Sequence[str]) -> None:
        """Begins a lesson, which goes on by itself.

        Args:
            files: names and contents of pictures.
            names: of their classes.

        Raises:
            UserError: another lesson is going on, or the pictures cannot be used.
        """
        with self._starting, ExitStack() as stack:
            self._check_free()
            stack.enter_context(writing(self.path))
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="negreplay-")))
            pictures = pictures_in(folder, files, names)
            progress = Progress(len(pictures))
            self._stopping.clear()
            work = partial(self._learn, pictures, progress, stack.pop_all())
            self._worker, self.progress = threading.Thread(target=work, daemon=True), progress
            self._worker.start()

    def stop(self) -> None:
        """Ends the lesson, if there is one, and waits for it; the model is as it was before the lesson."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.join()

    def predict(self, file: tuple[str, BinaryIO]) -> dict[str, Any]:
        """What the model says of a picture.

        Raises:
            UserError: it is no picture, or there is no model that has learned.
        """
        if not self.path.exists():
            raise UserError("the model has learned nothing yet: teach it a class first.")
        with TemporaryDirectory(prefix="negreplay-") as folder:
            pictures = pictures_in(Path(folder), [file], [""])
            with self._reading:
                said: Prediction = next(predict(self._read_alone(), pictures))
        if said.problem:
            raise UserError(f"the picture cannot be read ({said.problem}): take another one.")
        best = [{"name": name, "probability": value} for name, value in said.best]
        return {"name": said.name, "unknown": said.name != said.best[0][0], "best": best}

    def edit(self, edit: Callable[[Model], str]) -> str:
        """Changes the model, and says what has become of it.

        Raises:
            UserError: a lesson is going on, there is no model, or `edit` refuses.
        """
        with self._changing():
            return change(self.path, edit)

    def undo(self) -> str:
        """Brings back the version before.

        Raises:
            UserError: there is none, or a lesson is going on.
        """
        with self._changing():
            undo(self.path)
        return "the version before is back; undo again takes that back"

    def load(self, content: BinaryIO) -> str:
        """Takes another model in place of the present one, which stays as the version before.

        Raises:
            UserError: it is no model, or a lesson is going on.
        """
        with TemporaryDirectory(prefix="negreplay-") as folder:
            received = Path(folder, "the file.safetensors")
            received.write_bytes(content.read())
            try:
                model = read_model(received)
            except UserError as error:
                raise UserError(str(error).replace(str(received), "the file")) from None
        with self._changing(), writing(self.path):
            write_model(model, self.path)
        return f"a model of {len(model.names)} classes is here now; undo brings the one before back"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Within, no lesson is going on; afterwards the newest one is no news any more."""
        with self._starting:
            self._check_free()
            yield
            self.progress = None

    def _check_free(self) -> None:
        if self.is_learning:
            raise UserError(BUSY)

    def _read(self) -> Model:
        with self._reading:
            return self._read_alone()

    def _read_alone(self) -> Model:
        """The model in the file, read once for each version of the file."""
        status = self.path.stat()
        stamp = status.st_ino, status.st_size, status.st_mtime_ns
        if self._model is None or stamp != self._stamp:
            self._model = read_model(self.path)
            self._overview = overview(self._model, status.st_size)
            self._stamp = stamp
        return self._model

    def _learn(self, pictures: Pictures, progress: Progress, holding: ExitStack) -> None:
        with holding:
            try:
                model = read_model(self.path) if self.path.exists() else self.new()
                lesson = self._taught(model, pictures, progress)
                if lesson is None:
                    state, sentence = "stopped", "the lesson was stopped: the model is as it was."
                else:
                    if lesson.is_new:
                        write_model(model, self.path)
                    state, sentence = "learned", result_of(lesson)
            except UserError as error:
                state, sentence = "failed", str(error)
            except Exception as error:  # the page says so, whatever it is, and the model in the file is as it was
                traceback.print_exc(file=sys.stderr)
                state, sentence = "failed", f"the lesson failed ({type(error).__name__}): the model is as it was."
        progress.sentence, progress.state = sentence, state

    def _taught(self, model: Model, pictures: Pictures, progress: Progress) -> Lesson | None:
        """The lesson; None if it was stopped."""
        steps = learn(model, pictures)
        while not self._stopping.is_set():
            try:
                step: Advance = next(steps)
            except StopIteration as end:
                return end.value
            progress.task, progress.done = step.task, step.done
        return None
