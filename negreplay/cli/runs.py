"""The commands for runs: run, resume, report.

What only some commands need, torch above all, is imported inside them, so that `--help` and `list` answer at once.
"""

import json
import os
import shlex
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from negreplay.cli.studies import named_study
from negreplay.cli.where import Where
from negreplay.errors import NotThereError, UserError, suggest
from negreplay.results.text import printable
from negreplay.studies import STUDIES

if TYPE_CHECKING:
    from negreplay.results.paper import Exhibit


@dataclass(frozen=True)
class RunCommand:
    """Run a study: all its arms and seeds, ending in a table and a report."""

    study: tyro.conf.Positional[str]
    """Name of a study (see `negreplay list`), or path of a study.json."""
    out: Path | None = None
    """Folder of the run (default: runs/NAME)."""
    arms: tuple[str, ...] = ()
    """Arms to run (default: all)."""
    seeds: tuple[int, ...] = ()
    """Seeds to run (default: the study's)."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """PLACE=VALUE: another setting in all arms that have it, such as first.lr_head=0.01; may be given again. Several
    values with commas, first.epochs=1,2,4, make a grid: an arm for each combination (docs/many-runs.md)."""
    where: tyro.conf.OmitArgPrefixes[Where] = field(default_factory=Where)
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 computes faster where the machine knows it, a little less precisely."""
    jobs: int = 0
    """Arms learned at the same time, each in a process of its own (0: up to four on a processor, one elsewhere)."""
    on: tuple[str, ...] = ("local",)
    """Where: local, ray, ray://HOST:PORT or slurm, then what to ask for, as partition=gpu (docs/many-runs.md)."""
    ranks: int = 0
    """Processes that learn each arm together (0: one, or as many as torchrun or Slurm has started)."""
    save_every: float = 1.0
    """Minutes from one checkpoint to the next, inside an experience too: as much is lost by a kill at most."""
    on_nan: Literal["stop", "back"] = "stop"
    """When a loss is not finite: stop, or go back to the start of the experience and halve the learning rates."""
    follow: tuple[str, ...] = ()
    """Tools that show the run while it learns: tensorboard, wandb, or both (docs/results.md)."""

    def __call__(self, console: Console) -> None:
        from negreplay.builders.changes import changed, parse_settings, select, with_backbone

        study = select(named_study(self.study), self.arms, self.seeds)
        study = changed(with_backbone(study, self.where.backbone, self.where.pretrained), parse_settings(self.set))
        from negreplay.bridges.followers import check_followers
        from negreplay.display import learn_and_report
        from negreplay.engines.choice import place
        from negreplay.launch import started_outside
        from negreplay.learn import follow
        from negreplay.slow_paths import avoid_slow_paths
        from negreplay.starting import start

        check_followers(self.follow)
        avoid_slow_paths()
        places = self.where.places(self.precision)
        outside = started_outside()
        if outside is not None and not outside.leads:
            follow(places.device)
            return
        ranks = self.ranks or (outside.count if outside else 1)
        folder = self.out or _unused(Path("runs") / study.name)
        # No more arms than cores have threads for, nor than there are; four bounds memory, of which each takes its own.
        threads = self.where.threads
        cores = (os.cpu_count() or 1) // max(1, threads)
        cells = len(study.recipes) * len(study.seeds)
        several = max(1, min(4, cores, cells)) if places.device.name == "cpu" and ranks == 1 else 1
        jobs = self.jobs or (cells if place(self.on).queues else several)
        every = 60 * self.save_every
        try:
            run = start(folder, study, places, jobs, _command(), threads, every, self.on, ranks, self.on_nan)
        except NotThereError as error:
            raise UserError(
                f"{str(error).removesuffix('.')}, or say where with --data or --weights (docs/images-and-weights.md)."
            ) from error
        learn_and_report(run, STUDIES, console, self.follow)


