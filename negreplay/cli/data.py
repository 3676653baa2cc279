"""The command for data sets that studies need and that must be got or made."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from negreplay.errors import UserError
from negreplay.results.text import printable


@dataclass(frozen=True)
class DataCommand:
    """Get a data set, going on where an earlier download stopped, and verify it.

    core50 comes from its official addresses; cifar50 is made from the official archive of CIFAR-100.
    """

    name: tyro.conf.Positional[Literal["core50", "cifar50"]]
    """The data set."""
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Of cifar50: the archive cifar-100-python.tar.gz, or the folder that it unpacks to."""
    root: Path | None = None
    """Its folder; what is there already is kept and only verified (default: $NEGREPLAY_DATA/NAME or data/NAME)."""

    def __call__(self, console: Console) -> None:
        from negreplay.data import cifar50, core50_files
        from negreplay.display import follow

        root = self.root or Path(os.environ.get("NEGREPLAY_DATA", "data")) / self.name
        if self.name == "cifar50":
            follow(cifar50.get_cifar50(root, self.source), console)
            description = cifar50.describe(root)
        elif self.source is not None:
            raise UserError("--from is of cifar50 only: leave it out, for core50 is downloaded.")
        else:
            follow(core50_files.get_core50(root), console)
            description = core50_files.describe(root)
        console.print(printable(description), soft_wrap=True, markup=False)
