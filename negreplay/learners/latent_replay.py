"""Generative negative replay (Algorithm 2), and with other choices AR1, AR1free, CWR* and the naive arms.

head    penalty     source                       is
CWR*    SI          none                         AR1 (the paper's "no replay")
CWR*    none        any                          AR1free; features blocked after experience 1: CWR*
plain   none        any                          naive (Appendix C)
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from negreplay.learners.learner import Learner
from negreplay.learners.penalties import Penalty
from negreplay.nets.classifier import Classifier
from negreplay.nets.renorm import begin
from negreplay.optimize import Device, Step, blocked, decaying, optimize, sgd
from negreplay.patterns import Batch, Patterns, mix, steps_per_epoch
from negreplay.recipe import Front, Mode, Recipe
from negreplay.replay.source import ReplaySource
from negreplay.streams.stream import Experience


class LatentReplay(Learner):
    """A classifier that learns with a source of replay. `learned` counts the experiences so far."""

    learned: Tensor

    def __init__(
        self,
        classifier: Classifier,
        source: ReplaySource,
        penalty: Penalty,
        recipe: Recipe,
        device: Device,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.classifier, self.source, self.penalty = classifier, source, penalty
        self.recipe, self.device, self.rng = recipe, device, rng
        self.register_buffer("learned", torch.tensor(0))

    def learn(self, experience: Experience) -> Iterator[Step]:
        """One turn of Algorithm 2's loop; the numbers are its lines."""
        memory = self.source.recall()  # 6-12
        counts = experience.counts.to(self.device.name)
        replayed = memory.counts(len(counts)).to(self.device.name)
        head = self.classifier.head
        head.reset(counts, replayed)  # 14
        with blocked(self.source):  # 15-16
            yield from self.train_classifier(experience, memory)  # 17
        head.consolidate(counts, replayed)  # 18
        if self.recipe.classifier.front is Front.FIRST:
            self.classifier.block_front()
        with blocked(self.classifier):  # 20-21
            yield from self.source.absorb(self.classifier, experience, memory)  # 22
        self.learned += 1

    def train_classifier(self, experience: Experience, memory: Patterns) -> Iterator[Step]:
        """OPTIMIZE of line 17 with Equation 4: current patterns and memory, in one loss."""
        recipe, first = self.recipe, not self.learned
        phase = recipe.first if first else recipe.following
        minibatch, replay = recipe.learner.minibatch, recipe.replay.per_minibatch
        stops = recipe.replay.mode is Mode.NEGATIVE and not recipe.replay.through_features

        def loss(batch: Batch) -> Tensor:
            logits = self.classifier(batch, stop=batch.replayed if stops else None)
            return self.classifier.head.loss(logits, batch.labels, batch.replayed) + self.penalty.loss()

        self.classifier.train()
        begin(self.classifier, first)
        self.penalty.start()
        epochs = (mix(experience.data, memory, minibatch, replay, self.rng) for _ in range(phase.epochs))
        batches = (batch for epoch in epochs for batch in epoch)
        steps = steps_per_epoch(len(experience.data), len(memory.y), minibatch, replay)
        features = (self.classifier.front, self.classifier.back)
        with blocked(*features if phase.lr_features == 0 else ()):
            optimizer = sgd(self.classifier, self.classifier.head, phase, recipe.learner, experience.index)
            schedule = decaying(optimizer, phase, steps)
            for step in optimize("classifier", loss, batches, phase.epochs * steps, optimizer, self.device, schedule):
                self.penalty.integrate()
                yield step
        self.penalty.finish()

    @torch.no_grad()
    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        self.classifier.eval()
        with self.device.computing():
            logits = self.classifier.decide(self.classifier.encode(inputs, encoded))
        return logits.float().masked_fill(~self.classifier.head.seen, -torch.inf)
