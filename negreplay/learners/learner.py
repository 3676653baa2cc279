"""What every way of learning offers, and the one way to train a classifier that all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.data.data import View
from negreplay.devices import Device
from negreplay.learners.penalties import Penalty
from negreplay.nets.classifier import Classifier
from negreplay.nets.renorm import begin_renorm
from negreplay.optimize import Batches, Descent, Moments, Step, blocked, descend, descent_of
from negreplay.patterns import Batch, Loader, Memory, Mixture, Order, counts_of
from negreplay.ranks import present
from negreplay.recipe import PhaseRecipe, Recipe
from negreplay.recipe.systems.system import SystemRecipe
from negreplay.replay.exemplars import AT_ONCE, Exemplars
from negreplay.replay.source import ReplaySource
from negreplay.streams.stream import Experience


class Parts(NamedTuple):
    """What every learner is made of.

    Attributes:
        classifier: the network that learns.
        source: where replayed patterns come from.
        penalty: the term of the loss that protects important weights.
        latent: the shape of one latent.
        recipe: the arm.
        device: where steps are computed.
        rng: the generator of all random numbers.
    """

    classifier: Classifier
    source: ReplaySource
    penalty: Penalty
    latent: tuple[int, ...]
    recipe: Recipe
    device: Device
    rng: torch.Generator


Spec = TypeVar("Spec", bound=SystemRecipe)


class Learner(nn.Module, ABC, Generic[Spec]):
    """Learns experience by experience; its `state_dict` is all it knows.

    Args:
        spec: the system, as the recipe has it.
        parts: the objects that it is made of.
    """

    def __init__(self, spec: Spec, parts: Parts) -> None:
        super().__init__()
        self.spec, self.classifier, self.source, self.recipe = spec, parts.classifier, parts.source, parts.recipe
        self.device, self.rng = parts.device, parts.rng
        lasting = self.recipe.optimizer.lasting
        self.moments = Moments(self.classifier, self.recipe.optimizer.kind) if lasting else None

    @abstractmethod
    def learn(self, experience: Experience) -> Iterator[Step]:
        """Learns one experience, step by step."""

    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        """Scores of images (or of latents, where `encoded`); minus infinity for classes never seen."""
        return self.logits(inputs, encoded)

    @property
    def phase(self) -> PhaseRecipe:
        """How the next experience is to be learned."""
        phase = self.recipe.following if self.classifier.head.seen.any() else self.recipe.first
        assert phase is not None, "Recipe demands phases of a system that trains"
        return phase

    @property
    def exemplars(self) -> Exemplars:
        """The source of replay, in a system that needs exemplars."""
        assert isinstance(self.source, Exemplars), "Recipe demands exemplars"
        return self.source

    @property
    def kept_bytes(self) -> int:
        """The bytes kept between experiences beside the classifier: patterns, generators, importances, copies."""
        state = self.state_dict().items()
        return sum(tensor.nbytes for name, tensor in state if not name.startswith("classifier."))

    def begin(self, experience: Experience) -> Memory:
        """Recalls the memory for an experience, and makes the head ready for it."""
        memory = self.source.recall()
        self.classifier.head.begin(experience.counts, counts_of(memory, len(experience.counts)))
        return memory

    def end(self, experience: Experience, memory: Memory) -> Iterator[Step]:
        """Ends an experience: the head keeps what it has learned, and the source takes the experience in."""
        self.classifier.head.end(experience.counts, counts_of(memory, len(experience.counts)))
        with blocked(self.classifier):
            yield from self.source.absorb(self.classifier, experience, memory)

    def mixture(self, data: Loader, memory: Memory) -> Mixture:
        """Minibatches of current patterns, which replayed ones join as the recipe says."""
        replay, minibatch = self.recipe.replay, self.recipe.optimizer.minibatch
        if replay.beside and len(memory.labels):
            minibatch += replay.per_minibatch or 0
        return Mixture(data, memory, minibatch, replay.per_minibatch, self.phase.mirrored)

    def fit(self, loss: Callable[[Batch], Tensor], batches: Batches, phase: PhaseRecipe, index: int) -> Iterator[Step]:
        """Trains the classifier for a phase.

        Args:
            loss: computes the loss of a minibatch.
            batches: where minibatches come from.
            phase: how long it trains, and at which rates.
            index: the number of the experience, from 0.
        """
        classifier = self.classifier.train()
        begin_renorm(classifier, first=not classifier.head.seen.any())
        with blocked(*(classifier.front, classifier.back) if phase.lr_features == 0 else ()):
            yield from descend(self.descent(phase, index, batches.steps), loss, batches, self.device, self.rng)

    def descent(self, phase: PhaseRecipe, index: int, steps: int) -> Descent:
        """How the classifier descends in a phase (see `descent_of`)."""
        classifier, optimizer = self.classifier, self.recipe.optimizer
        descent = descent_of(classifier, classifier.head, phase, optimizer, index, steps)
        return replace(descent, moments=self.moments)

    @torch.no_grad()
    def features(self, inputs: Float[Tensor, "n *shape"], encoded: bool) -> Float[Tensor, "n f"]:
        """The features of patterns, which the classifier's head takes."""
        self.classifier.eval()
        with self.device.computing():
            return self.classifier.features(self.classifier.encode(inputs, encoded)).float()

    def features_of(self, data: View) -> Float[Tensor, "n f"]:
        """The features of a whole view, in its order."""
        parts = data.read(Order(data.rows, None), AT_ONCE, shared=True)
        return torch.cat([present().gather(self.features(x, data.encoded)) for x, _ in parts])

    @torch.no_grad()
    def logits(self, inputs: Float[Tensor, "n *shape"], encoded: bool) -> Float[Tensor, "n classes"]:
        """The classifier's logits; minus infinity for classes never seen."""
        self.classifier.eval()
        with self.device.computing():
            logits = self.classifier.decide(self.classifier.encode(inputs, encoded))
        return logits.float().masked_fill(~self.classifier.head.seen, -torch.inf)


def weighted(losses: Float[Tensor, " n"], batch: Batch, share: float | None) -> Float[Tensor, ""]:
    """The mean loss. With a `share` the mean of replayed patterns has that weight, that of current ones the rest."""
    if share is None or not batch.replays:
        return losses.mean()
    return share * batch.mean(losses[batch.replayed]) + (1 - share) * batch.mean(losses[~batch.replayed])
