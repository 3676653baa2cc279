"""The command that searches for settings."""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from negreplay.cli.studies import named_study
from negreplay.cli.where import Where
from negreplay.errors import UserError
from negreplay.results.text import one_line

if TYPE_CHECKING:
    from negreplay.builders.grids import Range
    from negreplay.prepare import Event
    from negreplay.search import Search, Trial


@dataclass(frozen=True)
class SearchCommand:
    """Choose settings of an arm by trials on the first experiences only: no later experience and no test image is read.

    The same command goes on with a search that was stopped.
    """

    study: tyro.conf.Positional[str]
    """Name of a study (see `negreplay list`), or path of a study.json."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """PLACE=LOW..HIGH or PLACE=a,b,c: where to look, such as first.lr_head=0.001..0.1; PLACE=VALUE does not change."""
    arm: str | None = None
    """The arm (default: the study's only one)."""
    trials: int = 20
    """How many settings are tried."""
    experiences: int = 2
    """How many experiences a trial learns. One in five of their training images is held out to be recognised."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of each trial, whose accuracies are averaged."""
    seed: int = 0
    """Draws the settings."""
    out: Path | None = None
    """Folder of the search (default: runs/STUDY-ARM-search)."""
    where: tyro.conf.OmitArgPrefixes[Where] = field(default_factory=Where)

    def __call__(self, console: Console) -> None:
        from negreplay.builders.changes import changed, parse_settings, select, with_backbone
        from negreplay.builders.grids import Choices, Range, parse_range
        from negreplay.search import Search

        study = named_study(self.study)
        names = [recipe.name for recipe in study.recipes]
        if self.arm is None and len(names) > 1:
            raise UserError(f"{study.name} has several arms: name one of {', '.join(names)} with --arm.")
        arm = self.arm or names[0]
        study = with_backbone(select(study, (arm,), self.seeds), self.where.backbone, self.where.pretrained)
        values = {place: _range(value, parse_range) for place, value in parse_settings(self.set).items()}
        searched = {place: value for place, value in values.items() if isinstance(value, Range | Choices)}
        fixed = {place: value for place, value in values.items() if place not in searched}
        if not searched:
            raise UserError("nothing is searched: give --set PLACE=LOW..HIGH or --set PLACE=a,b,c.")
        wanted = Search(changed(study, fixed), searched, self.trials, self.experiences, self.seed)
        trials = self._made(wanted, self.out or Path("runs") / f"{study.name}-{arm}-search", console)
        console.print()
        console.print(_table(trials, list(searched)))
        words = ["negreplay", "run", self.study, "--arms", arm]
        words += ["--backbone", self.where.backbone] if self.where.backbone else []
        words += ["--pretrained"] if self.where.pretrained else []
        for place, value in (fixed | trials[0].settings).items():
            words += ["--set", f"{place}={_text(value)}"]
        line = f"To learn the whole stream with the best settings: {shlex.join(words)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _made(self, wanted: "Search", folder: Path, console: Console) -> "list[Trial]":
        """Makes the trials and shows them."""
        import torch

        from negreplay.devices import check_device
        from negreplay.display import show
        from negreplay.search import made_before, search
        from negreplay.slow_paths import avoid_slow_paths

        avoid_slow_paths()
        torch.set_num_threads(self.where.threads)
        places = self.where.places()
        check_device(places.device)
        trials: list[Trial] = []

        def events() -> "Iterator[Event]":
            trials.extend((yield from search(wanted, folder, places)))

        try:
            seeds = len(wanted.study.seeds)
            show(events(), console, float(seeds * made_before(folder)), seeds * wanted.trials)
        except KeyboardInterrupt as stop:
            raise type(stop)("stopped; the same command goes on with the next trial.") from None
        return trials


def _range(value: Any, parse: "Callable[[str], Range | None]") -> Any:
    """A value that is a text such as `1..9` is a range."""
    return (parse(value) or value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    """A value as `--set` takes it."""
    return value if isinstance(value, str) and "," not in value else json.dumps(value)


def _table(trials: "Sequence[Trial]", places: Sequence[str]) -> Table:
    """The trials, the best one first."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("trial", *places, "held out, recognised %"):
        table.add_column(name, justify="right")
    for trial in trials:
        settings = [trial.settings[place] for place in places]
        shown = [f"{value:.6g}" if isinstance(value, float) else _text(value) for value in settings]
        result = f"{100 * trial.accuracy:.2f}" if trial.failure is None else one_line(trial.failure)
        table.add_row(str(trial.number), *map(Text, shown), Text(result))
    return table
