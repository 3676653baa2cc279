"""IL2M: class incremental learning with dual memory.

References:
    Belouadah & Popescu, IL2M: Class Incremental Learning With Dual Memory, 2019.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from negreplay.data.data import View
from negreplay.learners.learner import Learner, Parts
from negreplay.optimize import Step
from negreplay.patterns import Batch
from negreplay.recipe import IL2MRecipe
from negreplay.replay.exemplars import AT_ONCE
from negreplay.streams.stream import Experience


class IL2M(Learner[IL2MRecipe]):
    """Fine tuning with exemplars; a second memory keeps the scores that each class had when it was new.

    `initial` is the mean score of each class on its own patterns after the experience in which it came, and
    `confidence` is the mean of the highest scores at that time. `present` is the mean score of each class on its
    exemplars now, and `now` is the confidence of the newest experience. Where a current class scores highest, the score
    of each old class c is multiplied by initial_c / present_c * now / confidence_c. Scores are logits, as in the
    authors' code.
    """

    initial: Tensor
    confidence: Tensor
    present: Tensor
    now: Tensor
    current: Tensor

    def __init__(self, spec: IL2MRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        seen = self.classifier.head.seen
        for name in ("initial", "confidence", "present"):
            self.register_buffer(name, torch.ones(len(seen), device=seen.device))
        self.register_buffer("now", torch.ones((), device=seen.device))
        self.register_buffer("current", torch.zeros_like(seen))

    def learn(self, experience: Experience) -> Iterator[Step]:
        head = self.classifier.head

        def loss(batch: Batch) -> Tensor:
            return head.losses(self.classifier(batch), batch.labels, batch.replayed).mean()

        old, memory = head.seen.clone(), self.begin(experience)
        yield from self.fit(loss, self.mixture(experience.data, memory), self.phase, experience.index)
        yield from self.end(experience, memory)
        self._remember(experience, head.seen & ~old)

    def _remember(self, experience: Experience, new: Tensor) -> None:
        means, highest = self._scores(experience.data)
        exemplars = self.exemplars.data(augmented=False)
        self.present.copy_(self._scores(View(exemplars, torch.arange(len(exemplars.labels))))[0])
        self.initial[new] = means[new]
        self.confidence[new] = highest
        self.now.copy_(highest)
        self.current.copy_(experience.counts.to(self.current.device) > 0)

    def _scores(self, data: View) -> tuple[Tensor, Tensor]:
        """The mean score of each class on its own patterns (1 where it has none), and the mean highest score."""
        total, highest = torch.zeros_like(self.present), torch.zeros_like(self.now)
        for x, y in data.batches(AT_ONCE):
            logits, labels = self.logits(x, data.encoded), y.to(self.present.device)
            total.index_add_(0, labels, logits.gather(1, labels.unsqueeze(1)).squeeze(1))
            highest += logits.max(dim=1).values.sum()
        counts = torch.bincount(data.labels, minlength=len(total)).to(total)
        return torch.where(counts > 0, total / counts.clamp(min=1), 1.0), highest / len(data)

    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        scores = self.logits(inputs, encoded)
        factor = self.initial / self.present * self.now / self.confidence
        rectified = torch.where(self.current | ~self.classifier.head.seen, scores, scores * factor)
        return torch.where(self.current[scores.argmax(dim=1)].unsqueeze(1), rectified, scores)
