"""Bias Correction (BiC).

References:
    Wu et al., Large Scale Incremental Learning, 2019.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.data.data import Data, View
from negreplay.data.selected import Selected
from negreplay.learners.distillation import distillation, frozen, teacher_logits
from negreplay.learners.learner import Learner, Parts
from negreplay.optimize import Descent, Step, descend
from negreplay.patterns import Batch, Order, Patterns, Sweep, join
from negreplay.recipe import BiCRecipe, OptimizerRecipe
from negreplay.streams.stream import Experience


class BiC(Learner[BiCRecipe]):
    """Stage 1 distils; stage 2 learns two numbers for the newest classes, whose logits become alpha z + beta.

    A few patterns of each class, as many of an old class as of a new one, teach stage 2 and never stage 1. They are the
    first exemplars of their class. `alpha` and `beta` have an element for each class: 1 and 0 for all but the newest.

    Departure:
        The two numbers are learned with Adam, and without a penalty on beta. As in the authors' code, only the newest
        classes are corrected: the corrections of earlier classes have been distilled into their logits.
    """

    alpha: Tensor
    beta: Tensor

    def __init__(self, spec: BiCRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        seen = self.classifier.head.seen
        self.register_buffer("alpha", torch.ones(len(seen), device=seen.device))
        self.register_buffer("beta", torch.zeros(len(seen), device=seen.device))

    def learn(self, experience: Experience) -> Iterator[Step]:
        classifier, head, spec = self.classifier, self.classifier.head, self.spec
        teacher, old = frozen(classifier), head.seen.clone()
        alpha, beta = self.alpha.clone(), self.beta.clone()
        present = experience.counts.to(old.device) > 0
        weight = int(old.sum()) / (int(old.sum()) + int(present.sum()))
        memory = self.begin(experience)
        data, new_validation = self._split_experience(experience)
        exemplars, old_validation = self._split_exemplars()

        def loss(batch: Batch) -> Tensor:
            """Equations 1 to 3: weight times the distillation, the rest the classification."""
            latents = classifier.latents(batch)
            logits = classifier.decide(latents)
            classified = head.losses(logits, batch.labels, batch.replayed).mean()
            if not old.any():
                return classified
            answers = alpha * teacher_logits(teacher, latents) + beta
            return weight * distillation(logits, answers, old, spec.temperature).mean() + (1 - weight) * classified

        yield from self.fit(loss, self.mixture(data, exemplars), self.phase, experience.index)
        self.alpha.fill_(1.0)
        self.beta.fill_(0.0)
        if len(old_validation) and len(new_validation):
            yield from self._correct([old_validation, new_validation], present & ~old)
        seen = replace(experience, data=data, counts=torch.bincount(data.labels, minlength=len(old)))
        yield from self.end(seen, memory)
        for c in new_validation.labels.unique().tolist():
            patterns = new_validation.data.read(new_validation.of(c).rows)
            latents = classifier.encode(patterns, new_validation.encoded).cpu()
            self.exemplars.put_first(c, self.exemplars.packed(latents))

    def _split_experience(self, experience: Experience) -> tuple[View, View]:
        """Divides an experience into what stage 1 learns from and the validation patterns of its new classes.

        There are as many validation patterns of a new class as of an old one (see `_split_exemplars`).
        """
        past, data = self.exemplars.past, experience.data
        number = self._validation_count(self.exemplars.share(past + experience.counts))
        order = torch.randperm(len(data), generator=self.rng)
        labels, validation = data.labels[order], torch.zeros(len(data), dtype=torch.bool)
        for c in experience.classes:
            places = (labels == c).nonzero().flatten()
            if past[c] == 0 and len(places) > number:
                validation[places[:number]] = True
        rows = data.rows[order]
        return View(data.data, rows[~validation]), View(data.data, rows[validation])

    def _split_exemplars(self) -> tuple[Data, View]:
        """Divides the exemplars into those that stage 1 learns from and the first ones of each class."""
        exemplars = self.exemplars.data()
        validation = torch.zeros(len(exemplars.labels), dtype=torch.bool)
        for c in exemplars.labels.unique():
            places = (exemplars.labels == c).nonzero().flatten()
            validation[places[: self._validation_count(len(places))]] = True
        rows = torch.arange(len(validation))
        labels = exemplars.labels[~validation]
        training = Selected(exemplars, rows[~validation], labels, exemplars.names, exemplars.fingerprint)
        return training, View(self.exemplars.data(augmented=False), rows[validation])

    def _validation_count(self, share: int) -> int:
        """How many of a class's exemplars teach stage 2: at least one, unless the class has only one."""
        return min(max(1, round(self.spec.validation * share)), share - 1)

    def _correct(self, validation: list[View], new: Bool[Tensor, " classes"]) -> Iterator[Step]:
        """Stage 2 (Equation 4): cross-entropy with alpha z + beta for the new classes; the network stays."""
        head = self.classifier.head
        known = head.seen | new
        parts = [self._uncorrected(view) for view in validation]
        logits, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        alpha, beta = nn.Parameter(torch.ones((), device=logits.device)), nn.Parameter(logits.new_zeros(()))

        def loss(batch: Batch) -> Tensor:
            corrected = torch.where(new, alpha * batch.current + beta, batch.current)
            return F.cross_entropy(corrected.masked_fill(~known, -torch.inf), batch.labels)

        optimizer = OptimizerRecipe("adam", weight_decay=0.0)
        descent = Descent("classifier", (((alpha, beta), self.spec.lr),), optimizer, self.spec.epochs)
        yield from descend(descent, loss, _Whole(Patterns(logits, labels)), self.device, self.rng)
        self.alpha[new], self.beta[new] = alpha.detach(), beta.detach()

    @torch.no_grad()
    def _uncorrected(self, view: View) -> tuple[Tensor, Tensor]:
        """The uncorrected logits of patterns, and their labels."""
        return self.classifier.head(self.features_of(view)), view.labels.to(self.alpha.device)

    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        scores = self.logits(inputs, encoded)
        return torch.where(self.classifier.head.seen, self.alpha * scores + self.beta, scores)


class _Whole(NamedTuple):
    """Epochs of one minibatch that is always the same."""

    patterns: Patterns

    @property
    def steps(self) -> int:
        return 1

    def draw(self, rng: torch.Generator) -> Sweep:
        every = Order(torch.arange(len(self.patterns.y)), None)
        return Sweep(every, Order(every.rows[:0], None))

    def read(self, sweep: Sweep, start: int = 0) -> Iterator[Batch]:
        x, y = self.patterns
        yield join(self.patterns, True, Patterns(x[:0], y[:0]))
