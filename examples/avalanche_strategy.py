"""Generative negative replay as a strategy of Avalanche, where otherwise `Naive` would stand."""

from negreplay.bridges.avalanche import NegreplayStrategy  # isort: skip  (it comes before avalanche itself)
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics
from avalanche.logging import InteractiveLogger
from avalanche.training.plugins import EvaluationPlugin
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

import negreplay as nr
from negreplay.recipe import OptimizerRecipe, Source

pixels, target = load_digits(return_X_y=True)
x, y = torch.tensor(pixels).float().reshape(-1, 1, 8, 8) / 16, torch.tensor(target)
test = torch.arange(len(y)) % 4 == 3
train_set, test_set = (TensorDataset(x[rows], y[rows]) for rows in (~test, test))
benchmark = nc_benchmark(train_set, test_set, 4, task_labels=False, seed=0, per_exp_classes={0: 4})

recipe = nr.Recipe(
    "nr-gd",
    stream=None,  # Avalanche says what arrives
    classifier=nr.ClassifierRecipe("mlp", "input", renorm=None),
    first=nr.PhaseRecipe(epochs=3, lr_features=0.1, lr_head=0.1),
    following=nr.PhaseRecipe(epochs=3, lr_features=0.01, lr_head=0.1),
    replay=nr.ReplayRecipe(Source.GENERATED, nr.Mode.NEGATIVE, memory=200),
    generator=nr.GeneratorRecipe(width=96, latent_dim=32, eta=0.1, first_iterations=100, iterations=50),
    optimizer=OptimizerRecipe(minibatch=32),
)
metrics = accuracy_metrics(experience=True, stream=True), forgetting_metrics(stream=True)
evaluator = EvaluationPlugin(*metrics, loggers=[InteractiveLogger()])
strategy = NegreplayStrategy(recipe=recipe, classes=10, image=(1, 8, 8), evaluator=evaluator)
for experience in benchmark.train_stream:
    strategy.train(experience)
    strategy.eval(benchmark.test_stream)
