"""End-to-End Incremental Learning (EEIL).

References:
    Castro et al., End-to-End Incremental Learning, 2018.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool
from torch import Tensor

from negreplay.data.data import View
from negreplay.learners.distillation import distillation, frozen, teacher_logits
from negreplay.learners.learner import Learner, Parts
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.optimize import Step
from negreplay.patterns import Batch, Memory, counts_of
from negreplay.recipe import EEILRecipe
from negreplay.replay.exemplars import herding
from negreplay.streams.stream import Experience

GAMMA = 0.55
"""The exponent with which the noise of gradients falls from epoch to epoch."""


class EEIL(Learner[EEILRecipe]):
    """Stage 1 learns data and exemplars with distillation; stage 2 goes on with equally many patterns of each class.

    The outputs of each experience are distilled by themselves. The teacher of stage 2 is the classifier at the end of
    stage 1, and it teaches the newest outputs too.
    """

    steps: Tensor

    def __init__(self, spec: EEILRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.register_buffer("steps", torch.tensor(0), persistent=False)

    def learn(self, experience: Experience) -> Iterator[Step]:
        head = self.classifier.head
        assert isinstance(head, PlainHead), "EEIL is built with a plain head"
        old, memory = head.seen.clone(), self.begin(experience)
        loss = self._loss(frozen(self.classifier), head.by_arrival(old))
        mixture = self.mixture(experience.data, memory)
        self.steps.zero_()
        with self._noise(mixture.steps):
            for step in self.fit(loss, mixture, self.phase, experience.index):
                self.steps.fill_(step.done)
                yield step
        if old.any():
            loss = self._loss(frozen(self.classifier), head.by_arrival(old | head.current))
            balanced = self._balanced(experience, memory)
            yield from self.fit(loss, self.mixture(balanced, memory), self.spec.balanced, experience.index)
        yield from self.end(experience, memory)

    def _loss(self, teacher: Classifier, groups: list[Bool[Tensor, " classes"]]) -> Callable[[Batch], Tensor]:
        """Equation 1: the classification and, for the outputs of each experience, the distillation."""
        classifier, temperature = self.classifier, self.spec.temperature

        def loss(batch: Batch) -> Tensor:
            latents = classifier.latents(batch)
            logits = classifier.decide(latents)
            classified = classifier.head.losses(logits, batch.labels, batch.replayed).mean()
            if not groups:
                return classified
            answers = teacher_logits(teacher, latents)
            return classified + sum(distillation(logits, answers, g, temperature).mean() for g in groups)

        return loss

    def _balanced(self, experience: Experience, memory: Memory) -> View:
        """As many patterns of each class of the experience as a class has exemplars, chosen by herding."""
        counts = counts_of(memory, len(experience.counts))
        share = int(counts[counts > 0].max())
        data, rows = experience.data, []
        for c in experience.classes:
            patterns = data.of(c)
            rows.append(patterns.rows[herding(self.features_of(patterns).cpu(), share)])
        return View(data.data, torch.cat(rows))

    @contextmanager
    def _noise(self, epoch: int) -> Iterator[None]:
        """Adds noise to the gradients of the mean loss, as long as the context lasts.

        Its standard deviation is eta / (1 + epochs done)^gamma / minibatch. `epoch` is the number of steps in an epoch.
        """
        eta, minibatch = self.spec.noise, self.recipe.optimizer.minibatch

        def noisy(gradient: Tensor) -> Tensor:
            deviation = eta / (1 + int(self.steps) // epoch) ** GAMMA / minibatch
            return gradient + deviation * torch.randn(gradient.shape, generator=self.rng).to(gradient)

        handles = [p.register_hook(noisy) for p in self.classifier.parameters() if p.requires_grad and eta]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
