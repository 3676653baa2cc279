"""A study in its folder, started, opened again and resumed.

`runs/<name>/` holds `study.json` (what is run), `run.json` (how and where), `checkpoints/` (the state of each arm and
seed, and its rows), and what comes out: `results.csv`, to which rows are added as they come, `report.html`, curves as
PNG. What comes out can be made again from the checkpoints, and a run killed at any moment goes on from the checkpoint
that each arm wrote last, a minute ago at most.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from negreplay.builders.study_files import dump_study, read_study
from negreplay.checkpoint import read_position, read_rows_of
from negreplay.data.overview import overview
from negreplay.devices import Device, check_device, machine
from negreplay.engines.choice import LOCAL, place
from negreplay.errors import UserError
from negreplay.files import alone, write_whole
from negreplay.identity import compare, identify
from negreplay.launch import check_ranks
from negreplay.prepare import Cell, Places, check_cells
from negreplay.recipe import Study
from negreplay.results.metrics import Row
from negreplay.results.text import one_line

LOCK = "run.lock"
"""A file that the process has locked which writes in the folder of a run."""


@dataclass(frozen=True)
class Run:
    """A study in its folder: where it finds things, what was typed and on what machine, the names of its classes.

    `jobs` arms are learned at once, each in a process of its own when there are several, or one by `ranks` processes
    together. Each process has so many `threads`, for on more threads sums are rounded otherwise. Each arm is saved at
    most `every` so many seconds, inside experiences too. `identity` is what its numbers depend on. `images` says in
    sentences what there is to learn from and to test with, and what is left out. `on` names the machines that learn
    (see `negreplay.engines.choice`).
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

    def cells(self) -> list[Cell]:
        """One for each seed and arm, in the order in which they are learned."""
        seeds = [(seed, recipe) for seed in self.study.seeds for recipe in self.study.recipes]
        return [
            Cell(recipe, seed, checkpoint_of(self.folder, recipe.name, seed), self.places, self.every)
            for seed, recipe in seeds
        ]


def start(
    folder: Path,
    study: Study,
    places: Places,
    jobs: int,
    command: str,
    threads: int = 1,
    every: float = 60.0,
    on: tuple[str, ...] = (LOCAL,),
    ranks: int = 1,
) -> Run:
    """A new run, in a folder of its own; nothing is written before all that it needs has been found.

    Raises:
        UserError: the folder holds a run already, images or weights are not there, or a recipe does not fit them.
    """
    if (folder / "study.json").exists():
        raise _taken(folder)
    _check_jobs(jobs)
    if not 0 <= every < float("inf"):
        raise UserError(f"--save-every is {every / 60:g}: give minutes, 0 or more.")
    if threads < 1:
        raise UserError(f"--threads is {threads}: give 1 or more.")
    here = places_here(places, on)
    check_device(here.device)
    _check_ranks(ranks, jobs, here.device, on)
    stream = check_cells(Cell(recipe, study.seeds[0], Path(), here) for recipe in study.recipes)
    run = Run(
        folder=folder,
        study=study,
        places=places,
        jobs=jobs,
        command=command,
        machine=_machine(places, on),
        classes=stream.names,
        threads=threads,
        every=every,
        identity=identify(study, places),
        images=tuple(overview(stream.train, stream.test)),
        on=on,
        ranks=ranks,
    )
    made = not folder.exists()
    with alone(folder / LOCK, busy(folder)):
        if (folder / "study.json").exists():
            raise _taken(folder)
        try:
            _write(run)
        except UserError:
            with suppress(OSError):
                (folder / "run.json").unlink(missing_ok=True)
                if made:
                    (folder / LOCK).unlink()
                    folder.rmdir()
            raise
    return run


def _write(run: Run) -> None:
    names = "command", "machine", "jobs", "ranks", "threads", "every", "classes", "images", "identity", "on"
    settings = {name: getattr(run, name) for name in names} | {"places": asdict(run.places)}
    write_whole(run.folder / "run.json", json.dumps(settings, indent=2, default=str).encode())
    write_whole(run.folder / "study.json", dump_study(run.study))


def places_here(places: Places, on: Sequence[str]) -> Places:
    """The places with a device of this machine: other machines check their own when they begin to learn."""
    return replace(places, device=Device()) if place(on).elsewhere else places


def _machine(places: Places, on: Sequence[str]) -> str:
    """What learns, and by which programs."""
    here = machine(places_here(places, on).device)
    return f"{on[0]}, from {here}" if place(on).elsewhere else here


