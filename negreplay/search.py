"""Settings chosen by trials on the first experiences of a stream only, with Optuna.

The folder of a search has `search.json`, which says what is searched, and `trials.log`, the journal of Optuna. A trial
is a draw of the settings and the accuracy that they reach. A search that is stopped goes on with the next trial.
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from negreplay.builders.changes import changed
from negreplay.builders.grids import Choices, Range
from negreplay.builders.learners import build_learner
from negreplay.builders.streams import build_stream
from negreplay.data.data import example_of
from negreplay.errors import UserError
from negreplay.evaluation import evaluate
from negreplay.files import alone, write_whole
from negreplay.prepare import Cell, Event, Places, open_data, over_latents
from negreplay.recipe import Recipe, Study
from negreplay.results.metrics import Row
from negreplay.streams.first import first_experiences
from negreplay.streams.stream import Stream

NOT_MEASURED = {
    "train_seconds": 0.0,
    "generator_seconds": 0.0,
    "evaluate_seconds": 0.0,
    "kept_bytes": 0,
    "peak_bytes": 0,
}
"""What a row of a trial does not say."""


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    `study` has one arm, and its seeds are those of each trial, whose accuracies are averaged. `settings` are a `Range`
    or `Choices` by place. Trials learn `experiences` experiences. `seed` draws the settings.
    """

    study: Study
    settings: Mapping[str, Range | Choices]
    trials: int
    experiences: int
    seed: int = 0

    @property
    def described(self) -> bytes:
        """All that decides what a trial draws and reaches, as JSON."""
        fields = {name: value for name, value in asdict(self).items() if name != "trials"}
        return json.dumps(fields, indent=2).encode()


@dataclass(frozen=True)
class Trial:
    """The settings of a trial, and the share that was recognised; why it could not learn, if it could not."""

    number: int
    settings: dict[str, Any]
    accuracy: float
    failure: str | None = None


def search(wanted: Search, folder: Path, places: Places) -> Generator[Event, None, list[Trial]]:
    """Makes the trials that are left, event by event.

    Returns:
        All trials, the best one first.

    Raises:
        UserError: the folder has another search or is in use, optuna is missing, or settings or images are wrong.
    """
    optuna = package()
    _check(wanted, places)
    with alone(folder / "search.lock", f"{folder} is being searched by another process: wait for it, or stop it."):
        path = folder / "search.json"
        if path.exists() and path.read_bytes() != wanted.described:
            raise UserError(f"{folder} holds another search: choose --out.")
        write_whole(path, wanted.described)
        study, states = _journal(optuna, folder), optuna.trial.TrialState
        for stopped in study.get_trials(states=(states.RUNNING,)):
            study.tell(stopped.number, state=states.FAIL)  # it does not count, and is made anew
        while len(_finished(study)) < wanted.trials:
            yield from _trial(optuna, study, wanted, places)
        trials = [_read(number, one) for number, one in enumerate(_finished(study), 1)]
    return sorted(trials, key=lambda trial: (-trial.accuracy, trial.number))


def made_before(folder: Path) -> int:
    """How many trials a folder has."""
    return len(_finished(_journal(package(), folder))) if (folder / "trials.log").exists() else 0


def allowed(arm: Recipe, seed: int, experiences: int, places: Places) -> Stream:
    """What a trial may see of the images: the first experiences, and what is held out of them."""
    train, test = open_data(arm.arriving, places.data)
    return first_experiences(build_stream(arm.arriving, train, test, seed), experiences, seed)


def package() -> Any:
    """The package, which is imported only here.

    Raises:
        UserError: it is missing.
    """
    try:
        optuna = import_module("optuna")
    except ModuleNotFoundError as error:
        raise UserError(f"a search needs {error.name}: pip install 'negreplay[search]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _check(wanted: Search, places: Places) -> None:
    """Refuses what no trial could learn, before anything is written."""
    if wanted.trials < 1:
        raise UserError(f"--trials is {wanted.trials}: give 1 or more.")
    for place, values in wanted.settings.items():
        if isinstance(values, Range) and values.low >= values.high:
            raise UserError(f"--set {place} is {values.low}..{values.high}: give the lower number first.")
    for end in (0, -1):
        arm = changed(wanted.study, {place: _ends(values)[end] for place, values in wanted.settings.items()}).recipes[0]
        for seed in wanted.study.seeds:
            allowed(arm, seed, wanted.experiences, places)


def _ends(values: Range | Choices) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, Range) else values.values


def _journal(optuna: Any, folder: Path) -> Any:
    """The trials so far."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "trials.log"))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)


def _finished(study: Any) -> list[Any]:
    return [one for one in study.get_trials(deepcopy=False) if one.value is not None]


def _read(number: int, one: Any) -> Trial:
    return Trial(number, one.user_attrs["settings"], one.value, one.user_attrs.get("failure"))


def _trial(optuna: Any, study: Any, wanted: Search, places: Places) -> Generator[Event, None, None]:
    """Draws settings and learns with them, unless an earlier trial had the same."""
    earlier = _finished(study)
    # A draw depends on the seed and on the trials before it only, so that it is the same after a stop.
    study.sampler = optuna.samplers.TPESampler(seed=wanted.seed + len(earlier))
    trial, shares, failure = study.ask(), list[float](), None
    settings = {place: _draw(trial, place, values) for place, values in wanted.settings.items()}
    trial.set_user_attr("settings", settings)
    same = next((one for one in earlier if one.params == trial.params), None)
    if same is not None:
        shares, failure = [same.value], same.user_attrs.get("failure")
    else:
        name = f"trial-{len(earlier) + 1}"
        try:
            arm = replace(changed(wanted.study, settings).recipes[0], name=name)
            for seed in wanted.study.seeds:
                shares.append((yield from _accuracy(Cell(arm, seed, Path(), places), wanted.experiences)))
        except (UserError, RuntimeError) as error:  # such as a loss that is no number
            shares, failure = [0.0], str(error).splitlines()[0]
    if failure is not None:
        trial.set_user_attr("failure", failure)
    study.tell(trial, sum(shares) / len(shares))


def _draw(trial: Any, place: str, values: Range | Choices) -> Any:
    """The value of a setting in a trial; a range of a factor of ten or more is drawn by its logarithm."""
    if isinstance(values, Choices):
        return json.loads(trial.suggest_categorical(place, [json.dumps(value) for value in values.values]))
    low, high = values
    wide = 0 < 10 * low <= high
    suggest = trial.suggest_int if isinstance(low, int) and isinstance(high, int) else trial.suggest_float
    return suggest(place, low, high, log=wide)


def _accuracy(cell: Cell, experiences: int) -> Generator[Event, None, float]:
    """The share that is recognised of what was held out, after the last of the first experiences."""
    arm, places = cell.recipe, cell.places
    stream = allowed(arm, cell.seed, experiences, places)
    learner = build_learner(
        arm,
        *example_of(stream.train),
        seed=cell.seed,
        weights=places.weights,
        device=places.device,
        patterns=len(stream.train.labels),
    )
    stream = yield from over_latents(cell, stream, learner)
    share = 0.0
    for index in range(experiences):
        for step in learner.learn(stream[index]):
            yield Event(arm.name, cell.seed, index, experiences, step, None)
        accuracies = evaluate(learner, stream, index)
        share = accuracies.growing
        place = arm.name, cell.seed, index, experiences
        yield Event(*place, None, Row(*place, **vars(accuracies), **NOT_MEASURED))
    return share
