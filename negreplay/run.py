"""A study in its folder: how and where it runs, opened again, and how far it has come.

`runs/<name>/` holds `study.json` (what is run), `run.json` (how and where), `checkpoints/` (the state of each arm and
seed, and its rows), and what comes out: `results.csv`, to which rows are added as they come, `report.html`, curves as
PNG. What comes out can be made again from the checkpoints, and a run killed at any moment goes on from the checkpoint
that each arm wrote last, a minute ago at most.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from negreplay.builders.study_files import dump_study, read_study
from negreplay.devices import Device
from negreplay.engines.choice import LOCAL, place
from negreplay.errors import UserError
from negreplay.files import write_whole
from negreplay.positions import SMALLER, read_position, read_rows_of
from negreplay.prepare import Cell, Places
from negreplay.recipe import Study
from negreplay.results.metrics import Row

STOP, BACK = "stop", "back"
"""What becomes of an arm when a loss is not finite: it ends, or goes back to the start of the experience."""
LOCK = "run.lock"
"""A file that the process has locked which writes in the folder of a run."""


@dataclass(frozen=True)
class Run:
    """A study in its folder: where it finds things, what was typed and on what machine, the names of its classes.

    `jobs` arms are learned at once, each in a process of its own when there are several, or one by `ranks` processes
    together. Each process has so many `threads`, for on more threads sums are rounded otherwise. Each arm is saved at
    most `every` so many seconds, inside experiences too. `identity` is what its numbers depend on. `images` says in
    sentences what there is to learn from and to test with, and what is left out. `on` names the machines that learn
    (see `negreplay.engines.choice`). `on_nan` is `stop` or `back`: what an arm does when a loss is not finite.
    """

    folder: Path
    study: Study
    places: Places
    jobs: int
    command: str
    machine: str
    classes: tuple[str, ...]
    threads: int = 1
    every: float = 60.0
    identity: dict[str, Any] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    on: tuple[str, ...] = (LOCAL,)
    ranks: int = 1
    on_nan: str = STOP

    def cells(self) -> list[Cell]:
        """One for each seed and arm, in the order in which they are learned."""
        goes_back = self.on_nan == BACK
        seeds = [(seed, recipe) for seed in self.study.seeds for recipe in self.study.recipes]
        return [
            Cell(recipe, seed, checkpoint_of(self.folder, recipe.name, seed), self.places, self.every, goes_back)
            for seed, recipe in seeds
        ]


def write_run(run: Run) -> None:
    """Writes what a run is, how and where, into its folder."""
    names = "command", "machine", "jobs", "ranks", "threads", "every", "classes", "images", "identity", "on", "on_nan"
    settings = {name: getattr(run, name) for name in names} | {"places": asdict(run.places)}
    write_whole(run.folder / "run.json", json.dumps(settings, indent=2, default=str).encode())
    write_whole(run.folder / "study.json", dump_study(run.study))


def places_here(places: Places, on: Sequence[str]) -> Places:
    """The places with a device of this machine: other machines check their own when they begin to learn."""
    return replace(places, device=Device()) if place(on).elsewhere else places


def busy(folder: Path) -> str:
    """What a user is told whose run another process learns."""
    return f"{folder} is being learned by another process: wait for it, or stop it."


def reopen(folder: Path) -> Run:
    """The run in a folder, as it was started.

    Raises:
        UserError: there is none, or its files are damaged.
    """
    if not (folder / "study.json").exists():
        raise UserError(f"{folder} holds no run: give the folder that `negreplay run` wrote.")
    study, path = read_study(folder / "study.json"), folder / "run.json"
    try:
        settings = json.loads(path.read_bytes())
        found = settings["places"]
        store = Path(found["store"]) if found["store"] else None
        places = Places(Path(found["data"]), Path(found["weights"]), store, Device(**found["device"]))
        return Run(
            folder=folder,
            study=study,
            places=places,
            jobs=int(settings["jobs"]),
            command=settings["command"],
            machine=settings["machine"],
            classes=tuple(settings["classes"]),
            threads=int(settings.get("threads", 1)),
            every=float(settings.get("every", 60.0)),
            identity=settings.get("identity", {}),
            images=tuple(settings.get("images", ())),
            on=tuple(settings.get("on", (LOCAL,))),
            ranks=int(settings.get("ranks", 1)),
            on_nan=settings.get("on_nan", STOP),
        )
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        reason = "it is missing" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{path} cannot be read ({reason}): restore it, or run the study in another folder.") from error


def rows_of(folder: Path, study: Study) -> list[Row]:
    """The rows of all arms and seeds so far, read from the tables beside the checkpoints."""
    cells = [(recipe.name, seed) for recipe in study.recipes for seed in study.seeds]
    return [row for arm, seed in cells for row in read_rows_of(checkpoint_of(folder, arm, seed))]


def runs_in(folder: Path) -> list[tuple[Study, list[Row]]]:
    """The study and the rows so far of every run in a folder of runs.

    Raises:
        UserError: the files of a run are damaged.
    """
    studies = [(path.parent, read_study(path)) for path in sorted(folder.glob("*/study.json"))]
    return [(study, rows_of(place, study)) for place, study in studies]


def progress_of(run: Run) -> float:
    """How much has been learned, in runs of one arm with one seed."""
    positions = [read_position(cell.checkpoint) for cell in run.cells()]
    return sum((p.learned / p.experiences for p in positions if p.learned), start=0.0)


def setbacks_of(run: Run) -> list[str]:
    """Sentences on the arms that went back to the start of an experience, for a loss was not finite."""
    sentences: list[str] = []
    for cell in run.cells():
        position = read_position(cell.checkpoint)
        for experience, setbacks in groupby(position.setbacks, lambda each: each.experience):
            verb = "learned" if experience < position.learned else "has come to learn"
            reasons = [setback.reason for setback in setbacks]
            sentences.append(
                f"{cell.recipe.name} with seed {cell.seed} {verb} experience {experience + 1} at "
                f"{SMALLER ** len(reasons):g} of its learning rates: before, {reasons[-1]}."
            )
    return sentences


def checkpoint_of(folder: Path, arm: str, seed: int) -> Path:
    """The file that keeps the state of an arm with a seed."""
    return folder / "checkpoints" / f"{arm}-{seed}.safetensors"
