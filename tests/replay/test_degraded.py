"""What each dial does to recalled patterns."""

import torch
from sources import seeded
from torch import Tensor

from negreplay.patterns import Patterns
from negreplay.recipe import DegradedRecipe
from negreplay.replay.degraded import Degraded
from negreplay.replay.source import NoReplay


class Fixed(NoReplay):
    """Recalls the same 200 patterns of four classes, whose numbers lie between 1 and 2."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = 1 + torch.rand(200, 3, 2, 2, generator=seeded(1)), torch.arange(200) % 4 + 1

    def recall(self) -> Patterns:
        return Patterns(self.x, self.y)


def degraded(**dials: float) -> tuple[Patterns, Tensor, Tensor]:
    source = Fixed()
    memory = Degraded(source, DegradedRecipe(**dials), seeded()).recall()
    assert isinstance(memory, Patterns)
    return memory, source.x, source.y


def test_without_a_turn_of_a_dial_nothing_changes():
    memory, x, y = degraded()
    assert torch.equal(memory.x, x) and torch.equal(memory.y, y)


def test_labels_are_drawn_anew_among_the_classes_of_the_memory():
    memory, x, y = degraded(labels=0.5)
    assert torch.equal(memory.x, x) and memory.y.unique().tolist() == [1, 2, 3, 4]
    assert 55 <= int((memory.y != y).sum()) <= 95  # three quarters of 100 drawn labels are others
    memory, _, y = degraded(labels=1.0)
    assert 30 <= int((memory.y == y).sum()) <= 70


def test_variety_is_lost_towards_the_common_mean():
    memory, x, y = degraded(variety=0.75)
    assert torch.allclose(memory.x - x.mean(dim=0), 0.25 * (x - x.mean(dim=0)), atol=1e-6) and torch.equal(memory.y, y)
    memory, x, _ = degraded(variety=1.0)
    assert torch.allclose(memory.x, x.mean(dim=0).expand_as(x))


def test_noise_is_uniform_in_the_range_of_the_patterns():
    memory, x, _ = degraded(noise=1.0)
    high = x.flatten().sort().values[round(0.9 * x.numel()) - 1]
    assert x.min() <= memory.x.min() and memory.x.max() <= high
    assert torch.isclose(memory.x.mean(), (x.min() + high) / 2, atol=0.02)
    half, _, _ = degraded(noise=0.5)
    assert torch.corrcoef(torch.stack([half.x.flatten(), x.flatten()]))[0, 1] > 0.5


def test_nothing_stays_nothing():
    assert len(Degraded(NoReplay(), DegradedRecipe(1.0, 1.0, 1.0), seeded()).recall().labels) == 0