def _check_jobs(jobs: int) -> None:
    if jobs < 1:
        raise UserError(f"--jobs is {jobs}: give 1 or more, or 0 to choose for you.")


def _check_ranks(ranks: int, jobs: int, device: Device, on: Sequence[str]) -> None:
    check_ranks(ranks, device)
    if ranks > 1 and place(on).elsewhere:
        raise UserError(f"--ranks is {ranks} and --on is {on[0]}: start the ranks by torchrun or srun instead of --on.")
    if ranks > 1 and jobs > 1:
        raise UserError(
            f"--ranks is {ranks} and --jobs is {jobs}: several ranks learn one arm at a time; give --jobs 1."
        )


def _taken(folder: Path) -> UserError:
    return UserError(f"{folder} holds a run already: continue it with `negreplay resume {folder}`, or choose --out.")


def busy(folder: Path) -> str:
    """What a user is told whose run another process learns."""
    return f"{folder} is being learned by another process: wait for it, or stop it."


def resume(
    folder: Path,
    jobs: int | None = None,
    data: Path | None = None,
    weights: Path | None = None,
    store: Path | None = None,
    on: tuple[str, ...] = (),
    ranks: int | None = None,
    changed: bool = False,
) -> Run:
    """The run in a folder, if all that its numbers depend on is as it was when it started.

    Args:
        folder: of the run.
        jobs: another number of arms at the same time.
        data: where the images are now.
        weights: where the weights are now.
        store: another folder for latents.
        on: other machines, which learn from now on.
        ranks: another number of processes that learn an arm together.
        changed: whether to go on with what has changed of the study, data or weights, which the report will say.

    Raises:
        UserError: there is none, its files are damaged, or its study, data or weights have changed.
    """
    run = reopen(folder)
    moved = {
        name: place.absolute() for name, place in (("data", data), ("weights", weights), ("store", store)) if place
    }
    run = replace(run, places=replace(run.places, **moved), on=on or run.on)
    if jobs is not None:
        run = replace(run, jobs=jobs)
    _check_jobs(run.jobs)
    check_device(
        places_here(run.places, run.on).device,
        "resume the run on a machine that has it, or run the study in another folder.",
    )
    written = run
    run = _identified(run, changed)
    if ranks is not None and ranks != run.ranks:
        _warn(f"this run had {run.ranks} ranks, and goes on with {ranks}: its numbers may differ in their last bits.")
        run = replace(run, ranks=ranks, jobs=run.jobs if jobs is not None or ranks == 1 else 1)
    _check_ranks(run.ranks, run.jobs, places_here(run.places, run.on).device, run.on)
    if moved or run.ranks != written.ranks or run.identity != written.identity:
        with alone(folder / LOCK, busy(folder)):
            _write(run)  # the next resume needs no option, and other ranks read it
    if run.machine != (here := _machine(run.places, run.on)):
        _warn(f"this run began on {run.machine}, and goes on on {here}: its numbers may differ in their last bits.")
    return run


def _identified(run: Run, changed: bool) -> Run:
    """The run, if its study, data and weights are as they were, or with their changes where this is asked for."""
    path = run.folder / "run.json"
    if not run.identity:
        _warn(f"{path} is of an earlier version, so changes of study, data or weights are not noticed.")
        return run
    try:
        changes, contents = compare(run.folder, run.identity, run.study, run.places)
    except (AttributeError, KeyError, TypeError) as error:
        reason = f"its identity is damaged, {type(error).__name__}: {error}"
        raise UserError(f"{path} cannot be read ({reason}): restore it.") from error
    if changes and not changed:
        raise UserError(
            f"{'; '.join(changes)} since this run began: put it back as it was, or run the study in another folder; "
            "with --changed `negreplay resume` goes on all the same."
        )
    for content in contents:
        _warn(f"{content} than when this run began: what is learned from here on is learned from them.")
    if not changes:
        return run
    learned = f"{progress_of(run):.2f} of {len(run.cells())} arms and seeds had been learned"
    sentence = f"When {learned}, the run went on with changes: {'; '.join(changes)}."
    _warn(sentence)
    return replace(run, identity=identify(run.study, run.places), images=(*run.images, sentence))


def _warn(sentence: str) -> None:
    print(f"negreplay: {one_line(sentence)}", file=sys.stderr)


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


def checkpoint_of(folder: Path, arm: str, seed: int) -> Path:
    """The file that keeps the state of an arm with a seed."""
    return folder / "checkpoints" / f"{arm}-{seed}.safetensors"
