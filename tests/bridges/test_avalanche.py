"""Avalanche trains and evaluates our learners: its metrics are our accuracies, to the bit."""

import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import digits
from torch import Tensor
from torch.utils.data import TensorDataset

from negreplay.bridges.avalanche import NegreplayStrategy, experience_of  # isort: skip  (it comes before avalanche)
from avalanche.benchmarks import nc_benchmark
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics, loss_metrics
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin

import negreplay
from negreplay.builders.learners import build_learner
from negreplay.data.digits import load_digits
from negreplay.errors import UserError
from negreplay.evaluation import evaluate
from negreplay.recipe import ClassifierRecipe, RDARecipe, Recipe
from negreplay.streams.stream import Stream

TRAIN, TEST = load_digits()
CLASSES = [4, 2, 1, 2, 1]
(NR_GD,) = digits("nr-gd").recipes
RDA = Recipe("rda", None, ClassifierRecipe("pixels", "input", renorm=None), learner=RDARecipe(rank=8))


def benchmark_of(x: Tensor = TRAIN.x, **options: Any) -> Any:
    """The digits, of which a few come at a time."""
    sets = TensorDataset(x, TRAIN.labels), TensorDataset(TEST.x, TEST.labels)
    sizes = dict(enumerate(CLASSES))
    return nc_benchmark(*sets, len(CLASSES), task_labels=False, shuffle=False, per_exp_classes=sizes, **options)


def metrics() -> EvaluationPlugin:
    several = (
        accuracy_metrics(minibatch=True, epoch=True, experience=True, stream=True),
        forgetting_metrics(experience=True, stream=True),
        loss_metrics(epoch=True, stream=True),
    )
    return EvaluationPlugin(*several, loggers=[Silent()])


class Silent(BaseLogger):
    """A logger that says nothing."""

    def log_single_metric(self, name: str, value: Any, x_plot: int) -> None: ...


def strategy_of(recipe: Recipe = RDA, **options: Any) -> NegreplayStrategy:
    return NegreplayStrategy(recipe=recipe, **{"classes": 10, "image": (1, 8, 8), "evaluator": metrics()} | options)


def value(printed: dict[str, float], name: str) -> float:
    """The one metric whose name begins and ends like this."""
    first, last = name.split("...")
    (found,) = (each for key, each in printed.items() if key.startswith(first) and key.endswith(last))
    return found


@pytest.mark.parametrize("recipe", [NR_GD, RDA], ids=lambda recipe: recipe.name)
def test_accuracies_are_those_of_our_own_loop(recipe: Recipe):
    benchmark, strategy = benchmark_of(), strategy_of(recipe, seed=3)
    arriving = [list(dict.fromkeys(experience.dataset.targets)) for experience in benchmark.train_stream]
    rows = [torch.cat([(TRAIN.labels == c).nonzero().flatten() for c in classes]) for classes in arriving]
    # What transforms do cannot be known, so that a draw goes with each image, as with images that are varied.
    stream = Stream(replace(TRAIN, augmented=True), TEST, rows)
    learner = build_learner(recipe, torch.zeros(1, 8, 8), 10, seed=3)
    best: list[float] = []
    printed, accuracies, expected = {}, [], None
    for index, experience in enumerate(benchmark.train_stream):
        list(learner.learn(stream[index]))
        strategy.train(experience, num_workers=0)
        printed, expected = strategy.eval(benchmark.test_stream), evaluate(learner, stream, index)
        assert value(printed, "Top1_Acc_Stream/...") == expected.whole
        accuracies = [value(printed, f"Top1_Acc_Exp/...Exp00{each}") for each in range(len(CLASSES))]
        assert sum(accuracies[: index + 1]) / (index + 1) == pytest.approx(expected.task_agnostic)
        assert not any(accuracies[index + 1 :])
        best.append(accuracies[index])
    assert printed["StreamForgetting/eval_phase/test_stream"] == pytest.approx(
        sum(then - now for then, now in zip(best[:-1], accuracies, strict=False)) / (len(CLASSES) - 1)
    )
    assert expected is not None and expected.whole > (0.95 if recipe is RDA else 0.25)
    assert not any("train_phase" in name for name in printed)
    ours = learner.state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in strategy.learner.state_dict().items())


