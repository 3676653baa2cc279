import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from negreplay.data.data import Tensors, View
from negreplay.patterns import Batch, Mixture, Patterns, counts_of, nothing, share_of


def patterns(first: int, count: int) -> Patterns:
    """Patterns that can be told apart: pattern i is the number i, and so is its label."""
    numbers = torch.arange(first, first + count)
    return Patterns(numbers.float().reshape(-1, 1), numbers)


def loader(count: int) -> View:
    x, y = patterns(0, count)
    return View(Tensors(x, y, ("any",), "test", encoded=True), torch.arange(count))


def mixed(current: int, memory: int, minibatch: int, replay: int | None = None, seed: int = 0) -> list[Batch]:
    rng = torch.Generator().manual_seed(seed)
    recalled = patterns(1000, memory) if memory else nothing()
    mixture = Mixture(loader(current), recalled, minibatch, replay)
    batches = list(mixture.read(mixture.draw(rng)))
    assert len(batches) == mixture.steps
    return batches


def current_of(batches: list[Batch]) -> list[float]:
    return torch.cat([batch.current for batch in batches]).flatten().tolist()


def replayed_of(batches: list[Batch]) -> Tensor:
    return torch.cat([batch.replay for batch in batches]).flatten()


def test_counts_patterns_of_each_class():
    assert counts_of(Patterns(torch.zeros(3, 2), torch.tensor([2, 0, 2])), 4).tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize(
    ("current", "memory", "share"), [(12_000, 1_500, 114), (300, 300, 64), (51_247, 20_000, 92), (300, 0, 128)]
)
def test_share_is_the_papers(current: int, memory: int, share: int):
    assert share_of(current, memory, 128) == share


def test_share_leaves_the_given_number_for_replay():
    assert share_of(300, 300, 128, replay=28) == 100
    assert share_of(300, 0, 128, replay=28) == 128


@pytest.mark.parametrize(("current", "memory"), [(1, 100_000), (100_000, 1)])
def test_share_has_room_for_both(current: int, memory: int):
    assert 1 <= share_of(current, memory, 128) <= 127


def test_minibatch_of_one_still_takes_steps():
    assert Mixture(loader(5), patterns(0, 5), 1).steps == 5


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 150), st.integers(0, 150), st.integers(1, 40))
def test_proportion_sweeps_current_and_memory_once(current: int, memory: int, minibatch: int):
    batches = mixed(current, memory, minibatch)
    assert sorted(current_of(batches)) == list(range(current))
    replayed = sorted(replayed_of(batches).tolist())
    assert max(len(batch.labels) for batch in batches) <= max(2, minibatch)
    if len(replayed) < memory:
        assert all(len(batch.current) == 1 for batch in batches), "only the fewest current patterns leave some out"
        assert len(set(replayed)) == len(replayed)
    else:
        assert replayed == list(range(1000, 1000 + memory))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 150), st.integers(1, 60), st.integers(2, 40), st.data())
def test_given_replay_fills_every_minibatch(current: int, memory: int, minibatch: int, data: st.DataObject):
    replay = data.draw(st.integers(1, minibatch - 1))
    batches = mixed(current, memory, minibatch, replay)
    assert sorted(current_of(batches)) == list(range(current))
    assert all(len(batch.replay) == replay and len(batch.labels) <= minibatch for batch in batches)
    times_used = torch.bincount(replayed_of(batches).long() - 1000, minlength=memory)
    assert times_used.max() - times_used.min() <= 1


def test_batch_says_who_is_who():
    for batch in mixed(20, 10, 8):
        b = len(batch.current)
        assert batch.encoded
        assert batch.replayed.tolist() == [False] * b + [True] * len(batch.replay)
        assert batch.labels[:b].tolist() == batch.current.flatten().tolist()
        assert batch.labels[b:].tolist() == batch.replay.flatten().tolist()


def test_memory_smaller_than_the_share_repeats():
    batches = mixed(current=20, memory=3, minibatch=12, replay=8)
    assert [len(batch.replay) for batch in batches] == [8] * 5
    assert set(replayed_of(batches).tolist()) == {1000, 1001, 1002}


def test_experience_of_one_image_meets_no_more_of_the_memory_than_a_minibatch_holds():
    (batch,) = mixed(current=1, memory=2000, minibatch=16)
    assert len(batch.current) == 1
    assert len(batch.replay) == len(batch.replay.unique()) == 15


def test_empty_memory_replays_nothing():
    batches = mixed(current=10, memory=0, minibatch=4)
    assert [len(batch.labels) for batch in batches] == [4, 4, 2]
    assert not any(batch.replayed.any() for batch in batches)


def test_mix_is_decided_by_the_generator():
    one, again, other = (mixed(30, 20, 8, seed=seed) for seed in (1, 1, 2))
    assert current_of(one) == current_of(again) != current_of(other)
    assert replayed_of(one).tolist() == replayed_of(again).tolist() != replayed_of(other).tolist()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("replay", [None, 5])
@pytest.mark.parametrize("start", range(4))
def test_an_epoch_can_be_read_from_any_minibatch_on(replay: int | None, start: int, mirrored: bool):
    mixture = Mixture(loader(21), patterns(1000, 9), 12, replay, mirrored)
    sweep = mixture.draw(torch.Generator().manual_seed(3))
    whole, rest = list(mixture.read(sweep)), list(mixture.read(sweep, start))
    assert len(rest) == len(whole) - start
    for one, other in zip(whole[start:], rest, strict=True):
        assert (one.mirrored is not None) == mirrored
        for a, b in zip(one, other, strict=True):
            assert a is b is None or torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_half_of_the_latents_are_mirrored():
    mixture = Mixture(loader(300), patterns(1000, 100), 40, mirrored=True)
    batches = list(mixture.read(mixture.draw(torch.Generator().manual_seed(0))))
    chosen = torch.cat([batch.mirrored for batch in batches if batch.mirrored is not None])
    assert len(chosen) == 400 and 170 < int(chosen.sum()) < 230
    assert all(len(batch.mirrored) == len(batch.labels) for batch in batches if batch.mirrored is not None)
    plain = Mixture(loader(300), patterns(1000, 100), 40)
    rows = plain.draw(torch.Generator().manual_seed(0)).current.rows
    assert torch.equal(mixture.draw(torch.Generator().manual_seed(0)).current.rows, rows)


def test_reading_draws_nothing():
    mixture, rng = Mixture(loader(21), patterns(1000, 9), 12, 5), torch.Generator().manual_seed(3)
    sweep = mixture.draw(rng)
    state = rng.get_state()
    list(mixture.read(sweep))
    assert torch.equal(rng.get_state(), state)
