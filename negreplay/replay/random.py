"""Random data: noise in the range of real latents (NR-RD, Section 4.4)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Memory, Patterns, nothing
from negreplay.replay.source import ReplaySource
from negreplay.streams.stream import Experience

SAMPLE = 200
"""Patterns of the first experience whose activations set the range."""


class Random(ReplaySource):
    """Latents uniform in [0, 90th percentile of real activations], each with a random class among those seen."""

    seen: Tensor
    high: Tensor

    def __init__(self, latent: tuple[int, ...], classes: int, memory: int, rng: torch.Generator) -> None:
        super().__init__()
        self.latent, self.memory, self.rng = latent, memory, rng
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("high", torch.tensor(0.0))

    def recall(self) -> Patterns:
        classes = self.seen.nonzero().flatten()
        if len(classes) == 0:
            return nothing()
        noise = torch.rand(self.memory, *self.latent, generator=self.rng) * self.high
        drawn = torch.randint(len(classes), (self.memory,), generator=self.rng)
        return Patterns(noise, classes[drawn])

    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        if not self.seen.any():
            data = experience.data
            chosen = data.rows[torch.randperm(len(data), generator=self.rng)[:SAMPLE]]
            latents = classifier.encode(data.data.read(chosen), data.encoded).cpu()
            # torch.quantile refuses more than 16 million elements, which 512 x 8 x 8 latents soon are.
            rank = max(1, round(0.9 * latents.numel()))
            self.high.copy_(latents.flatten().kthvalue(rank).values)
        self.seen |= experience.counts > 0
        yield from ()
