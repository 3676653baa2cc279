"""iCaRL: sigmoid outputs that are distilled, and the nearest mean of exemplars.

References:
    Rebuffi et al., iCaRL: Incremental Classifier and Representation Learning, 2017.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from negreplay.data.data import View
from negreplay.learners.distillation import frozen, teacher_logits
from negreplay.learners.learner import Learner, Parts
from negreplay.optimize import Step
from negreplay.patterns import Batch
from negreplay.recipe import ICaRLRecipe
from negreplay.streams.stream import Experience


class ICaRL(Learner[ICaRLRecipe]):
    """Algorithms 1 to 5: the network learns features, by which exemplars are chosen and classes are recognised.

    A class that comes again is taught by the old network's answers and not by its labels, as in Algorithm 3. `means`
    has the mean of the features of each class's exemplars, where features have length 1.
    """

    means: Tensor

    def __init__(self, spec: ICaRLRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        self.register_buffer("means", torch.zeros_like(self.classifier.head.rows))

    def learn(self, experience: Experience) -> Iterator[Step]:
        classifier, head = self.classifier, self.classifier.head
        teacher, old = frozen(classifier), head.seen.clone()

        def loss(batch: Batch) -> Tensor:
            """Algorithm 3: labels teach the new classes, the old network's answers to all data the old ones."""
            latents = classifier.latents(batch)
            logits = classifier.decide(latents)
            targets = F.one_hot(batch.labels, len(old)).to(logits)
            if old.any():
                targets[:, old] = (
                    (teacher_logits(teacher, latents)[:, old] / self.spec.temperature).sigmoid().to(logits)
                )
            outputs = head.open
            each = F.binary_cross_entropy_with_logits(logits[:, outputs], targets[:, outputs], reduction="none")
            return each.sum(dim=1).mean()

        memory = self.begin(experience)
        yield from self.fit(loss, self.mixture(experience.data, memory), self.phase, experience.index)
        yield from self.end(experience, memory)  # Algorithms 4 and 5
        self._find_means()

    @torch.no_grad()
    def _find_means(self) -> None:
        data = self.exemplars.data(augmented=False)
        features = F.normalize(self.features_of(View(data, torch.arange(len(data.labels)))), dim=1)
        labels = data.labels.to(self.means.device)
        for c in labels.unique():
            self.means[c] = features[labels == c].mean(dim=0)

    @torch.no_grad()
    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        """Algorithm 1: the score of a class is minus the squared distance to the mean of its exemplars."""
        features = F.normalize(self.features(inputs, encoded), dim=1)
        scores = -torch.cdist(features, F.normalize(self.means, dim=1)).square()
        return scores.masked_fill(~self.classifier.head.seen, -torch.inf)
