"""A run is started, or resumed: all that it needs is found and checked before anything is written."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from negreplay.data.overview import overview
from negreplay.devices import Device, check_device, machine
from negreplay.engines.choice import LOCAL, place
from negreplay.errors import UserError
from negreplay.files import alone
from negreplay.identity import compare, identify
from negreplay.launch import check_ranks
from negreplay.prepare import Cell, Places, check_cells
from negreplay.recipe import Study
from negreplay.results.text import one_line
from negreplay.run import LOCK, STOP, Run, busy, places_here, progress_of, reopen, write_run


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
    on_nan: str = STOP,
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
        on_nan=on_nan,
    )
    made = not folder.exists()
    with alone(folder / LOCK, busy(folder)):
        if (folder / "study.json").exists():
            raise _taken(folder)
        try:
            write_run(run)
        except UserError:
            with suppress(OSError):
                (folder / "run.json").unlink(missing_ok=True)
                if made:
                    (folder / LOCK).unlink()
                    folder.rmdir()
            raise
    return run


def resume(
    folder: Path,
    jobs: int | None = None,
    data: Path | None = None,
    weights: Path | None = None,
    store: Path | None = None,
    on: tuple[str, ...] = (),
    ranks: int | None = None,
    changed: bool = False,
    on_nan: str | None = None,
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
        on_nan: what an arm does from now on when a loss is not finite, `stop` or `back`.

    Raises:
        UserError: there is none, its files are damaged, or its study, data or weights have changed.
    """
    kept = reopen(folder)
    moved = {
        name: place.absolute() for name, place in (("data", data), ("weights", weights), ("store", store)) if place
    }
    run = replace(kept, places=replace(kept.places, **moved), on=on or kept.on)
    if jobs is not None:
        run = replace(run, jobs=jobs)
    _check_jobs(run.jobs)
    check_device(
        places_here(run.places, run.on).device,
        "resume the run on a machine that has it, or run the study in another folder.",
    )
    run = replace(_identified(run, changed), on_nan=on_nan or run.on_nan)
    if ranks is not None and ranks != run.ranks:
        _warn(f"this run had {run.ranks} ranks, and goes on with {ranks}: its numbers may differ in their last bits.")
        run = replace(run, ranks=ranks, jobs=run.jobs if jobs is not None or ranks == 1 else 1)
    _check_ranks(run.ranks, run.jobs, places_here(run.places, run.on).device, run.on)
    if run != kept:
        with alone(folder / LOCK, busy(folder)):
            write_run(run)  # the next resume needs no option, and other ranks read it
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
