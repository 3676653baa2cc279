"""All cells of a run, wherever they are learned."""

import shlex
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from io import FileIO
from pathlib import Path

import torch

from negreplay.cell import learn_cell
from negreplay.engines.choice import Place
from negreplay.engines.dispatch import Failure, learn_on, named
from negreplay.engines.tasks import Task
from negreplay.errors import FailedError
from negreplay.prepare import Cell, Event, encode_cells, encoding_cells


def learn_cells(
    cells: Sequence[Cell], place: Place, jobs: int, threads: int, folder: Path, lock: FileIO | None = None
) -> Generator[Event, None, None]:
    """Learns what is left of some cells, event by event; closing it ends all workers.

    Args:
        cells: whose checkpoints are in the folder.
        place: where they are learned.
        jobs: how many at once; one alone is learned in this process.
        threads: of each.
        folder: of the run.
        lock: of the folder, which processes of this machine share, so that nobody takes it before the last has ended.

    Raises:
        FailedError: some could not be learned to the end; the others were.
        UserError: the cell that this process was learning raised it.
    """
    torch.set_num_threads(threads)  # also to encode: latents of a small batch depend on it in their last bits
    if place.elsewhere:  # where the processes are in other folders
        cells = [replace(cell, checkpoint=cell.checkpoint.absolute()) for cell in cells]
    else:
        yield from encode_cells(cells)
        if jobs == 1:
            for cell in cells:
                yield from learn_cell(cell)
            return
    left = [cell for cell in cells if not Task(cell).finished]
    if not left:
        return
    with closing(place.engine((folder / "workers").absolute(), left[0].places.device, threads, lock)) as engine:
        if place.elsewhere:
            encoding = [Task(cell, encoding=True) for cell in encoding_cells(left)]
            _refuse(folder, (yield from learn_on(engine, encoding, jobs)))
        _refuse(folder, (yield from learn_on(engine, [Task(cell) for cell in left], jobs)))


def _refuse(folder: Path, failures: Sequence[Failure]) -> None:
    if failures:
        raise FailedError(f"{named(failures)}; `negreplay resume {shlex.quote(str(folder))}` tries again.")
