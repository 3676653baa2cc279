"""Every learner as a strategy of Avalanche.

Import this module before `avalanche` itself: where torch and torchvision were built for different devices, Avalanche
can be imported only after it.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from negreplay.bridges.example import example_on
from negreplay.builders.learners import build_learner
from negreplay.data.data import View
from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.learners.learner import Learner
from negreplay.nets.library import prepare_torchvision
from negreplay.recipe import Recipe
from negreplay.streams.stream import Experience

try:
    prepare_torchvision()
    with warnings.catch_warnings():
        # It concerns GEM only, which says so itself where it is used.
        warnings.filterwarnings("ignore", "no QP solver found", UserWarning)
        from avalanche.training.plugins.evaluation import EvaluationPlugin, default_evaluator
        from avalanche.training.templates import BaseTemplate, SupervisedTemplate
except ModuleNotFoundError as error:
    raise UserError(
        f"the strategy is one of Avalanche, but {error.name} is not installed: pip install 'negreplay[avalanche]'."
    ) from None

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""
EVALUATION = frozenset({"num_workers", "persistent_workers", "pin_memory"})
"""What `train` takes for evaluations within it."""
OVERSHOOT = 1e-4
"""By how much a value may lie outside 0 to 1, for resizing rounds."""


class NegreplayStrategy(SupervisedTemplate):
    """A learner in the place of `Naive`: it is trained and evaluated on the experiences of an Avalanche benchmark.

    It is a template and no plugin, for a plugin changes an optimiser's steps from outside, and a learner takes its own
    steps, or none. Of `SupervisedTemplate` it uses the evaluation, which only needs a model's scores; so all metrics of
    evaluation and all loggers work. Metrics of minibatches and epochs of the training are never emitted, for these
    belong to the learner. Its steps are counted by `clock`, so that curves of metrics have an axis.

    Images go through the benchmark's transforms: its `train` group where a learner varies what it learns, from draws of
    the seed, and its `eval` group elsewhere. Transforms that draw from torch's generator are therefore repeated by the
    same seed. Images are read when they are needed. Task labels are not looked at.

    A class never seen has the score minus infinity, so that the loss on its patterns is infinite. Before the first
    experience all scores are 0.

    Args:
        recipe: how it learns, such as an arm of a study; its stream is not looked at.
        classes: how many classes there will be in all experiences.
        image: the shape of an image: channels, height and width.
        seed: draws the weights that no file gives, and all that is random in learning.
        weights: the folder of files of weights.
        patterns: how many training patterns there will be; only a memory of all of them needs it.
        device: where it computes, such as `cpu` or `cuda`.
        eval_mb_size: how many images are evaluated at once.
        evaluator: Avalanche's metrics and loggers.
        eval_every: 0 evaluates at the end of each experience, -1 never does so within `train`.

    Attributes:
        learner: the learner itself.

    Raises:
        UserError: the recipe does not fit the images or the number of classes, a file of weights is missing,
            the device cannot be used, or `eval_every` counts epochs.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        classes: int,
        image: Shape,
        seed: int = 0,
        weights: Path | str = "weights",
        patterns: int | None = None,
        device: str | torch.device = "cpu",
        eval_mb_size: int = 128,
        evaluator: EvaluationPlugin | Callable[[], EvaluationPlugin] | None = default_evaluator,
        eval_every: int = -1,
    ) -> None:
        if eval_every not in (-1, 0):
            raise UserError(f"eval_every is {eval_every}: give 0 or -1, for epochs are the learner's own.")
        self.learner = build_learner(
            recipe,
            example_on(device, image),
            classes,
            seed=seed,
            weights=Path(weights),
            device=Device(str(device)),
            patterns=patterns,
        )
        self.classes, self.image = classes, image
        self._learned: list[tuple[object, str, int]] = []
        none: Any = None  # no optimiser, for the learner makes its own
        super().__init__(
            model=Scores(self.learner, image),
            optimizer=none,
            train_mb_size=eval_mb_size,
            eval_mb_size=eval_mb_size,
            device=device,
            evaluator=evaluator,  # pyright: ignore[reportArgumentType]
            eval_every=eval_every,
        )

    def _before_training_exp(self, **kwargs: Any) -> None:
        if kwargs.keys() - EVALUATION:
            wrong = ", ".join(sorted(kwargs.keys() - EVALUATION))
            raise UserError(f"train has no use for {wrong}, for the learner itself reads the data: leave it out.")
        place = _place(self.experience)
        if place in self._learned:
            raise UserError(f"experience {place[-1]} has been learned already: train each experience once.")
        self._coming = experience_of(self.experience, self.classes, self.image, len(self._learned))
        BaseTemplate._before_training_exp(self, **kwargs)  # without a loader and an optimiser

    def _train_exp(self, experience: Any, eval_streams: Any = None, **kwargs: Any) -> None:
        for _ in self.learner.learn(self._coming):
            self.clock.after_training_iteration(self)
        self._learned.append(_place(experience))
        del self._coming


