"""TensorBoard and Weights & Biases get what results.csv gets, and a run owes them nothing."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import Negreplay, digits, refused, run

from negreplay.bridges import followers
from negreplay.bridges.followers import GROUPS, following, values_of
from negreplay.bridges.points import Curves, Followed, Point
from negreplay.learn import learn
from negreplay.optimize import Step
from negreplay.prepare import Event, Places
from negreplay.results.metrics import Row
from negreplay.results.table import read_rows
from negreplay.starting import start

STUDY = digits("no-replay", "nr-gd")
ROW = Row("nr-gd", 0, 0, 3, 2, 20, 0.25, 0.5, {"cat": 0.5, "a|b\n": None, "dog": 0.75}, 2.0, 1.0, 0.5, 100, 1000)


def events(arm: str, first: int = 0, steps: int = 4) -> Iterator[Event]:
    """What happens while an arm learns two experiences, from one of them on."""
    for index in range(first, 2):
        for done in range(1, steps + 1):
            yield Event(arm, 0, index, 2, Step("classifier", done, steps, index + done / 10), None)
        yield Event(arm, 0, index, 2, None, replace(ROW, arm=arm, experience=index, experiences=2, whole=index / 10))


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve in a folder of TensorBoard, as steps and values."""
    reader = EventAccumulator(str(folder)).Reload()
    return {tag: [(of.step, of.value) for of in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_tensorboard_has_what_the_table_has_also_of_a_run_that_was_stopped(negreplay: Negreplay):
    study = digits("no-replay")
    begun = start(Path("out"), study, Places(Path(), Path(), None), 1, "test")
    with closing(learn(begun)) as happened, following(["tensorboard"], begun.folder, study) as follower:
        for event in happened:
            follower(event)
            if event.index == 1 and event.step and event.step.done > event.step.total / 2:
                break
    assert negreplay("resume", "out", "--follow", "tensorboard").code == 0
    found, rows = curves(Path("out/tensorboard/no-replay-0")), read_rows(Path("out/results.csv"))
    assert len(rows) == 3 and {tag.split("/")[0] for tag in found} == {*GROUPS, "class", "loss"}
    for group, columns in GROUPS.items():
        for column in columns:
            expected = {row.experience + 1: getattr(row, column) for row in rows}
            assert dict(found[f"{group}/{column}"]) == pytest.approx(expected), column
    for name in map(str, range(10)):
        expected = {row.experience + 1: share for row in rows if (share := row.per_class[name]) is not None}
        assert dict(found[f"class/{name}"]) == pytest.approx(expected), name
    assert all(len(curve) == len(dict(curve)) for curve in found.values()), "no point is there twice"
    steps = [step for step, _ in found["loss/classifier"]]
    assert steps == sorted(steps) and steps[0] < 100 and 200 <= steps[-1] < 300


def test_tensorboard_has_the_settings(tmp_path: Path):
    with following(["tensorboard"], tmp_path, STUDY) as follower:
        for event in events("nr-gd"):
            follower(event)
    reader = EventAccumulator(str(tmp_path / "tensorboard" / "nr-gd-0")).Reload()
    messages: Any = import_module("tensorboard.plugins.hparams.plugin_data_pb2")
    data = messages.HParamsPluginData.FromString(reader.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    settings = data.session_start_info.hparams
    assert settings["arm"].string_value == "nr-gd" and settings["first.lr_head"].number_value == 0.05
    assert settings["replay.memory"].number_value == 30


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file, which is a log of LevelDB's form: blocks of 32 kB, in which parts have headers."""
    messages: Any = import_module("wandb.proto.wandb_internal_pb2")
    content, place, record = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield messages.Record.FromString(record)
            record = b""


def history(path: Path) -> list[dict[str, Any]]:
    rows = (record.history.item for record in records(path) if record.WhichOneof("record_type") == "history")
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in rows]


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The package, where nobody is logged in."""
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "NETRC"):
        monkeypatch.setenv(name, str(home / name))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    import wandb

    wandb.teardown()
    yield wandb
    wandb.teardown()


def test_wandb_has_a_run_for_each_arm_and_goes_on_with_it(
    wandb: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with following(["wandb"], tmp_path, STUDY) as follower:
        for pair in zip(events("no-replay"), events("nr-gd"), strict=True):  # as they arrive from several processes
            for event in pair[: 1 if pair[0].index else 2]:  # the second one is stopped early
                follower(event)
    with following(["wandb"], tmp_path, STUDY) as follower:
        for event in events("nr-gd", first=1):
            follower(event)
    assert capfd.readouterr() == ("", "")
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    runs = {file: next(r.run for r in records(file) if r.WhichOneof("record_type") == "run") for file in files}
    assert sorted(of.display_name for of in runs.values()) == ["no-replay-0", "nr-gd-0", "nr-gd-0"]
    assert len({(of.display_name, of.run_id) for of in runs.values()}) == 2, "a run that is resumed has one identity"
    assert {(of.run_group, of.project) for of in runs.values()} == {("tiny", "negreplay")}
    whole = {name: dict[float, float]() for name in ("no-replay-0", "nr-gd-0")}
    losses = {name: list[float]() for name in whole}
    for file, of in runs.items():
        config = {item.key: json.loads(item.value_json) for item in of.config.update}
        assert config["recipe"]["first"]["lr_head"] == 0.05 and f"{config['arm']}-{config['seed']}" == of.display_name
        for row in history(file):
            if "accuracy/whole" in row:
                assert (row["class/cat"], row["class/dog"], row["bytes/kept_bytes"]) == (0.5, 0.75, 100)
                whole[of.display_name][row["experience"]] = row["accuracy/whole"]
            else:
                losses[of.display_name].append(row["experience"])
    assert list(whole.values()) == [{1.0: 0.0, 2.0: 0.1}] * 2
    assert list(losses.values()) == [[0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]] * 2


def test_wandb_is_not_sent_what_it_has(wandb: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Online a run that goes on begins at the number after the last point that has arrived."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    from negreplay.bridges.wandb import WandbCurves

    class Sent:
        def __init__(self) -> None:
            self.step, self.points = 1_000_002, list[int]()

        def log(self, values: dict[str, float], step: int) -> None:
            self.points.append(step)

    writer = WandbCurves(Followed(tmp_path, STUDY, STUDY.recipes[0], 0, first=1))
    writer.close(finished=True)
    writer.run = Sent()
    for share in (0.25, 0.5, 0.75):
        writer.write(Point(1, share, {"loss/classifier": 1.0}, results=False))
    writer.write(Point(1, 1.0, {"accuracy/whole": 1.0}, results=True))
    assert writer.run.points == [1_000_002, 1_000_003]


def test_a_tool_that_fails_is_left_out_and_the_run_goes_on(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch):
    class Full:
        def __init__(self, _: Followed) -> None:
            self.points = 0

        def write(self, point: Point) -> None:
            self.points += 1
            if self.points == 3:
                raise OSError(28, "No space left on\x1b device")

        def close(self, finished: bool) -> None:
            raise AssertionError("nobody closes what failed")

    def full(followed: Followed) -> Curves:
        return Full(followed)

    monkeypatch.setitem(followers.TOOLS, "tensorboard", full)
    done = run(negreplay, digits("no-replay"), "--follow", "tensorboard")
    assert done.code == 0 and len(read_rows(Path("out/results.csv"))) == 3
    reason = r"[Errno 28] No space left on\x1b device"
    assert done.err == f"negreplay: tensorboard follows no longer ({reason}); the run goes on without it.\n"


def test_losses_are_thinned_and_many_classes_left_to_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    points = list[Point]()

    class Kept:
        def write(self, point: Point) -> None:
            points.append(point)

        def close(self, finished: bool) -> None:
            assert finished

    monkeypatch.setitem(followers.TOOLS, "tensorboard", lambda _: Kept())
    with following(["tensorboard"], tmp_path, STUDY) as follower:
        follower(Event("nr-gd", 0, 0, 2, Step("encoding", 1, 2, 1.0), None))
        for event in events("nr-gd", steps=2000):
            follower(event)
    assert 1000 <= sum(not point.results for point in points) <= 1002 and sum(point.results for point in points) == 2
    assert {"class/cat", "class/dog", "accuracy/whole"} < values_of(ROW).keys()
    many = values_of(replace(ROW, per_class={str(number): 0.5 for number in range(101)}))
    assert many["accuracy/growing"] == 0.5 and not any(name.startswith("class/") for name in many)


@pytest.mark.parametrize("tool", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_extra(negreplay: Negreplay, monkeypatch: pytest.MonkeyPatch, tool: str):
    monkeypatch.setitem(sys.modules, tool, None)
    assert refused(negreplay, STUDY, "--follow", tool) == (
        f"to follow a run {tool} needs {tool}: pip install 'negreplay[track]'."
    )


def test_an_unknown_tool_is_refused(negreplay: Negreplay):
    sentence = "no tool called 'tensorbord' can follow a run: did you mean 'tensorboard'?"
    assert refused(negreplay, STUDY, "--follow", "tensorbord") == sentence


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "it has no valid key"),
        ({"WANDB_API_KEY": "short"}, "WANDB_API_KEY invalid: API key must have 40+ characters, has 5"),
        (
            {"WANDB_API_KEY": "a" * 40, "WANDB_IDENTITY_TOKEN_FILE": "token"},
            "Both WANDB_API_KEY and WANDB_IDENTITY_TOKEN_FILE are set, which is not allowed",
        ),
    ],
)
def test_wandb_without_a_key_asks_for_none(
    negreplay: Negreplay, wandb: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], reason: str
):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert refused(negreplay, STUDY, "--follow", "wandb") == (
        f"wandb cannot send anything ({reason}): type `wandb login`, or set WANDB_MODE=offline to send nothing."
    )
