"""Bias Correction (BiC).

References:
    Wu et al., Large Scale Incremental Learning, 2019.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay import recipe
from negreplay.learners.distillation import distillation, frozen
from negreplay.learners.learner import Learner, Parts
from negreplay.optimize import Step, optimize
from negreplay.patterns import Batch
from negreplay.replay.exemplars import Exemplars, Kept
from negreplay.streams.selected import Selected
from negreplay.streams.stream import Data, Experience, View


class BiC(Learner):
    """Stage 1 distils; stage 2 learns two numbers for the newest classes, whose logits become alpha z + beta.

    A few patterns of each class, equally many of old ones as of new, are left out of stage 1 and teach stage 2. Those
    of old classes are the last ones of their exemplars. `alpha` and `beta` stand for each class; 1 and 0 for all but
    the newest ones.

    Departure:
        As in the authors' code, the newest classes alone are corrected: what corrected the earlier ones has been
        distilled into their logits.
    """

    alpha: Tensor
    beta: Tensor

    def __init__(self, spec: recipe.BiC, parts: Parts) -> None:
        super().__init__(parts)
        assert isinstance(self.source, Exemplars), "Recipe demands exemplars"
        self.spec, self.exemplars = spec, self.source
        seen = self.classifier.head.seen
        self.register_buffer("alpha", torch.ones(len(seen), device=seen.device))
        self.register_buffer("beta", torch.zeros(len(seen), device=seen.device))

    def learn(self, experience: Experience) -> Iterator[Step]:
        classifier, head, spec = self.classifier, self.classifier.head, self.spec
        teacher, old = frozen(classifier), head.seen.clone()
        alpha, beta = self.alpha.clone(), self.beta.clone()
        memory = self.begin(experience)
        train, validation = self._divide(experience, old.cpu())
        new = int((experience.counts.to(old.device) > 0).logical_and(~old).sum())
        weight = int(old.sum()) / (int(old.sum()) + new) if old.any() else 0.0

        def loss(batch: Batch) -> Tensor:
            """Equations 1 to 3: weight times the distillation, the rest the classification."""
            latents = classifier.latents(batch)
            logits = classifier.decide(latents)
            classified = head.losses(logits, batch.labels, batch.replayed).mean()
            if not old.any():
                return classified
            with torch.no_grad():
                answers = alpha * teacher.decide(latents) + beta
            return weight * distillation(logits, answers, old, spec.temperature).mean() + (1 - weight) * classified

        kept, rest = train
        yield from self.fit(loss, rest, Kept(kept), self.phase, experience.index)
        self.alpha.fill_(1.0)
        self.beta.fill_(0.0)
        if old.any() and validation:
            yield from self._correct(validation, (experience.counts.to(old.device) > 0) & ~old)
        yield from self.end(experience, memory)

    def _divide(self, experience: Experience, old: Bool[Tensor, " classes"]) -> tuple[tuple[Data, View], list[View]]:
        """What stage 1 learns from (exemplars and the experience's own data), and what stage 2 does."""
        kept, data = self.exemplars.data(), experience.data
        if not old.any():
            return (kept, data), []
        rows, held = torch.arange(len(kept.labels)), torch.zeros(len(kept.labels), dtype=torch.bool)
        fewest = len(kept.labels)
        for c in kept.labels.unique():
            mine = rows[kept.labels == c]
            last = mine[len(mine) - max(1, round(self.spec.validation * len(mine))) :]
            held[last] = len(mine) > 1
            fewest = min(fewest, len(last))
        shuffled = data.rows[torch.randperm(len(data), generator=self.rng)]
        labels = data.data.labels[shuffled]
        out = torch.zeros(len(shuffled), dtype=torch.bool)
        for c in labels.unique():
            mine = (labels == c).nonzero().flatten()
            out[mine[:fewest]] = len(mine) > fewest
        still = self.exemplars.data(augmented=False)
        validation = [View(still, rows[held]), View(data.data, shuffled[out])]
        trained = Selected(kept, rows[~held], kept.labels[~held], kept.names, kept.fingerprint)
        return (trained, View(data.data, shuffled[~out])), [view for view in validation if len(view)]

    def _correct(self, validation: list[View], new: Bool[Tensor, " classes"]) -> Iterator[Step]:
        """Stage 2 (Equation 4): cross-entropy with alpha z + beta for the new classes, the network standing still."""
        head = self.classifier.head
        known = head.seen | new
        found = [self._raw(view) for view in validation]
        logits, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        alpha, beta = nn.Parameter(torch.ones((), device=logits.device)), nn.Parameter(logits.new_zeros(()))

        def loss(batch: Batch) -> Tensor:
            corrected = torch.where(new, alpha * batch.current + beta, batch.current)
            return F.cross_entropy(corrected.masked_fill(~known, -torch.inf), batch.labels)

        replayed = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        batches = (Batch(logits, True, logits[:0], labels, replayed) for _ in range(self.spec.epochs))
        optimizer = torch.optim.Adam((alpha, beta), lr=self.spec.lr)
        yield from optimize("classifier", loss, batches, self.spec.epochs, optimizer, self.device)
        self.alpha[new], self.beta[new] = alpha.detach(), beta.detach()

    @torch.no_grad()
    def _raw(self, view: View) -> tuple[Tensor, Tensor]:
        """The logits of patterns, uncorrected, and their labels."""
        self.classifier.eval()
        found = [self.classifier.head(self.features(x, view.encoded)) for x, _ in view.batches(250)]
        return torch.cat(found).float(), view.labels.to(self.alpha.device)

    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        scores = self.logits(inputs, encoded)
        return torch.where(self.classifier.head.seen, self.alpha * scores + self.beta, scores)
