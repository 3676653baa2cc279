import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from saving import POSITION, learner, load_checkpoint, row, save_checkpoint, saved_in, seeded
from torch import nn

from negreplay.checkpoint import RANDOM_STATE
from negreplay.errors import UserError
from negreplay.positions import Position, before, read_position, read_rows_of, table_of
from negreplay.results.table import GrowingTable
from negreplay.sealed import seal


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return saved_in(tmp_path)


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


def test_a_checkpoint_that_vanishes_while_it_is_looked_at_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whoever reports a run reads beside the process that learns it, which removes the ones before."""
    path = saved_in(tmp_path)

    def removed(file: Path) -> None:
        file.unlink()
        raise RuntimeError("unable to open file")

    monkeypatch.setattr("negreplay.positions.read_header", removed)
    assert read_position(path) == Position()
