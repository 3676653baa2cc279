"""A model in one file: a network, what has been learned from pictures, and the history of it."""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from negreplay import __version__
from negreplay.builders.learners import build_learner
from negreplay.builders.nets import build_backbone
from negreplay.errors import UserError, suggest
from negreplay.learners.closed_form import ClosedForm, best_temperature
from negreplay.nets.classifier import INPUT
from negreplay.photographs.networks import Network
from negreplay.recipe import ClassifierRecipe, ImageRecipe, LearnerRecipe, RDARecipe, Recipe
from negreplay.sealed import seal

FORMAT = 1
"""The version of the file's layout; a model of a newer one is refused."""
UNKNOWN = "unknown"
"""What is said of a picture that fits no class."""
ENOUGH = 20
"""Pictures held back from which on they tell how probable a class is and what is unknown."""
TEMPERATURE = 5.0
"""Divides scores where too few pictures are held back to find a better number."""
_LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class Lesson:
    """What one lesson brought.

    `learned` and `held_back` count pictures by class; `known` had come before, and `left_out` are no pictures, of which
    some are `examples`, with the reasons. Of `accuracy` each class has how many of its pictures that were held back are
    recognised afterwards, and of how many.
    """

    when: str
    source: str
    learned: dict[str, int]
    held_back: dict[str, int]
    known: int
    left_out: int
    accuracy: dict[str, tuple[int, int]]
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether it brought pictures that had not come before; otherwise the model is as it was."""
        return bool(self.learned or self.held_back)


@dataclass(frozen=True)
class Description:
    """What a model's file says of it in words and numbers."""

    format: int
    library: str
    recipe: Recipe
    size: int
    origin: str
    names: list[str]
    holds_back: bool
    lessons: list[Lesson] = field(default_factory=list)


