"""Domain-incremental split MNIST in plain PyTorch: a check of `domain-joint`, `-lwf` and `-si` of `split-mnist`.

The settings are the study's; of negreplay only the images are taken and, with `--no-ordered`, the order of the digits.

    python benchmarks/plain_domain.py joint 0
"""

import copy
from pathlib import Path
from typing import Literal

import torch
import tyro
from torch import nn
from torch.nn import functional as F

from negreplay.builders.streams import build_data
from negreplay.slow_paths import avoid_slow_paths
from negreplay.streams.scenarios import class_order
from negreplay.studies.split_mnist import DIGITS

TEMPERATURE = 2.0
STRENGTH, DAMPING = 5e3, 0.1
"""Of Synaptic Intelligence: c and xi."""


def main(
    system: tyro.conf.Positional[Literal["joint", "lwf", "si"]],
    seed: tyro.conf.Positional[int],
    ordered: bool = True,
    data: Path = Path("data"),
) -> None:
    """Prints the accuracy on each experience after the last one, and their mean.

    Args:
        system: all data so far; or those of the experience, and what the network said of them before it, or what is
            known of how much each weight has done.
        seed: of weights, minibatches and order.
        ordered: whether the digits come in their order.
        data: folder that holds the images.
    """
    avoid_slow_paths()
    torch.manual_seed(seed)
    train, test = build_data(DIGITS, data)
    order = torch.arange(10) if ordered else class_order(train, 2, seed, ())
    place = order.argsort()
    images = train.read(torch.arange(len(train.labels)))
    came, labels = place[train.labels] // 2, place[train.labels] % 2

    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 2))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    importance = [torch.zeros_like(weight) for weight in net.parameters()]
    for experience in range(5):
        rows, step = (came <= experience if system == "joint" else came == experience).nonzero().flatten(), 0
        before, share = copy.deepcopy(net), 1 / (experience + 1) if system == "lwf" else 1.0
        anchor, path = list(before.parameters()), [torch.zeros_like(weight) for weight in net.parameters()]
        while step < 2000:
            for batch in rows[torch.randperm(len(rows))].split(128)[: 2000 - step]:
                logits = net(images[batch])
                loss = F.cross_entropy(logits, labels[batch])
                if share < 1:
                    with torch.no_grad():
                        teacher_logits = F.softmax(before(images[batch]) / TEMPERATURE, dim=1)
                    kept = -(teacher_logits * F.log_softmax(logits / TEMPERATURE, dim=1)).mean() * TEMPERATURE**2
                    loss = share * loss + (1 - share) * kept
                old = [weight.detach().clone() for weight in net.parameters()]
                if system == "si":
                    held = zip(importance, net.parameters(), anchor, strict=True)
                    loss = loss + STRENGTH * sum((much * (now - then.detach()) ** 2).sum() for much, now, then in held)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if system == "si":
                    with torch.no_grad():
                        for way, now, then in zip(path, net.parameters(), old, strict=True):
                            assert now.grad is not None, "all weights take part in the loss"
                            way -= now.grad * (now - then)
                step += 1
        if system == "si":
            with torch.no_grad():
                for much, way, now, then in zip(importance, path, net.parameters(), anchor, strict=True):
                    much += way / ((now - then) ** 2 + DAMPING)

    with torch.no_grad():
        predicted = net(test.read(torch.arange(len(test.labels)))).argmax(1)
    right = (predicted == place[test.labels] % 2).float()
    each = torch.stack([right[place[test.labels] // 2 == experience].mean() for experience in range(5)])
    print(f"{100 * each.mean().item():.2f}", [f"{100 * accuracy:.2f}" for accuracy in each.tolist()])


if __name__ == "__main__":
    tyro.cli(main)
