"""The commands for studies: list, show.

What only some commands need, torch above all, is imported inside them, so that `--help` and `list` answer at once.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from negreplay.errors import UserError
from negreplay.recipe import Study
from negreplay.studies import STUDIES, study

WHICH = """\
Which way to learn? Three questions (docs/which.md has the numbers; study cifar50-winners):
May images be kept? All: joint training. A few of each class: EEIL.
Does the network start pretrained? Keep sums of its features: regularised discriminant analysis.
Must features go on learning? Once: adapt to the first classes, then keep sums. Always: replay.
"""


@dataclass(frozen=True)
class ListCommand:
    """List the studies that ship with the library."""

    json: bool = False
    """Print JSON."""

    def __call__(self, console: Console) -> None:
        if self.json:
            names = ("name", "summary", "seeds", "reproduces", "hours", "on")
            found = [{name: getattr(s, name) for name in names} | {"arms": _arms(s)} for s in STUDIES]
            print(json.dumps(found, indent=2))
            return
        console.print(WHICH, highlight=False)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        for each in STUDIES:
            table.add_row(f"[bold]{each.name}[/]", f"{each.summary}\n[dim]{_plan(each)}[/]")
        console.print(table, highlight=False)


@dataclass(frozen=True)
class ShowCommand:
    """Show a study whole: every setting of every arm."""

    study: tyro.conf.Positional[str]
    """Name of a study, or path of a study.json."""
    json: bool = False
    """Print JSON, as `negreplay run` takes it back."""

    def __call__(self, console: Console) -> None:
        study = named_study(self.study)
        if self.json:
            print(json.dumps(asdict(study), indent=2))
        else:
            console.print(study)


def _arms(study: Study) -> list[str]:
    return [recipe.name for recipe in study.recipes]


def _plan(study: Study) -> str:
    """A study's arms and seeds, how long they take, and what in the paper they give."""
    plan = f"arms {' '.join(_arms(study))}; seeds {' '.join(map(str, study.seeds))}"
    facts = [] if study.hours is None else [f"about {study.hours:g} hours on {study.on}"]
    facts += [f"gives {' '.join(study.reproduces)}"] if study.reproduces else []
    return f"{plan}\n{'; '.join(facts)}"


def named_study(name: str) -> Study:
    """The study of that name, or in that file."""
    if name.endswith(".json"):
        from negreplay.builders.changes import read_any_study

        return read_any_study(Path(name), STUDIES)
    if Path(f"{name}.json").is_file() and name not in {known.name for known in STUDIES}:
        raise UserError(f"there is no study {name!r}, but a file: did you mean {f'{name}.json'!r}?")
    return study(name)