@dataclass(frozen=True)
class ResumeCommand:
    """Continue a run that was stopped, from the checkpoint that each arm wrote last."""

    folder: tyro.conf.Positional[Path]
    """Folder of the run."""
    jobs: int | None = None
    """Another number of arms learned at the same time."""
    ranks: int | None = None
    """Another number of processes that learn each arm together."""
    changed: bool = False
    """Go on although the study, data or weights have changed since the run began; the report says so."""
    data: Path | None = None
    """Where the images are now, if they have moved."""
    weights: Path | None = None
    """Where the pretrained weights are now, if they have moved."""
    store: Path | None = None
    """Another folder for encoded latents."""
    on: tuple[str, ...] = ()
    """Other machines that learn from now on: local, ray, ray://HOST:PORT or slurm (docs/many-runs.md)."""
    on_nan: Literal["stop", "back"] | None = None
    """From now on, when a loss is not finite: stop, or go back to the start of the experience and halve the rates."""
    follow: tuple[str, ...] = ()
    """Tools that show the run while it learns: tensorboard, wandb, or both (docs/results.md)."""

    def __call__(self, console: Console) -> None:
        from negreplay.bridges.followers import check_followers
        from negreplay.display import learn_and_report
        from negreplay.launch import started_outside
        from negreplay.learn import follow
        from negreplay.run import reopen
        from negreplay.slow_paths import avoid_slow_paths
        from negreplay.starting import resume

        avoid_slow_paths()
        outside = started_outside()
        if outside is not None and not outside.leads:
            follow(reopen(self.folder).places.device)
            return
        check_followers(self.follow)
        ranks = self.ranks or (outside.count if outside else None)
        run = resume(
            self.folder, self.jobs, self.data, self.weights, self.store, self.on, ranks, self.changed, self.on_nan
        )
        learn_and_report(run, STUDIES, console, self.follow)


@dataclass(frozen=True)
class ReportCommand:
    """Write the report of a run anew, finished or not; or a table or figure of the paper with our numbers beside."""

    what: tyro.conf.Positional[str]
    """Folder of a run; or table1 to table3, figure1, figure3, figure4, figure6, figure8 to figure11, split-mnist."""
    runs: Path = Path("runs")
    """Folder that holds the runs from which tables and figures are filled."""
    json: bool = False
    """Print the numbers as JSON."""

    def __call__(self, console: Console) -> None:
        from negreplay.display import conclude
        from negreplay.learn import is_learning, report
        from negreplay.results.paper import exhibits
        from negreplay.results.report import to_json
        from negreplay.run import reopen, setbacks_of

        known = {exhibit.name: exhibit for exhibit in exhibits()}
        if self.what in known:
            self._exhibit(known[self.what], console)
            return
        if not Path(self.what).exists() and get_close_matches(self.what, known, n=1):
            raise UserError(f"there is no run and no table or figure {self.what!r}: {suggest(self.what, list(known))}")
        run = reopen(Path(self.what))
        rows = report(run, STUDIES)
        if self.json:
            print(json.dumps(to_json(run.study, rows) | {"setbacks": setbacks_of(run)}, indent=2))
        else:
            conclude(run, rows, console)
            if is_learning(run.folder):
                console.print(f"The run is being learned: this shows what was saved, {_behind(run.every)} behind.")

    def _exhibit(self, exhibit: "Exhibit", console: Console) -> None:
        from negreplay.results.paper import collect, to_json
        from negreplay.results.paper_report import print_exhibit, write_exhibit
        from negreplay.run import runs_in

        runs = runs_in(self.runs)
        found = {study.name: collect(study, runs) for study in STUDIES}
        path = write_exhibit(self.runs, exhibit, found)
        if self.json:
            print(json.dumps(to_json(exhibit, found), indent=2))
        else:
            print_exhibit(exhibit, found, console)
            console.print(printable(f"page: {path}"), markup=False, soft_wrap=True)


def _behind(seconds: float) -> str:
    """How far what was saved may be behind what has been learned."""
    return f"up to {seconds / 60:g} minutes" if seconds else "a step"


def _command() -> str:
    return shlex.join(["negreplay", *sys.argv[1:]])


def _unused(folder: Path) -> Path:
    """The folder, or the next free one with a number."""
    free, number = folder, 2
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free
