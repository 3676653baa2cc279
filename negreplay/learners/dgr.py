"""Deep Generative Replay (DGR): a scholar is a generator and a solver, each taught by the one before.

References:
    Shin et al., Continual Learning with Deep Generative Replay, 2017.
    van de Ven & Tolias, Generative replay with feedback connections, 2018 (with distillation).
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from negreplay.learners.distillation import distillation, frozen, teacher_logits
from negreplay.learners.learner import Learner, Parts, weighted
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.nets.vae import VAE
from negreplay.optimize import Moments, Step, descend
from negreplay.patterns import Batch, Mixture, Patterns, Sweep, join, nothing
from negreplay.recipe import DGRRecipe, Outputs
from negreplay.streams.stream import Experience


class DGR(Learner[DGRRecipe]):
    """The old generator makes patterns, which the old solver labels.

    In the N-th experience data weigh 1/N and generated patterns 1 - 1/N. The generator learns after the solver, for as
    many minibatches, at the rate of the head. Neither is ever reset. With `Outputs.OWN` generated patterns are divided
    evenly among the past experiences, and are labelled and learned as if they came from them.
    """

    def __init__(self, spec: DGRRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.generator = VAE(parts.latent, spec.width, spec.latent_dim).to(self.device.name)
        self.made = Moments(self.generator, self.recipe.optimizer.kind) if self.moments else None

    def learn(self, experience: Experience) -> Iterator[Step]:
        head, share = self.classifier.head, 1 / (experience.index + 1)
        assert isinstance(head, PlainHead), "DGR is built with a plain head"
        solver, old = frozen(self.classifier), head.seen.clone()
        groups = head.by_arrival(old) if self._own_outputs else [old]
        memory = self.begin(experience)

        def solver_loss(batch: Batch) -> Tensor:
            logits = self.classifier(batch)
            real = ~batch.replayed
            new = head.losses(logits[real], batch.labels[real], batch.replayed[real]).mean()
            if not len(batch.replay):
                return new
            parts = zip(logits[~real].chunk(len(groups)), batch.replay.chunk(len(groups)), groups, strict=True)
            replayed = sum(self._replay_loss(student, solver, images, group) for student, images, group in parts)
            return share * new + (1 - share) * replayed / len(groups)

        def vae_loss(batch: Batch) -> Tensor:
            return weighted(self.generator.loss(self.classifier.latents(batch), self.rng), batch, 1 - share)

        teacher = copy.deepcopy(self.generator).eval().requires_grad_(False) if old.any() else None
        count = self.spec.replayed if teacher else 0
        divisible = math.ceil(count / max(1, len(groups))) * len(groups)
        # Generated patterns belong to groups by their place in a minibatch, so each rank computes all of it.
        current = Mixture(experience.data, nothing(), self.recipe.optimizer.minibatch, shared=False)
        yield from self.fit(solver_loss, Dreamt(current, teacher, divisible, self.rng), self.phase, experience.index)
        solver_descent = self.descent(self.phase, experience.index, current.steps)
        _, (_, rate) = solver_descent.groups
        learning = ((list(self.generator.parameters()), rate),)
        descent = replace(solver_descent, part="generator", groups=learning, moments=self.made)
        self.generator.train()
        batches = Dreamt(current, teacher, count, self.rng)
        yield from descend(descent, vae_loss, batches, self.device, self.rng)
        yield from self.end(experience, memory)

    @property
    def _own_outputs(self) -> bool:
        return self.spec.outputs is Outputs.OWN

    def _replay_loss(
        self, logits: Tensor, solver: Classifier, images: Tensor, group: Bool[Tensor, " classes"]
    ) -> Tensor:
        """The loss of generated images, each of which the solver labels with a class of `group`."""
        answers = teacher_logits(solver, images)
        outputs = group if self._own_outputs else self.classifier.head.open
        if self.spec.distil:
            spec = self.spec
            return distillation(logits, answers, group, spec.temperature, outputs, spec.averaged).mean()
        labels = answers.masked_fill(~group, -torch.inf).argmax(dim=1)
        return F.cross_entropy(logits.masked_fill(~outputs, -torch.inf), labels)


@dataclass(frozen=True)
class Dreamt:
    """Minibatches of current images, each with `count` more that the teacher makes afresh and that are labelled 0."""

    current: Mixture
    teacher: VAE | None
    count: int
    rng: torch.Generator

    @property
    def steps(self) -> int:
        return self.current.steps

    def draw(self, rng: torch.Generator) -> Sweep:
        return self.current.draw(rng)

    def read(self, sweep: Sweep, start: int = 0) -> Iterator[Batch]:
        for batch in self.current.read(sweep, start):
            images = self.teacher.sample(self.count, self.rng) if self.teacher else batch.current[:0]
            replay = Patterns(images, batch.labels.new_zeros(self.count))
            yield join(Patterns(batch.current, batch.labels), batch.encoded, replay)
