"""End-to-End Incremental Learning (EEIL).

References:
    Castro et al., End-to-End Incremental Learning, 2018.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from negreplay import recipe
from negreplay.learners.distillation import distillation, frozen, said
from negreplay.learners.learner import Learner, Parts
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.optimize import Step
from negreplay.patterns import Batch, Memory, steps_per_epoch
from negreplay.replay.exemplars import AT_ONCE, Exemplars, herding
from negreplay.streams.stream import Experience, View

GAMMA = 0.55
"""How fast the noise of gradients falls."""


class EEIL(Learner):
    """Stage 1 learns data and exemplars with distillation; stage 2 goes on with equally many patterns of each class.

    The outputs are distilled experience by experience. Stage 2 has the end of stage 1 for its teacher, of the newest
    outputs too.
    """

    def __init__(self, spec: recipe.EEIL, parts: Parts) -> None:
        super().__init__(parts)
        assert isinstance(self.source, Exemplars), "Recipe demands exemplars"
        self.spec = spec

    def learn(self, experience: Experience) -> Iterator[Step]:
        head = self.classifier.head
        assert isinstance(head, PlainHead), "EEIL is built with a plain head"
        old, memory = head.seen.clone(), self.begin(experience)
        loss = self._loss(frozen(self.classifier), head.by_arrival(old))
        with self._noise(experience.data, memory):
            yield from self.fit(loss, experience.data, memory, self.phase, experience.index)
        if old.any():
            loss = self._loss(frozen(self.classifier), head.by_arrival(old | head.current))
            balanced = self._balanced(experience, memory)
            yield from self.fit(loss, balanced, memory, self.spec.balanced, experience.index)
        yield from self.end(experience, memory)

    def _loss(self, teacher: Classifier, groups: list[Bool[Tensor, " classes"]]) -> Callable[[Batch], Tensor]:
        """Equation 1: the classification and, for the outputs of each experience, the distillation."""
        classifier, temperature = self.classifier, self.spec.temperature

        def loss(batch: Batch) -> Tensor:
            latents = classifier.latents(batch)
            logits = classifier.decide(latents)
            classified = classifier.head.losses(logits, batch.labels, batch.replayed).mean()
            answers = said(teacher, latents)
            return classified + sum(distillation(logits, answers, g, temperature).mean() for g in groups)

        return loss

    def _balanced(self, experience: Experience, memory: Memory) -> View:
        """Of each class of the experience as many patterns, chosen by herding, as there are exemplars of a class."""
        counts = memory.counts(len(experience.counts))
        share = int(counts[counts > 0].max())
        data, found = experience.data, []
        for c in experience.classes:
            rows = data.rows[data.labels == c]
            features = [self.features(data.data.read(some), data.encoded).cpu() for some in rows.split(AT_ONCE)]
            found.append(rows[herding(torch.cat(features), share)])
        return View(data.data, torch.cat(found))

    @contextmanager
    def _noise(self, data: View, memory: Memory) -> Iterator[None]:
        """Within, gradients of the mean loss have noise of standard deviation eta / (1 + epoch)^gamma / minibatch."""
        recipe = self.recipe
        minibatch, eta, calls = recipe.optimizer.minibatch, self.spec.noise, 0
        learning = [p for p in self.classifier.parameters() if p.requires_grad]
        epoch = len(learning) * steps_per_epoch(len(data), len(memory.y), minibatch, recipe.replay.per_minibatch)

        def noisy(gradient: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
            nonlocal calls
            deviation = eta / (1 + calls // epoch) ** GAMMA / minibatch
            calls += 1
            return gradient + deviation * torch.randn(gradient.shape, generator=self.rng).to(gradient)

        handles = [p.register_hook(noisy) for p in learning] if eta else []
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        return self.logits(inputs, encoded)
