"""Recall from statistics: the right classes, with the mean and the spread of the latents that were measured."""

from pathlib import Path

import pytest
import torch
from sources import CLASSES, LATENT, absorb, experiences, seeded

from negreplay.checkpoint import Checkpoints
from negreplay.data.data import Tensors
from negreplay.errors import UserError
from negreplay.nets.classifier import Classifier
from negreplay.patterns import drawn
from negreplay.positions import Position
from negreplay.recipe import Covariance, ReplayRecipe, Source
from negreplay.replay.statistics import Drawn, Statistics
from negreplay.streams.stream import Stream


def source(rank: int | None = 3, memory: int = 9, covariance: Covariance = Covariance.LOW_RANK) -> Statistics:
    recipe = ReplayRecipe(Source.STATISTICS, memory=memory, covariance=covariance, rank=rank)
    return Statistics(LATENT, CLASSES, recipe, seeded())


def recalled(statistics: Statistics) -> Drawn:
    memory = statistics.recall()
    assert isinstance(memory, Drawn)
    return memory


def test_classes_seen_are_recalled_equally_often(classifier: Classifier):
    statistics = source(memory=8)
    for experience in experiences(classifier)[:2]:
        absorb(statistics, classifier, experience)
    assert recalled(statistics).labels.tolist() == [0, 1, 3, 0, 1, 3, 0, 1]


