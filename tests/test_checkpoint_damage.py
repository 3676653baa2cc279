"""Damaged checkpoints are noticed, and the one before is used; checkpoints inside an experience."""

import json
import re
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from saving import POSITION, learner, load_checkpoint, save_checkpoint, saved_in, seeded

from negreplay.checkpoint import Checkpoints
from negreplay.errors import UserError
from negreplay.journal import Journal
from negreplay.positions import FORMAT, Position, before, inside, read_position, read_rows_of
from negreplay.sealed import seal


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return saved_in(tmp_path)


PLACE = {"learned": 2, "experiences": 5, "rows": 2, "seconds": {}, "taken": 0}
TEXTS = {
    "no number learned": {"position": PLACE | {"learned": "two"}},
    "more rows than experiences": {"position": PLACE | {"rows": 3}},
    "more learned than there is": {"position": PLACE | {"experiences": 1}},
    "steps below 0": {"position": PLACE | {"taken": -1}},
    "seconds no table": {"position": PLACE | {"seconds": [1]}},
    "seconds no numbers": {"position": PLACE | {"seconds": {"classifier": float("nan")}}},
    "no position": {},
}
DAMAGES = (*TEXTS, "cut short", "cut in its header", "empty", "something else")


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    match how:
        case "cut short":
            path.write_bytes(content[: len(content) // 2])
        case "cut in its header":
            path.write_bytes(content[:20])
        case "empty":
            path.write_bytes(b"")
        case "something else":
            path.write_bytes(b"this is no checkpoint, but a text long enough to be one")
        case _:
            path.write_bytes(seal(json.dumps({"format": 2} | TEXTS[how]), load_file(path)))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_named_with_the_remedy(saved, how):
    damage(saved, how)
    sentence = rf"^the checkpoint {re.escape(str(saved))} cannot be read \(.*\): move it away to start this arm anew\.$"
    with pytest.raises(UserError, match=sentence):
        read_position(saved)
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(saved, learner(), seeded(0), ())


@pytest.mark.parametrize("metadata", [None, {"learned": "2", "rows": "[]"}, {"learned": "2", "rows": "2"}])
def test_a_checkpoint_of_an_earlier_version_is_refused(saved, metadata):
    save_file(load_file(saved), saved, metadata)
    sentence = rf"^the checkpoint {re.escape(str(saved))} is of an earlier version, or no checkpoint: finish"
    for read in (read_position, read_rows_of, lambda path: load_checkpoint(path, learner(), seeded(0), ())):
        with pytest.raises(UserError, match=sentence):
            read(saved)


def test_a_checkpoint_of_a_newer_version_is_refused(saved):
    saved.write_bytes(seal(json.dumps({"format": FORMAT + 1, "position": PLACE}), load_file(saved)))
    with pytest.raises(UserError, match=r"is of a newer version: finish the run with that version\.$"):
        read_position(saved)


def test_a_checkpoint_of_the_version_before_setbacks_is_read(saved):
    saved.write_bytes(seal(json.dumps({"format": 2, "position": PLACE}), load_file(saved)))
    assert read_position(saved) == Position(**PLACE)


def flipped(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


@pytest.mark.parametrize("part", range(40))
def test_a_flipped_bit_is_noticed_and_the_checkpoint_before_is_used(saved, part, capfd):
    """Its place is one of forty over the whole file."""
    later = Position(3, 5, 3, {})
    save_checkpoint(saved, learner(5), seeded(0), later, ())
    flipped(saved, part * (saved.stat().st_size - 1) // 39)
    fresh = learner()
    assert load_checkpoint(saved, fresh, seeded(0), ()) == POSITION
    assert fresh.get_buffer("learned").item() == 1
    assert read_position(saved) == POSITION
    assert not saved.exists() and saved.with_name(f"{saved.name}.damaged").exists()
    said = capfd.readouterr().err
    assert said.startswith(f"negreplay: the checkpoint {saved} is damaged (") and "of 2 experiences and 0 steps" in said


def test_two_damaged_checkpoints_are_refused_and_stay(saved):
    save_checkpoint(saved, learner(5), seeded(0), Position(3, 5, 3, {}), ())
    flipped(saved, saved.stat().st_size - 1)
    flipped(before(saved), saved.stat().st_size - 1)
    with pytest.raises(UserError, match=r"cannot be read \(its bits are not those that were written\): move it away"):
        load_checkpoint(saved, learner(), seeded(0), ())
    assert saved.exists() and before(saved).exists()


def test_inside_an_experience_the_last_two_checkpoints_are_kept_on_the_state_at_its_start(tmp_path, capfd):
    path, module, rng = tmp_path / "a-0.safetensors", learner(3), seeded(0)
    journal, start = Journal(module, rng), Position(2, 5, 2, {})
    checkpoints = Checkpoints(path, module, rng, (), every=0.0)
    for taken in (1, 2, 3):
        checkpoints.save_inside(journal, start, Position(2, 5, 2, {}, taken))
    files = {path, inside(path), before(inside(path))}
    assert set(tmp_path.iterdir()) == files
    for expected in (3, 2, 0):
        assert read_position(path).taken == expected
        position, marks = Checkpoints(path, learner(), seeded(1), ()).load()
        assert position == Position(2, 5, 2, {}, expected) and marks == []
        newest = inside(path) if inside(path).exists() else before(inside(path))
        if newest.exists():
            flipped(newest, newest.stat().st_size - 1)
            position, _ = Checkpoints(path, learner(), seeded(1), ()).load()
            assert "is set aside" in capfd.readouterr().err
    checkpoints.end(Position(3, 5, 2, {}), now=True)
    assert read_position(path) == Position(3, 5, 2, {})


def test_a_checkpoint_inside_an_experience_without_its_start_does_not_count(tmp_path):
    path, module, rng = tmp_path / "a-0.safetensors", learner(3), seeded(0)
    checkpoints = Checkpoints(path, module, rng, (), every=0.0)
    checkpoints.save_inside(Journal(module, rng), Position(2, 5), Position(2, 5, taken=4))
    path.unlink()
    assert read_position(path) == Position() == Checkpoints(path, learner(), seeded(1), ()).load()[0]


def test_a_checkpoint_is_written_when_it_is_time(tmp_path):
    path, module, rng = tmp_path / "a-0.safetensors", learner(3), seeded(0)
    checkpoints = Checkpoints(path, module, rng, (), every=1000.0)
    checkpoints.end(Position(1, 3))
    assert not path.exists() and not checkpoints.due
    checkpoints.end(Position(2, 3), now=True)
    assert read_position(path).learned == 2
    checkpoints.end(Position(3, 3))
    assert read_position(path).learned == 3, "the last one is always written"
