"""Generative negative replay (Algorithm 2), and with other choices AR1, AR1free, CWR* and the naive arms.

head    penalty     source                       is
CWR*    SI          none                         AR1 (the paper's "no replay")
CWR*    none        any                          AR1free; features blocked after experience 1: CWR*
plain   none        any                          naive (Appendix C)
"""

from collections.abc import Iterator

from torch import Tensor

from negreplay.learners.learner import Learner, Parts, weighted
from negreplay.optimize import Step, blocked
from negreplay.patterns import Batch, Memory, counts_of
from negreplay.recipe import Front, LatentReplayRecipe, Mode, Weighting
from negreplay.streams.stream import Experience


class LatentReplay(Learner[LatentReplayRecipe]):
    """A classifier that learns with a source of replay, whose patterns join its data at the replay layer."""

    def __init__(self, spec: LatentReplayRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.penalty = parts.penalty

    def learn(self, experience: Experience) -> Iterator[Step]:
        """One turn of Algorithm 2's loop; the numbers are its lines."""
        memory = self.source.recall()  # 6-12
        counts, replayed = experience.counts, counts_of(memory, len(experience.counts))
        head = self.classifier.head
        head.begin(counts, replayed)  # 14
        with blocked(self.source):  # 15-16
            yield from self.train_classifier(experience, memory)  # 17
        head.end(counts, replayed)  # 18
        if self.recipe.classifier.front is Front.FIRST:
            self.classifier.block_front()
        with blocked(self.classifier):  # 20-21
            yield from self.source.absorb(self.classifier, experience, memory)  # 22

    def train_classifier(self, experience: Experience, memory: Memory) -> Iterator[Step]:
        """OPTIMIZE of line 17 with Equation 4: current patterns and memory, in one loss."""
        replay = self.recipe.replay
        stops = replay.mode is Mode.NEGATIVE and not replay.through_features
        share = 1 - 1 / (experience.index + 1) if replay.weighting is Weighting.EXPERIENCES else None

        def loss(batch: Batch) -> Tensor:
            logits = self.classifier(batch, stop=batch.replayed if stops else None)
            losses = self.classifier.head.losses(logits, batch.labels, batch.replayed)
            return weighted(losses, batch, share) + self.penalty.loss()

        self.penalty.start()
        for step in self.fit(loss, self.mixture(experience.data, memory), self.phase, experience.index):
            self.penalty.integrate()
            yield step
        self.penalty.finish(self.classifier, experience.data)