def test_a_draw_decides_a_pattern_whatever_stands_beside_it(classifier: Classifier):
    statistics = source()
    absorb(statistics, classifier, experiences(classifier)[0])
    memory = recalled(statistics)
    rows, draws = torch.tensor([3, 0, 5, 2]), torch.tensor([2**61, 7, 7, 9])
    together = memory.read(rows, draws)
    alone = torch.cat([memory.read(rows[i : i + 1], draws[i : i + 1]) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-6)
    assert not torch.allclose(memory.read(rows, draws + 1), together)
    assert memory.augmented and drawn(rows, memory.augmented, seeded()).draws is not None


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    roots = x.flatten(1).sqrt()
    return roots.mean(dim=0), roots.var(dim=0)


def test_patterns_have_the_mean_and_the_spread_of_what_was_measured(classifier: Classifier):
    """In roots far from zero, where nothing is set to zero."""
    rng, size = seeded(3), 512
    roots = 5 + torch.randn(400, 2, generator=rng) @ torch.randn(2, size, generator=rng) * 0.3
    roots += 0.1 * torch.randn(400, size, generator=rng)
    data = Tensors(roots.square().reshape(400, *LATENT), torch.ones(400, dtype=torch.long), tuple("abcdef"), "x", True)
    statistics = source(rank=2, memory=2000)
    absorb(statistics, classifier, Stream(data, data, [torch.arange(400)])[0])
    memory = recalled(statistics)
    drawn_roots = memory.read(torch.arange(2000), torch.arange(2000) + 5).flatten(1).sqrt()
    assert torch.allclose(drawn_roots.mean(dim=0), roots.mean(dim=0), atol=0.1)
    assert torch.allclose(drawn_roots.var(dim=0), roots.var(dim=0), rtol=0.3, atol=0.01)
    one, other = (torch.cov(x.T) for x in (drawn_roots, roots))
    assert (one - other).norm() < 0.2 * other.norm(), "numbers vary together as they did"


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_nothing_is_below_zero_where_no_latent_was(classifier: Classifier, least: float):
    x = torch.rand(40, *LATENT, generator=seeded(1)).clamp(min=0.5) - 0.5 + least * 0.1
    data = Tensors(x, torch.arange(40) % 2, tuple("abcdef"), "x", True)
    statistics = source(memory=50)
    absorb(statistics, classifier, Stream(data, data, [torch.arange(40)])[0])
    made = recalled(statistics).read(torch.arange(50))
    assert bool((made < 0).any()) == (least < 0)


def test_statistics_are_sums_so_that_they_do_not_degrade(classifier: Classifier):
    """A class in two experiences, with another one between, is as if it had come at once."""
    x = torch.rand(30, *LATENT, generator=seeded(1))
    data = Tensors(x, torch.tensor([0] * 10 + [1] * 10 + [0] * 10), tuple("abcdef"), "x", True)
    parts, once = source(), source()
    for experience in Stream(data, data, torch.arange(30).split(10)):
        absorb(parts, classifier, experience)
    absorb(once, classifier, Stream(data, data, [torch.arange(30)])[0])
    assert torch.allclose(parts.means.means[:2], once.means.means[:2], atol=1e-5)
    sums, whole = parts.covariance.state_dict(), once.covariance.state_dict()
    assert sums.keys() == whole.keys() == {"map.seed", "sketches", "squares"}
    assert all(torch.allclose(sums[name], whole[name], atol=1e-3) for name in whole)


def test_kept_bytes_by_hand():
    # For each of 6 classes a mean, a diagonal and 19 columns of 512 numbers in four bytes, and a count of eight; the
    # centre in eight bytes, a seed, and whether numbers may be below zero.
    kept = sum(tensor.nbytes for tensor in source().state_dict().values())
    assert kept == 6 * (512 * 4 * (1 + 1 + 19) + 8) + 512 * 8 + 8 + 1


def test_kept_bytes_of_other_covariances_by_hand():
    # As above, without columns and their seed; separable ones are 32 x 32 for channels and 16 x 16 for places.
    diagonal = 6 * (512 * 4 * (1 + 1) + 8) + 512 * 8 + 1
    for covariance, expected in (
        (Covariance.DIAGONAL, diagonal),
        (Covariance.SEPARABLE, diagonal + 4 * (32 * 32 + 16 * 16)),
    ):
        kept = source(None, covariance=covariance).state_dict().values()
        assert sum(tensor.nbytes for tensor in kept) == expected


def separable_roots(n: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Roots far from zero, and their covariance; channels depend on one another, and so do places."""
    channels = torch.eye(32).double() + 0.3 * torch.randn(32, 32, generator=rng).double()
    places = torch.eye(16).double() + 0.5 * torch.randn(16, 16, generator=rng).double()
    z = torch.randn(n, 32, 16, generator=rng).double()
    roots = 60 + (channels @ z @ places).flatten(1)
    return roots.float(), torch.kron(channels @ channels.T, places.T @ places)


@pytest.mark.parametrize("covariance", [Covariance.SEPARABLE, Covariance.DIAGONAL])
def test_maps_have_the_covariance_that_was_measured(classifier: Classifier, covariance: Covariance):
    roots, expected = separable_roots(3000, seeded(3))
    data = Tensors(roots.square().reshape(-1, *LATENT), torch.ones(3000, dtype=torch.long), tuple("abcdef"), "x", True)
    statistics = source(None, 6000, covariance)
    absorb(statistics, classifier, Stream(data, data, [torch.arange(3000)])[0])
    made = recalled(statistics).read(torch.arange(6000), torch.arange(6000) + 5).flatten(1).sqrt().double()
    if covariance is Covariance.DIAGONAL:
        expected = expected.diagonal().diag()
    found = torch.cov(made.T)
    # Of n draws, entries miss by the square root of (c_ii c_jj + c_ij^2) / n; on average over 512^2 entries that is
    # this norm, and what was measured on 3000 adds little.
    miss = ((expected.trace() ** 2 + expected.square().sum()) / 6000).sqrt()
    assert (found - expected).norm() < 1.5 * miss
    assert torch.allclose(found.diagonal(), expected.diagonal(), rtol=0.25)
    five_errors = 5 * float((expected.diagonal().max() / 6000).sqrt())
    assert torch.allclose(made.mean(dim=0), roots.double().mean(dim=0), atol=five_errors)


@pytest.mark.parametrize("covariance", [Covariance.SEPARABLE, Covariance.DIAGONAL])
def test_one_pattern_of_a_class_is_recalled_as_it_was(classifier: Classifier, covariance: Covariance):
    x = torch.rand(1, *LATENT, generator=seeded(1))
    data = Tensors(x, torch.tensor([2]), tuple("abcdef"), "x", True)
    statistics = source(None, 3, covariance)
    absorb(statistics, classifier, Stream(data, data, [torch.arange(1)])[0])
    made = recalled(statistics).read(torch.arange(3))
    assert torch.allclose(made, x.expand_as(made), rtol=1e-4, atol=1e-6)


def test_vectors_have_no_separable_covariance():
    recipe = ReplayRecipe(Source.STATISTICS, memory=9, covariance=Covariance.SEPARABLE)
    sentence = (
        "replay.covariance is separable, but latents are vectors of 7 numbers: "
        "give low-rank or diagonal, or cut where latents are maps."
    )
    with pytest.raises(UserError, match=f"^{sentence}$"):
        Statistics((7,), CLASSES, recipe, seeded())


@pytest.mark.parametrize("covariance", list(Covariance))
def test_a_checkpoint_gives_back_what_is_recalled(classifier: Classifier, tmp_path: Path, covariance: Covariance):
    rank = 3 if covariance is Covariance.LOW_RANK else None
    statistics, twin = (source(rank, covariance=covariance) for _ in range(2))
    absorb(statistics, classifier, experiences(classifier)[0])
    Checkpoints(tmp_path / "checkpoint", statistics, seeded(), ()).end(Position(1, 4))
    assert Checkpoints(tmp_path / "checkpoint", twin, seeded(), ()).load() == (Position(1, 4), [])
    rows = torch.arange(9)
    assert torch.equal(recalled(twin).read(rows), recalled(statistics).read(rows))
