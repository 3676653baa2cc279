"""An engine whose workers die, in this process."""

from collections.abc import Generator

from negreplay.engines.tasks import End, Task
from negreplay.errors import UserError
from negreplay.prepare import Event


class Dying:
    """An engine whose workers tell so many events of a task, by its name, and die; with none left they finish it.

    A worker that dies saves nothing. `silent` ones tell nothing either.
    """

    def __init__(self, lives: dict[str, list[int]], silent: bool = False) -> None:
        self.lives, self.silent = lives, silent
        self.started: list[str] = []
        self.running = self.most = 0
        self.dead: list[Generator[Event, None, None]] = []

    def start(self, task: Task) -> "Dying.Job":
        self.started.append(task.name)
        self.running += 1
        self.most = max(self.most, self.running)
        return Dying.Job(self, task)

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass

    class Job:
        """A task that is done when it is asked for."""

        def __init__(self, engine: "Dying", task: Task) -> None:
            self.engine, self.task, self.asked = engine, task, False

        def poll(self) -> tuple[list[Event], End | None]:
            if not self.asked:  # the first time nothing has happened yet
                self.asked = True
                return [], None
            self.engine.running -= 1
            lives = self.engine.lives.get(self.task.name, [])
            if lives:
                events = self.task.events()
                told = [next(events) for _ in range(lives.pop(0))]
                self.engine.dead.append(events)
                return [] if self.engine.silent else told, End(False, "its worker died")
            try:
                return list(self.task.events()), End()
            except UserError as error:
                return [], End(False, str(error), again=False)
