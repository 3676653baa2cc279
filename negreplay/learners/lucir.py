"""Learning a Unified Classifier Incrementally via Rebalancing (LUCIR).

References:
    Hou et al., Learning a Unified Classifier Incrementally via Rebalancing, 2019.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from negreplay.learners.distillation import frozen
from negreplay.learners.learner import Learner
from negreplay.nets.cosine import CosineHead
from negreplay.optimize import Step
from negreplay.patterns import Batch
from negreplay.ranks import present
from negreplay.recipe import LUCIRRecipe
from negreplay.streams.stream import Experience


class LUCIR(Learner[LUCIRRecipe]):
    """A cosine head, features that keep their direction, and old classes held apart from new ones.

    Residual networks are built without their last ReLU for it (`negreplay.builders`); other networks keep theirs.

    Departure:
        The less-forget constraint weighs strength * sqrt(old / new classes), as in the authors' code; the paper prints
        the ratio the other way round. There is no class-balanced fine-tuning at the end, which the authors leave
        optional.
    """

    def learn(self, experience: Experience) -> Iterator[Step]:
        classifier, head, spec = self.classifier, self.classifier.head, self.spec
        assert isinstance(head, CosineHead), "LUCIR is built with a cosine head"
        teacher, old = frozen(classifier), head.seen.clone()
        new = (experience.counts.to(old.device) > 0) & ~old
        if old.any():
            self._imprint(experience, head, old)
        ratio = int(old.sum()) / max(1, int(new.sum()))

        def loss(batch: Batch) -> Tensor:
            latents = classifier.latents(batch)
            features = classifier.features(latents)
            classified = head.losses(head(features), batch.labels, batch.replayed).mean()
            if not old.any():
                return classified
            with torch.no_grad():
                before = teacher.features(latents)
            forgotten = (1 - F.cosine_similarity(features, before, dim=1)).mean()  # Equation 6
            ranked = self._ranking(head.cosines(features), batch, old, new)
            return classified + spec.strength * ratio**0.5 * forgotten + ranked  # Equation 9

        memory = self.begin(experience)
        yield from self.fit(loss, self.mixture(experience.data, memory), self.phase, experience.index)
        yield from self.end(experience, memory)

    def _ranking(self, cosines: Tensor, batch: Batch, old: Tensor, new: Tensor) -> Tensor:
        """Equation 8: for a pattern of an old class, its class should be ahead of the nearest new ones by a margin."""
        rehearsed = old[batch.labels]
        count = min(self.spec.negatives, int(new.sum()))
        if present().total(int(rehearsed.sum())) == 0 or count == 0:
            return cosines.new_zeros(())
        true = cosines[rehearsed].gather(1, batch.labels[rehearsed].unsqueeze(1))
        nearest = cosines[rehearsed][:, new].topk(count, dim=1).values
        return batch.mean((self.spec.margin - true + nearest).clamp(min=0))

    @torch.no_grad()
    def _imprint(self, experience: Experience, head: CosineHead, old: Tensor) -> None:
        """A new row begins as the mean direction of its class's features, as long as old rows are on average."""
        length = head.rows[old].norm(dim=1).mean()
        for c in experience.classes:
            if not old[c]:
                features = self.features_of(experience.data.of(c))
                head.weight[c] = F.normalize(F.normalize(features, dim=1).mean(dim=0), dim=0) * length
