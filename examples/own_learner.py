"""A learner of one's own: after each experience its features are averaged with those from before it."""

import torch

import negreplay as nr


class Averaging(nr.Learner):
    """Fine tuning that stays near what it was."""

    def learn(self, experience):
        before = [weight.detach().clone() for weight in self.classifier.back.parameters()]
        memory = self.begin(experience)

        def loss(batch):
            logits = self.classifier(batch)
            return self.classifier.head.losses(logits, batch.labels, batch.replayed).mean()

        yield from self.fit(loss, self.mixture(experience.data, memory), self.phase, experience.index)
        for weight, old in zip(self.classifier.back.parameters(), before, strict=True):
            weight.data.lerp_(old, experience.index / (experience.index + 1))
        yield from self.end(experience, memory)


study = nr.study("digits")
stream, _ = nr.build(study, "no-replay")
learner = nr.build_learner(study.recipes[0], torch.zeros(1, 8, 8), classes=10, system=Averaging)
for experience in stream:
    list(learner.learn(experience))
    print(experience.index, f"{nr.evaluate(learner, stream, experience.index).growing:.3f}")
