import json
import os
import re
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from negreplay.checkpoint import (
    RANDOM_STATE,
    Checkpoints,
    Position,
    before,
    inside,
    read_position,
    read_rows_of,
    table_of,
)
from negreplay.errors import UserError
from negreplay.journal import Journal
from negreplay.results.metrics import Row
from negreplay.results.table import GrowingTable
from negreplay.sealed import seal


def row(experience: int) -> Row:
    return Row(
        "nr-gd",
        3,
        experience,
        5,
        4,
        80,
        0.25,
        1 / 3,
        {"cat": 0.1, "dog": None, "eel": 1.0},
        1.5,
        0.0,
        0.125,
        4096,
        10**9,
    )


def learner(seed: int = 0, width: int = 3) -> nn.Module:
    """With parameters, and buffers of whole numbers, truth values and channels-last maps."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width))
    module.register_buffer("seen", torch.rand(4) > 0.5)
    module.register_buffer("learned", torch.tensor(seed))
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def save_checkpoint(
    path: Path, module: nn.Module, rng: torch.Generator, position: Position, constant: Collection[str]
) -> None:
    Checkpoints(path, module, rng, constant).end(position)


def load_checkpoint(path: Path, module: nn.Module, rng: torch.Generator, constant: Collection[str]) -> Position:
    position, marks = Checkpoints(path, module, rng, constant).load()
    assert marks == []
    return position


POSITION = Position(2, 5, 2, {"classifier": 0.1, "generator": 1 / 3})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "nr-gd-3.safetensors"
    rng = seeded(1)
    torch.rand(5, generator=rng)
    save_checkpoint(path, learner(1), rng, POSITION, ())
    return path


def test_what_was_saved_comes_back_to_the_bit(saved):
    fresh, rng = learner(2), seeded(9)
    assert load_checkpoint(saved, fresh, rng, ()) == POSITION
    for name, tensor in learner(1).state_dict().items():
        found = fresh.state_dict()[name]
        assert torch.equal(found, tensor) and found.dtype == tensor.dtype, name
    weight = fresh.get_parameter("0.weight")
    assert weight.requires_grad and weight.is_contiguous(memory_format=torch.channels_last)
    expected = seeded(1)
    torch.rand(5, generator=expected)
    assert torch.equal(torch.rand(3, generator=rng), torch.rand(3, generator=expected))


def test_the_position_can_be_read_alone(saved):
    assert read_position(saved) == POSITION


def test_an_evaluation_may_be_missing(tmp_path):
    position = Position(7, 9)
    save_checkpoint(tmp_path / "x", learner(), seeded(0), position, ())
    assert load_checkpoint(tmp_path / "x", learner(), seeded(0), ()) == position


def test_without_a_file_nothing_is_learned_and_nothing_changed(tmp_path):
    module, rng = learner(1), seeded(4)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert read_position(tmp_path / "none") == Position()
    assert load_checkpoint(tmp_path / "none", module, rng, ()) == Position()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(rng.get_state(), seeded(4).get_state())


def test_constant_state_is_left_out_and_keeps_its_present_value(tmp_path):
    path, constant = tmp_path / "x", frozenset({"0.weight", "0.bias"})
    save_checkpoint(path, learner(1), seeded(0), POSITION, constant)
    with safe_open(path, "pt") as file:
        names = set(file.keys())
    assert names == set(learner().state_dict()) - constant | {RANDOM_STATE}
    fresh = learner(2)
    load_checkpoint(path, fresh, seeded(0), constant)
    assert torch.equal(fresh.get_parameter("0.weight"), learner(2).get_parameter("0.weight"))
    assert fresh.get_buffer("learned").item() == 1


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
    saved.write_bytes(seal(json.dumps({"format": 3, "position": PLACE}), load_file(saved)))
    with pytest.raises(UserError, match=r"is of a newer version: finish the run with that version\.$"):
        read_position(saved)


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


def test_the_rows_that_a_checkpoint_counts_are_read(saved):
    table = GrowingTable(table_of(saved), [])
    for experience in range(3):
        table.add(row(experience))
        with table.path.open("a") as file:
            file.write("nr-gd,3,")
        if experience:
            assert read_rows_of(saved) == [row(0), row(1)]
        os.truncate(table.path, table.path.stat().st_size - len("nr-gd,3,"))


def test_a_table_that_is_missing_or_too_short_is_named(saved):
    path = table_of(saved)
    with pytest.raises(
        UserError, match=rf"^{re.escape(str(path))} is missing, which holds .*{saved.name}: put it back"
    ):
        read_rows_of(saved)
    GrowingTable(path, [row(0)])
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}, line 2: there should be 2 rows, and there are 1; "):
        read_rows_of(saved)


def extended() -> nn.Module:
    module = learner()
    module.register_buffer("more", torch.zeros(1))
    return module


@pytest.mark.parametrize(
    ("other", "constant"),
    [
        (learner(width=4), ()),
        (extended(), ()),
        (nn.Sequential(nn.Conv2d(2, 3, 3)), ()),
        # The state is there, although this learner would have it rebuilt from the recipe.
        (learner(), ("0.weight",)),
    ],
    ids=["other shapes", "more state", "less state", "state that is constant"],
)
def test_a_checkpoint_of_another_recipe_is_refused(saved, other, constant):
    sentence = (
        rf"^the checkpoint {re.escape(str(saved))} does not fit what study.json and the data describe \(.+\): put"
    )
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(saved, other, seeded(0), constant)


def test_a_later_checkpoint_replaces_the_earlier(saved):
    later = Position(3, 5, 3, {})
    save_checkpoint(saved, learner(5), seeded(0), later, ())
    fresh = learner()
    assert load_checkpoint(saved, fresh, seeded(0), ()) == later
    assert fresh.get_buffer("learned").item() == 5
    assert {path.name for path in saved.parent.iterdir()} == {saved.name, before(saved).name}


def test_a_write_that_fails_leaves_the_old_file(saved):
    resource = pytest.importorskip("resource")
    before, limits = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk, the first half of the file can be written and no more.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(UserError, match="File too large"):
            save_checkpoint(saved, learner(5), seeded(0), POSITION, ())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_nothing_but_numbers_is_read(saved):
    # A safetensors file begins with the length of its JSON header; no pickle, so nothing in it is executed.
    content = saved.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert set(header) == set(learner().state_dict()) | {RANDOM_STATE, "__metadata__"}
    sizes = sum(value["data_offsets"][1] - value["data_offsets"][0] for k, value in header.items() if k[:2] != "__")
    assert len(content) == 8 + length + sizes


@pytest.mark.parametrize("state", [None, torch.zeros(3), torch.zeros(5056, dtype=torch.uint8)])
def test_a_wrong_random_state_is_said_in_a_sentence(saved, state):
    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(saved)
    del tensors[RANDOM_STATE]
    changed = tensors if state is None else tensors | {RANDOM_STATE: state}
    saved.write_bytes(seal(metadata["negreplay"], changed))
    with pytest.raises(UserError, match=r"cannot be read \(.+\): move it away to start this arm anew\.$"):
        load_checkpoint(saved, learner(), seeded(0), ())


def test_a_folder_in_place_of_a_checkpoint_is_said_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(.+\): move it away"):
        read_position(tmp_path)


def test_a_constant_plain_batch_norm_is_left_out_with_its_counter(tmp_path):
    constant = frozenset(name for name in learner().state_dict() if name.startswith("1."))
    assert "1.num_batches_tracked" in constant
    save_checkpoint(tmp_path / "x", learner(1), seeded(0), POSITION, constant)
    fresh = learner(2)
    assert load_checkpoint(tmp_path / "x", fresh, seeded(0), constant) == POSITION
    assert torch.equal(fresh.get_parameter("0.weight"), learner(1).get_parameter("0.weight"))


def test_a_counter_of_batch_norm_that_is_missing_is_seen(tmp_path):
    save_checkpoint(tmp_path / "x", learner(1), seeded(0), POSITION, {"1.num_batches_tracked"})
    with pytest.raises(UserError, match=r"\(1\.num_batches_tracked is in only one of them\)"):
        load_checkpoint(tmp_path / "x", learner(2), seeded(0), ())
