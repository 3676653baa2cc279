"""What learners have in common that keep statistics of features and train nothing, or in the first experience only."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.data.data import View
from negreplay.errors import UserError
from negreplay.journal import Place, Stage
from negreplay.learners.learner import Learner, Parts
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.nets.projections import RandomMap
from negreplay.optimize import Step
from negreplay.patterns import Batch, Order
from negreplay.ranks import present
from negreplay.recipe import ClosedFormRecipe, Front, Mode, Outputs
from negreplay.replay.exemplars import AT_ONCE
from negreplay.statistics import LARGEST, signed_roots
from negreplay.streams.stream import Experience

Spec = TypeVar("Spec", bound=ClosedFormRecipe)
Own = TypeVar("Own", bound="ClosedForm[Any]")
Scorer = Callable[[Float[Tensor, "n f"]], Float[Tensor, "n classes"]]
"""From features to the scores of classes."""


class ClosedForm(Learner[Spec]):
    """Sees every pattern once and keeps sums, so that it ends the same in whatever order patterns come.

    If the recipe has a first phase, the layers above the replay layer (with `front` first-experience all of them) are
    trained in it on the first experience, with a linear head that is used for nothing else, and then blocked
    (first-session adaptation).

    References:
        Panos et al., First Session Adaptation: A Strong Replay-Free Baseline for Class-Incremental Learning, 2023.
    """

    temperature: Tensor

    def __init__(self, spec: Spec, parts: Parts) -> None:
        super().__init__(spec, parts)
        if spec.mirrored and len(parts.latent) != 3:
            raise UserError(
                "learner.mirrored has no effect: classifier.replay_layer gives no maps to mirror; set it to false."
            )
        self.parts = parts
        self.register_buffer("temperature", torch.ones(()))
        self._solved: dict[str, Scorer | None] = {}  # no attributes, for modules among them are no state
        self.register_load_state_dict_post_hook(_forget)

    @property
    def inputs(self) -> int:
        """Numbers of a feature vector."""
        return self.classifier.head.rows.shape[1]

    @property
    def classes(self) -> int:
        """How many classes there will be."""
        return len(self.classifier.head.rows)

    def count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        """Counts features in, which are lifted already."""
        _forget(self)
        self._count(features, labels)
        self.classifier.head.seen[labels] = True

    def merge(self, other: Any, to: Int[Tensor, " others"] | None = None) -> None:
        """Counts in what a learner of the same kind and with the same random maps has counted.

        So hosts that learn a part each of every experience end, merged, as one that has learned all. Sums that all
        classes share are taken whole. Only the mean covariance of classes is weighed by the patterns that remain, so
        that it stays as it is where a class is left out.

        Args:
            other: its patterns have not come here.
            to: the class here of each of its classes, or -1 for one that is left out; None if they are the same.
        """
        to = torch.arange(self.classes) if to is None else to
        _forget(self)
        self._merge(other, to)
        self.classifier.head.seen[to[other.classifier.head.seen & (to >= 0)]] = True

    @abstractmethod
    def _count(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None: ...

    @abstractmethod
    def _merge(self, other: Any, to: Int[Tensor, " others"]) -> None: ...

    @abstractmethod
    def solve(self) -> Scorer:
        """From what has been counted, scores for lifted features: their softmax is a posterior, if the model is right.

        Classes never seen may have any score.
        """

    def solve_background(self) -> Scorer | None:
        """The log density of all patterns together, as the only column of a score; None where there is no model."""
        return None

    def lift(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n g"]:
        """What is counted and scored in place of features."""
        return signed_roots(features) if self.spec.roots else features

    def look(self, experience: Experience) -> None:
        """Chooses what depends on an experience, before it is counted; nothing, unless a learner says so."""

    def with_classes(self: Own, to: Int[Tensor, " classes"], classes: int) -> Own:
        """This learner with other classes, over the same network.

        Args:
            to: what becomes of each class: its new number, or -1 if it is forgotten. Several may become one.
            classes: how many there will be.
        """
        network = self.classifier
        head = PlainHead(self.inputs, classes, Mode.POSITIVE, Outputs.SEEN).to(self.device.name)
        classifier = Classifier(network.front, network.back, head, bool(network.blocked))
        other = type(self)(self.spec, self.parts._replace(classifier=classifier))
        for own, others in zip(_maps(self), _maps(other), strict=True):
            others.seed.copy_(own.seed)
        other.merge(self, to)
        other.temperature.copy_(self.temperature)
        return other

    def learn(self, experience: Experience) -> Iterator[Step]:
        memory = self.begin(experience)
        if self.recipe.first is not None and not self.classifier.head.seen.any():
            yield from self.fit(self._loss, self.mixture(experience.data, memory), self.recipe.first, experience.index)
            if self.recipe.classifier.front is Front.FIRST:
                self.classifier.block_front()
        self.look(experience)
        for features, labels, step in self._sweep(experience):
            if not (features.abs() < LARGEST).all():
                raise UserError(
                    f"experience {experience.index + 1} gives features that are not finite or larger than {LARGEST:g}: "
                    "look at its images and at the weights."
                )
            self.count(self.lift(features), labels)
            yield step
        yield from self.end(experience, memory)

    @torch.no_grad()
    def predict(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        return self.score(self.features(inputs, encoded))

    @torch.no_grad()
    def score(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n classes"]:
        """The scores of features; minus infinity for classes never seen."""
        scores = self._solve("classes", self.solve)
        assert scores is not None, "every learner can score classes"
        return scores(self.lift(features)).masked_fill(~self.classifier.head.seen, -torch.inf).float()

    @torch.no_grad()
    def familiarity(self, features: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """How much better features fit the class that suits them best than all patterns together.

        What fits no class has a low value. Without a model of all patterns it is the best score.

        References:
            Ren et al., A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection, 2021.
        """
        best = self.score(features).amax(dim=1)
        background = self._solve("background", self.solve_background)
        return best if background is None else best - background(self.lift(features)).squeeze(1)

    def _solve(self, what: str, solve: Callable[[], Scorer | None]) -> Scorer | None:
        if what not in self._solved:
            self._solved[what] = solve()
        return self._solved[what]

    def probabilities(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n classes"]:
        """The probability of each class, as honest as the patterns that `calibrate` was given allow."""
        return (self.predict(inputs, encoded) / self.temperature).softmax(dim=1)

    def calibrate(self, data: View) -> None:
        """Finds the temperature at which probabilities suit data best that has not been learned (Guo et al., 2017).

        Args:
            data: patterns of classes that have been seen.
        """
        scores, labels = [], []
        for x, y in data.batches(AT_ONCE):
            scores.append(self.predict(x, data.encoded).double())
            labels.append(y.to(self.device.name))
        self.temperature.fill_(best_temperature(torch.cat(scores), torch.cat(labels)))

    def _loss(self, batch: Batch) -> Tensor:
        return self.classifier.head.losses(self.classifier(batch), batch.labels, batch.replayed).mean()

    def _sweep(self, experience: Experience) -> Iterator[tuple[Float[Tensor, "n f"], Int[Tensor, " n"], Step]]:
        """One pass over an experience: features of some patterns, their labels, and the step that they make."""
        data, stage = experience.data, Stage()
        if stage.ended:
            return
        done, read, _ = stage.go_on()
        for x, y in data.read(Order(data.rows, None), AT_ONCE, read, shared=True):
            features, labels = (present().gather(of) for of in (self.features(x, data.encoded), y))
            done, read = done + len(labels), read + 1
            stage.place = Place(done, read)
            labels = labels.to(self.device.name)
            if self.spec.mirrored:
                features = torch.cat([features, present().gather(self.features(x.flip(-1), data.encoded))])
                labels = labels.repeat(2)
            yield features, labels, Step("classifier", done, len(data), 0.0)
        stage.end()


def _maps(learner: nn.Module) -> list[RandomMap]:
    return [module for module in learner.modules() if isinstance(module, RandomMap)]


def _forget(learner: ClosedForm[Any], *_: object) -> None:
    """What has been computed from an earlier state is not that of the present one."""
    learner._solved.clear()


def best_temperature(scores: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> float:
    """The number by which to divide scores so that their softmax is likeliest to give the labels.

    It lies between 1e-6 and 1e6. The loss has one minimum, which is closed in on by golden sections of its exponent.
    """

    def loss(exponent: float) -> float:
        return float(F.cross_entropy(scores / 10**exponent, labels))

    low, high, section = -6.0, 6.0, (5**0.5 - 1) / 2
    while high - low > 1e-4:
        left, right = high - section * (high - low), low + section * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return 10 ** ((low + high) / 2)