class Model:
    """What has been learned from pictures, and the network that makes features of them.

    Args:
        recipe: the network and the closed-form learner.
        size: width and height in pixels, to which pictures are fitted.
        origin: where the network's weights are from.
        holds_back: whether a tenth of the pictures is held back, to tell how good the model is.
    """

    def __init__(self, recipe: Recipe, size: int, origin: str, holds_back: bool = True) -> None:
        self.recipe, self.size, self.origin, self.holds_back = recipe, size, origin, holds_back
        learner = build_learner(recipe, torch.zeros(3, size, size), 1)  # its one class is nobody's yet
        assert isinstance(learner, ClosedForm), "only closed-form learners are asked for"
        self.learner: ClosedForm[Any] = learner
        self.names: list[str] = []
        self.pictures: dict[int, int] = {}
        self.features, self.labels = torch.zeros(0, learner.inputs), torch.zeros(0, dtype=torch.long)
        self.lessons: list[Lesson] = []

    @classmethod
    def new(cls, network: Network, spec: LearnerRecipe | None = None, size: int = 224, hold: bool = True) -> "Model":
        """A model that has learned nothing yet.

        Args:
            network: makes features of pictures.
            spec: learns from features; without one regularised discriminant analysis.
            size: as above.
            hold: as `holds_back`.
        """
        model = cls(recipe_of(network.backbone, spec or RDARecipe()), size, network.origin, hold)
        model.learner.classifier.back.load_state_dict(network.net.state_dict())
        return model

    @property
    def images(self) -> ImageRecipe:
        """How pictures are fitted: the shorter side is resized, and the middle is taken."""
        return ImageRecipe(size=self.size, shorter_side=self.size)

    @property
    def counts(self) -> Counter[str]:
        """How many different pictures of each class have come, with those that were held back."""
        return Counter(self.names[c] for c in self.pictures.values())

    def number(self, name: str) -> int:
        """The number of a class.

        Raises:
            UserError: there is no such class.
        """
        for form in (name, unicodedata.normalize("NFC", name)):
            if form in self.names:
                return self.names.index(form)
        raise UserError(f"the model knows no class {name!r}: {suggest(name, self.names)}")

    def grow(self, names: Sequence[str]) -> None:
        """Makes room for more classes."""
        before = len(self.names)
        to = torch.arange(before) if before else torch.tensor([-1])
        self.learner = self.learner.with_classes(to, before + len(names))
        self.names += names

    def regroup(self, to: Sequence[int], names: Sequence[str]) -> None:
        """Gives each class a new number, or forgets it where that is -1; several may become one.

        Args:
            to: the new number of each class.
            names: of the classes that there will be.
        """
        new = torch.tensor(to)
        self.learner = self.learner.with_classes(new, len(names))
        self.names = list(names)
        self.pictures = {of: to[c] for of, c in self.pictures.items() if to[c] >= 0}
        labels = new[self.labels]
        self.features, self.labels = self.features[labels >= 0], labels[labels >= 0]
        self.calibrate()

    def drop(self, names: Sequence[str]) -> None:
        """Forgets classes."""
        if names:
            remaining = [name for name in self.names if name not in names]
            self.regroup([remaining.index(of) if of in remaining else -1 for of in self.names], remaining)

    def hold(self, features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> None:
        """Holds pictures back, as features in half precision."""
        features = features.cpu().clamp(-_LARGEST_HALF, _LARGEST_HALF).half().float()
        self.features, self.labels = torch.cat([self.features, features]), torch.cat([self.labels, labels])

    @property
    def judge(self) -> ClosedForm[Any]:
        """The learner, which also takes the pictures held back of a class that has no others.

        They are not counted for good: so a model does not depend on which pictures of a class come first.
        """
        alone = ~self.learner.classifier.head.seen.cpu()
        if not alone.any() or not self.names:
            return self.learner
        rows = alone[self.labels]
        judge = self.learner.with_classes(torch.arange(len(self.names)), len(self.names))
        labels = self.labels[rows].to(judge.device.name)
        judge.count(judge.lift(self.features[rows].to(judge.device.name)), labels)
        return judge

    def calibrate(self) -> None:
        """Makes probabilities honest, by the pictures that are held back."""
        temperature, rows = TEMPERATURE, self._measured()
        if len(rows) >= ENOUGH and len(self.names) > 1:
            temperature = best_temperature(self.judge.score(self.features[rows]).double(), self.labels[rows])
        self.learner.temperature.fill_(temperature)

    def confusions(self, first: int | None = None) -> Int[Tensor, "classes classes"]:
        """How many pictures held back of each class (a row) are taken for each class (a column).

        With `first` only so many of them are counted, those that were held back first.
        """
        counts, rows = torch.zeros(len(self.names), len(self.names), dtype=torch.long), self._measured()
        rows = rows if first is None else rows[rows < first]
        if len(rows):
            guesses = self.judge.score(self.features[rows]).argmax(dim=1).cpu()
            counts.index_put_((self.labels[rows], guesses), torch.ones(len(rows), dtype=torch.long), accumulate=True)
        return counts

    def accuracy(self, first: int | None = None) -> dict[str, tuple[int, int]]:
        """Of each class, how many of its pictures that are held back are recognised, and of how many."""
        counts = self.confusions(first)
        right, of = counts.diagonal().tolist(), counts.sum(dim=1).tolist()
        return {name: (right[c], of[c]) for c, name in enumerate(self.names) if of[c]}

    def threshold(self, share: float) -> float | None:
        """The familiarity that all but a `share` of the pictures held back have; None where these are too few."""
        rows = self._measured()
        return float(self.judge.familiarity(self.features[rows]).quantile(share)) if len(rows) >= ENOUGH else None

    def _measured(self) -> Int[Tensor, " n"]:
        """The rows of pictures held back that the learner has not seen in any way."""
        return self.learner.classifier.head.seen.cpu()[self.labels].nonzero().flatten()

    def kept(self) -> dict[str, int]:
        """What is kept, in bytes, by kind."""
        tensors = self._tensors()
        kinds = {
            "network": "network.",
            "sums of features": "learner.",
            "features of pictures held back": "held.",
            "fingerprints of pictures": "pictures.",
        }
        return {
            kind: sum(tensor.nbytes for name, tensor in tensors.items() if name.startswith(start))
            for kind, start in kinds.items()
        }

    def content(self) -> bytes:
        """The model as the content of a file, in which nothing is a picture."""
        description = Description(
            *(FORMAT, __version__, self.recipe, self.size, self.origin),
            *(self.names, self.holds_back, self.lessons),
        )
        return seal(json.dumps(asdict(description)), self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        learner = self.learner.state_dict()
        return {
            **{f"network.{name}": tensor for name, tensor in self.learner.classifier.back.state_dict().items()},
            **{f"learner.{name}": tensor for name, tensor in learner.items() if not name.startswith("classifier.")},
            "learner.seen": self.learner.classifier.head.seen,
            "held.features": self.features.half(),
            "held.labels": self.labels.int(),
            "pictures.fingerprints": torch.tensor(list(self.pictures), dtype=torch.long),
            "pictures.classes": torch.tensor(list(self.pictures.values()), dtype=torch.int),
        }

    def fill(self, description: Description, tensors: dict[str, Tensor]) -> None:
        """Takes over what a file holds."""
        if description.names:
            self.grow(description.names)
        network = {name.removeprefix("network."): of for name, of in tensors.items() if name.startswith("network.")}
        self.learner.classifier.back.load_state_dict(network)
        state = self.learner.state_dict()
        learned = {name.removeprefix("learner."): of for name, of in tensors.items() if name.startswith("learner.")}
        self.learner.classifier.head.seen.copy_(learned.pop("seen"))
        self.learner.load_state_dict({**state, **learned})
        if state.keys() - learned.keys() != {name for name in state if name.startswith("classifier.")}:
            raise ValueError("sums are missing")
        self.features, self.labels = tensors["held.features"].float(), tensors["held.labels"].long()
        classes = tensors["pictures.classes"].tolist()
        self.pictures = dict(zip(tensors["pictures.fingerprints"].tolist(), classes, strict=True))
        self.lessons = description.lessons


def recipe_of(backbone: str, spec: LearnerRecipe) -> Recipe:
    """The recipe of every model with this network and this learner."""
    return Recipe("model", None, ClassifierRecipe(backbone, INPUT, renorm=None), learner=spec)


def check_recipe(recipe: Recipe, size: int) -> None:
    """Raises a ValueError for what `Model.new` does not make: a file may not make us read others, or download any."""
    if recipe != recipe_of(recipe.classifier.backbone, recipe.learner) or not 32 <= size <= 1024:
        raise ValueError("its network is not described as that of a model")


def check_network(recipe: Recipe, size: int, tensors: Mapping[str, Tensor]) -> None:
    """Raises a ValueError where the tensors are not those of the network that the recipe names.

    Nothing is computed for it: a small file may name a network that would fill the memory.
    """
    with torch.device("meta"):
        net = build_backbone(recipe.classifier, Path(), torch.zeros(1, 3, size, size))
    shapes = {f"network.{name}": tensor.shape for name, tensor in net.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in tensors.items() if name.startswith("network.")}:
        raise ValueError(f"its weights are not those of {recipe.classifier.backbone}")


def now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
