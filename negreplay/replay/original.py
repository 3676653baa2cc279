"""Original data: a fixed-size memory of real latents (PR-OD, NR-OD)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Memory, Patterns
from negreplay.replay.source import ReplaySource
from negreplay.streams.stream import Experience


class Original(ReplaySource):
    """After the i-th experience, h = R / i of its latents, chosen at random, take random places of the memory.

    Free places are taken first, so a memory larger than the data never fills.

    References:
        Pellegrini et al., Latent Replay for Real-Time Continual Learning, 2020, Algorithm 1.
    """

    x: Tensor
    y: Tensor
    filled: Tensor
    absorbed: Tensor

    def __init__(self, latent: tuple[int, ...], memory: int, rng: torch.Generator) -> None:
        super().__init__()
        self.rng = rng
        self.register_buffer("x", torch.zeros(memory, *latent))
        self.register_buffer("y", torch.zeros(memory, dtype=torch.long))
        self.register_buffer("filled", torch.tensor(0))
        self.register_buffer("absorbed", torch.tensor(0))

    def recall(self) -> Patterns:
        filled = int(self.filled)
        return Patterns(self.x[:filled], self.y[:filled])

    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        self.absorbed += 1
        data, size = experience.data, len(self.y)
        inserted = min(self._share(size), len(data))
        chosen = data.rows[torch.randperm(len(data), generator=self.rng)[:inserted]]
        free = torch.arange(int(self.filled), size)[:inserted]
        taken = torch.randperm(int(self.filled), generator=self.rng)[: inserted - len(free)]
        for places, rows in zip(torch.cat([free, taken]).split(128), chosen.split(128), strict=True):
            patterns = data.data.read(rows)
            self.x[places] = classifier.encode(patterns, data.encoded).cpu()
            self.y[places] = data.data.labels[rows]
        self.filled += len(free)
        yield from ()

    def _share(self, size: int) -> int:
        """R / i, rounded up or down at random so that no experience is left out, however many there are.

        Departure:
            The released code rounds down, which inserts nothing at all after R experiences.
        """
        whole, rest = divmod(size, int(self.absorbed))
        return whole + int(torch.rand((), generator=self.rng) * int(self.absorbed) < rest)
