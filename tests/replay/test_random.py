"""Random data: the range of the noise."""

import pytest
import torch
from sources import absorb, seeded

from negreplay.data.data import Tensors
from negreplay.replay.random import SAMPLE, Random
from negreplay.streams.stream import Stream


def uniform_stream(count: int, high: float) -> Stream:
    """An experience of latents that are uniform in [0, high], and another of latents ten times as large."""
    x = torch.rand(count, 2, 5, 5, generator=seeded(3)) * high
    data = Tensors(torch.cat([x, x * 10]), torch.arange(2 * count) // count, ("a", "b"), "test", encoded=True)
    return Stream(data, data, torch.arange(2 * count).split(count))


@pytest.mark.parametrize("count", [1, 150, SAMPLE])
def test_range_of_noise_is_the_90th_percentile_of_real_activations(count, classifier):
    source, stream = Random((2, 5, 5), 2, 300, seeded()), uniform_stream(count, 4.0)
    absorb(source, classifier, stream[0])
    activations = stream[0].data.data.read(stream[0].data.rows).flatten()
    # Nine in ten activations are at most this, one in ten at least.
    assert (activations <= source.high).sum() == round(0.9 * len(activations))
    noise = source.recall().x
    # The highest of 300 * 50 uniform numbers comes within 0.1 percent of the limit but for a chance of 3e-7.
    assert noise.min() >= 0 and noise.max() <= source.high and noise.max() > 0.999 * source.high
    assert abs(noise.mean() - source.high / 2) < 0.02 * source.high


def test_range_of_noise_is_that_of_a_sample_of_a_large_experience(classifier):
    source, stream = Random((2, 5, 5), 2, 300, seeded()), uniform_stream(1000, 4.0)
    absorb(source, classifier, stream[0])
    # 200 * 50 numbers out of [0, 4]: the percentile 3.6, give or take 5 standard errors of 4 sqrt(0.9 * 0.1 / 1e4).
    assert abs(source.high - 3.6) < 0.06


def test_range_of_noise_is_set_by_the_first_experience(classifier):
    source, stream = Random((2, 5, 5), 2, 300, seeded()), uniform_stream(100, 4.0)
    absorb(source, classifier, stream[0])
    before = source.high.clone()
    absorb(source, classifier, stream[1])
    assert torch.equal(source.high, before)