def test_a_whole_stream_with_evaluations_within_the_training():
    benchmark, strategy = benchmark_of(), strategy_of(eval_every=0)
    printed = strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    steps, accuracies = strategy.evaluator.get_all_metrics()["Top1_Acc_Stream/eval_phase/test_stream/Task000"]
    assert accuracies[0] == pytest.approx(float((TEST.labels == 0).float().mean()))  # all scores are 0, and 0 is first
    assert accuracies == sorted(accuracies) and accuracies[-1] > 0.95
    assert steps[0] == 0 and steps == sorted(set(steps)), "a step is a place on the axis of a curve"
    assert 0 < value(printed, "Loss_Stream/...") < 0.5
    assert strategy.model(TEST.x).argmax(dim=1).eq(TEST.labels).float().mean() == pytest.approx(accuracies[-1])


def noisy(image: Tensor) -> Tensor:
    return (image + torch.rand_like(image) / 9).clamp(max=1)


def test_transforms_for_training_vary_what_is_learned_by_its_draw():
    benchmark = benchmark_of(train_transform=noisy, eval_transform=lambda image: image / 2)
    data = experience_of(benchmark.train_stream[1], 10, (1, 8, 8), 1).data
    assert data.labels.tolist() == list(benchmark.train_stream[1].dataset.targets)
    rows, draws, state = torch.tensor([5, 7, 5]), torch.tensor([1, 2, 2**61]), torch.get_rng_state()
    varied = data.data.read(rows, draws)
    assert torch.equal(varied, data.data.read(rows, draws)) and not torch.equal(varied[0], varied[2])
    assert torch.equal(torch.get_rng_state(), state)
    plain = data.data.read(rows)
    assert torch.equal(plain[0], plain[2]) and ((varied - 2 * plain) > -1e-6).all()


WRONG_IMAGES: list[tuple[dict[str, Any], str]] = [
    ({"x": TRAIN.x[:, :, :7]}, r"gives images of the shape \(1, 7, 8\), but \(1, 8, 8\) is announced: resize them in"),
    ({"x": TRAIN.x - 0.5}, r"from -0\.5 to 0\.4375: give values from 0 to 1, without Normalize, for networks norm"),
    (
        {"x": (TRAIN.x * 255).byte()},
        r"gives images as torch\.uint8: let its transforms end with torchvision's ToTensor\.$",
    ),
    (
        {"train_transform": lambda image: "no", "eval_transform": str},
        r"gives images as str: let its transforms end with",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG_IMAGES)
def test_wrong_images_are_refused_and_nothing_is_learned(options: dict[str, Any], sentence: str):
    strategy = strategy_of()
    with pytest.raises(UserError, match=sentence):
        strategy.train(benchmark_of(**options).train_stream[0])
    assert not strategy.learner.classifier.head.seen.any()


def test_wrong_use_is_refused():
    benchmark, strategy = benchmark_of(), strategy_of(classes=6)
    strategy.train(benchmark.train_stream[:2])
    state = {name: tensor.clone() for name, tensor in strategy.learner.state_dict().items()}
    wrong: list[tuple[int, dict[str, Any], str]] = [
        (1, {}, r"^experience 1 has been learned already: train each experience once\.$"),
        (2, {}, r"^experience 2 holds the class 6, but only classes from 0 to 5 are announced: give more classes to"),
        (
            2,
            {"shuffle": False},
            r"^train has no use for shuffle, for the learner itself reads the data: leave it out\.$",
        ),
    ]
    for experience, options, sentence in wrong:
        with pytest.raises(UserError, match=sentence):
            strategy.train(benchmark.train_stream[experience], **options)
    assert all(torch.equal(tensor, state[name]) for name, tensor in strategy.learner.state_dict().items())
    strategy.train(benchmark_of().train_stream[1])  # of another stream: what has come is not known by its number alone
    with pytest.raises(UserError, match=r"^eval_every is 2: give 0 or -1, for epochs are the learner's own\.$"):
        strategy_of(eval_every=2)
    with pytest.raises(UserError, match=r"^device is 'gpu', which cannot be used here: give cpu\.$"):
        strategy_of(device="gpu")


def test_without_avalanche_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "avalanche.training.templates", None)
    with pytest.raises(UserError, match=r"but avalanche\S* is not installed: pip install 'negreplay\[avalanche\]'\.$"):
        runpy.run_path(str(Path(negreplay.__file__).parent / "bridges" / "avalanche.py"))


def test_the_example_is_short_and_learns(capsys: pytest.CaptureFixture[str]):
    path = Path(negreplay.__file__).parents[1] / "examples" / "avalanche_strategy.py"
    assert len(path.read_text().splitlines()) < 40
    runpy.run_path(str(path))
    accuracies = re.findall(r"Top1_Acc_Stream/\S+ = (\S+)", capsys.readouterr().out)
    assert len(accuracies) == 4 and float(accuracies[-1]) > 0.7  # without replay 0.47
