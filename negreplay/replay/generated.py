"""Generated data: a VAE trained from experience to experience on data and on its own memory (PR-GD, NR-GD)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from negreplay.devices import Device
from negreplay.nets.classifier import Classifier
from negreplay.nets.generator import Generator, generator_loss
from negreplay.optimize import Descent, Step, descend, equation_16
from negreplay.patterns import Batch, Memory, Mixture, Patterns, nothing
from negreplay.recipe import GeneratorRecipe, OptimizerRecipe
from negreplay.replay.source import ReplaySource
from negreplay.streams.stream import Experience


class Generated(ReplaySource):
    """A generator learns every experience and makes the patterns that are replayed (Algorithm 2, lines 7 to 11 and 22).

    The generator is never reset; its optimiser is a fresh one in each experience. A generated pattern may have any
    class seen before, including current ones that have come before.
    """

    seen: Tensor

    def __init__(
        self, generator: Generator, memory: int, recipe: GeneratorRecipe, device: Device, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.generator = generator
        self.memory, self.recipe, self.device, self.rng = memory, recipe, device, rng
        self.register_buffer("seen", torch.zeros(generator.classes, dtype=torch.bool))

    @torch.no_grad()
    def recall(self) -> Patterns:
        classes = self.seen.nonzero().flatten()
        if len(classes) == 0:
            return nothing()
        self.generator.eval()
        z = torch.randn(self.memory, self.generator.latent_dim, generator=self.rng)
        labels = classes[torch.randint(len(classes), (self.memory,), generator=self.rng)]
        latents = []
        for code, c in zip(z.split(128), labels.split(128), strict=True):
            latents.append(self.generator.decode(code.to(self.device.name), c.to(self.device.name)).cpu())
        return Patterns(torch.cat(latents), labels)

    def absorb(self, classifier: Classifier, experience: Experience, memory: Memory) -> Iterator[Step]:
        recipe, rng = self.recipe, self.rng

        def loss(batch: Batch) -> Tensor:
            with torch.no_grad():
                latents = classifier.latents(batch)
            reconstruction = self.generator(latents, batch.labels, batch.noise(self.generator.latent_dim, rng))
            logits = classifier.decide(reconstruction.latents) if recipe.eta else None
            return generator_loss(latents, reconstruction, logits, batch.labels, recipe.beta, recipe.eta)

        mixture = Mixture(experience.data, memory, recipe.minibatch, recipe.per_minibatch)
        rate = recipe.lr * equation_16(experience.index, recipe.floor)
        momentum = 0.9 if recipe.optimizer == "adam" else 0.0
        descent = Descent(
            part="generator",
            groups=((list(self.generator.parameters()), rate),),
            optimizer=OptimizerRecipe(recipe.optimizer, recipe.minibatch, momentum, weight_decay=0.0),
            total=self._iterations(mixture.steps),
        )
        self.generator.train()
        yield from descend(descent, loss, mixture, self.device, rng)
        self.seen |= experience.counts > 0

    def _iterations(self, steps: int) -> int:
        """How many minibatches the experience takes, where an epoch has `steps` of them."""
        recipe = self.recipe
        if recipe.epochs is not None:
            return recipe.epochs * steps
        first = not self.seen.any()
        count = recipe.first_iterations if first else recipe.iterations
        assert count is not None, "GeneratorRecipe counts either epochs or iterations"
        return count