class Scores(nn.Module):
    """A learner's scores of images, as the model that Avalanche evaluates.

    The learner is no submodule: Avalanche moves a model between devices, but a memory stays where it is.
    """

    def __init__(self, learner: Learner, image: Shape) -> None:
        super().__init__()
        self.classifier, self.image = learner.classifier, image
        self._predict = learner.predict

    def forward(self, images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        _check(images, self.image)
        seen = self.classifier.head.seen
        return self._predict(images) if seen.any() else images.new_zeros(len(images), len(seen))


@dataclass(frozen=True)
class AvalancheImages:
    """The data set of one of Avalanche's experiences, of which images are read by row.

    Attributes:
        plain: it, with the transforms for evaluation.
        varied: it, with the transforms for training.
        image: the shape that images must have.
    """

    plain: Any
    varied: Any
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    image: Shape
    fingerprint: str = "avalanche"
    encoded: bool = False
    augmented: bool = True  # for what its transforms do cannot be known

    def read(
        self, rows: Int[Tensor, " k"], draws: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k channels height width"]:
        """The images of these rows; with draws, as the transforms for training vary them.

        Raises:
            UserError: transforms give no tensor, or one of another shape or range.
        """
        if draws is None:
            return self._stacked([self.plain[row][0] for row in rows.tolist()])
        before = torch.get_rng_state()
        try:
            return self._stacked(
                [self._vary(row, draw) for row, draw in zip(rows.tolist(), draws.tolist(), strict=True)]
            )
        finally:
            torch.set_rng_state(before)

    def _vary(self, row: int, draw: int) -> Any:
        torch.default_generator.manual_seed(draw)
        return self.varied[row][0]

    def _stacked(self, images: Sequence[Any]) -> Tensor:
        for image in images:
            _check(image, self.image)
        return torch.stack(list(images))


def experience_of(experience: Any, classes: int, image: Shape, index: int) -> Experience:
    """An experience of Avalanche as one of ours.

    Args:
        experience: of a supervised benchmark; its data set has `targets`.
        classes: how many classes there will be in all experiences.
        image: the shape of an image.
        index: how many experiences came before.

    Raises:
        UserError: it holds a class too many, or its first image is not as announced.
    """
    data = experience.dataset
    labels = torch.tensor([int(target) for target in data.targets])
    if int(labels.max()) >= classes:
        raise UserError(
            f"experience {_place(experience)[-1]} holds the class {int(labels.max())}, but only classes from 0 to "
            f"{classes - 1} are announced: give more classes to the strategy."
        )
    images = AvalancheImages(data.eval(), data.train(), labels, tuple(map(str, range(classes))), image)
    images.read(torch.tensor([0]))
    return Experience(index, View(images, torch.arange(len(labels))), torch.bincount(labels, minlength=classes))


def _place(experience: Any) -> tuple[object, str, int]:
    """The benchmark of an experience, or its stream where there is none, the stream's name, and the number there."""
    stream = experience.origin_stream
    benchmark = getattr(stream, "benchmark", None)  # a part of a stream is a stream of the same benchmark
    return stream if benchmark is None else benchmark, stream.name, experience.logging().current_experience


def _check(x: Any, image: Shape) -> None:
    """Refuses what is not an image of this shape, or not a batch of such images, with values from 0 to 1."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise UserError(
            f"the benchmark gives images as {x.dtype if isinstance(x, Tensor) else type(x).__name__}: let its "
            "transforms end with torchvision's ToTensor."
        )
    if x.shape[-len(image) :] != image:
        raise UserError(
            f"the benchmark gives images of the shape {tuple(x.shape[-len(image) :])}, but {image} is announced: "
            "resize them in its transforms, or give their shape to the strategy."
        )
    low, high = (float(value) for value in x.aminmax())
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise UserError(
            f"the benchmark gives images with values from {low:g} to {high:g}: give values from 0 to 1, without "
            "Normalize, for networks normalise images themselves."
        )
