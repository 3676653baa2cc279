"""Cells of a study in a folder, and what has come out of one."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file
from tiny import MACHINE
from torch import Tensor

from negreplay.cell import learn_cell
from negreplay.devices import Device
from negreplay.positions import read_rows_of
from negreplay.prepare import Cell, Places
from negreplay.recipe import Study


def cells(
    study: Study,
    folder: Path,
    name: str,
    store: bool,
    seeds: Sequence[int] = (0,),
    precision: str = "float32",
    every: float = 60.0,
) -> list[Cell]:
    places = Places(folder, folder, folder / "latents" if store else None, Device("cpu", precision))
    files = folder / name
    pairs = [(recipe, seed) for recipe in study.recipes for seed in seeds]
    return [Cell(recipe, seed, files / f"{recipe.name}-{seed}.safetensors", places, every) for recipe, seed in pairs]


def learned(cell: Cell) -> list[dict[str, object]]:
    """Every number that comes out, but those of the machine."""
    list(learn_cell(cell))
    rows = [asdict(row) for row in read_rows_of(cell.checkpoint)]
    return [{name: value for name, value in row.items() if name not in MACHINE} for row in rows]


def state(cell: Cell) -> dict[str, Tensor]:
    return load_file(cell.checkpoint)
