"""Learning without Forgetting: the classifier keeps the answers that it gave to the new patterns before.

References:
    Li & Hoiem, Learning without Forgetting, 2016.
"""

from collections.abc import Iterator

from torch import Tensor

from negreplay.learners.distillation import distillation, frozen, teacher_logits
from negreplay.learners.learner import Learner
from negreplay.nets.heads import PlainHead
from negreplay.optimize import Step
from negreplay.patterns import Batch
from negreplay.recipe import LwFRecipe, Outputs, Weighting
from negreplay.streams.stream import Experience


class LwF(Learner[LwFRecipe]):
    """The loss of the new labels plus strength times that of the old classifier's answers, at temperature T.

    With exemplars both losses are taken over data and exemplars alike (Masana et al., 2020).

    Departure:
        There is no warm-up, in which the new outputs alone would learn first; the paper finds it not crucial.
    """

    def learn(self, experience: Experience) -> Iterator[Step]:
        classifier, head, spec = self.classifier, self.classifier.head, self.spec
        assert isinstance(head, PlainHead), "LwF is built with a plain head"
        teacher, old = frozen(classifier), head.seen.clone()
        groups = head.by_arrival(old) if spec.outputs is Outputs.OWN or not old.any() else [old]
        new_weight, old_weight = 1.0, spec.strength
        if spec.weighting is Weighting.EXPERIENCES:
            new_weight = 1 / (experience.index + 1)
            old_weight = spec.strength * (1 - 1 / (experience.index + 1))
            old_weight /= max(1, len(groups))

        def loss(batch: Batch) -> Tensor:
            latents = classifier.latents(batch)
            logits = classifier.decide(latents)
            total = new_weight * head.losses(logits, batch.labels, batch.replayed).mean()
            if groups:
                answers = teacher_logits(teacher, latents)
                competing = head.open if spec.against_new else None
                distilled = sum(
                    distillation(logits, answers, g, spec.temperature, competing, spec.averaged).mean() for g in groups
                )
                total = total + old_weight * distilled
            return total

        memory = self.begin(experience)
        yield from self.fit(loss, self.mixture(experience.data, memory), self.phase, experience.index)
        yield from self.end(experience, memory)
