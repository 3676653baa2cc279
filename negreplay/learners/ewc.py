"""Elastic Weight Consolidation: weights that the predictions depend on are kept near their earlier values."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from negreplay.data.data import View
from negreplay.learners.penalties import Buffers, Penalty, like, quadratic
from negreplay.nets.classifier import Classifier
from negreplay.patterns import Order
from negreplay.ranks import present
from negreplay.recipe import EWCRecipe

AT_ONCE = 16
"""Patterns whose gradients are in memory at the same time: few enough to stay in a cache."""


class EWC(Penalty):
    """(strength / 2) sum F (theta - theta*)^2, F being the diagonal of the Fisher information matrix.

    EWC adds such a term for each experience. Up to a constant, their sum is a single term: its F is the sum of all F,
    and its theta* is the mean of all theta*, weighted by F. So these two are all that is kept. Online EWC has a single
    term too: its theta* is the newest one, and its F is decay * F plus the F of the newest experience.

    Args:
        weights: the weights that are protected.
        recipe: strength (lambda), decay (gamma; None for EWC), how many patterns of an experience are looked at, and
            whether their classes are drawn.
        rng: draws the patterns and their classes.

    References:
        Kirkpatrick et al., Overcoming Catastrophic Forgetting in Neural Networks, 2017, Equation 3.
        Schwarz et al., Progress & Compress, 2018, Section 3.2 (online EWC).
    """

    holds: Tensor

    def __init__(self, weights: Iterable[nn.Parameter], recipe: EWCRecipe, rng: torch.Generator) -> None:
        super().__init__()
        self.recipe, self.rng = recipe, rng
        self.protected = list(weights)
        self.total, self.anchor = Buffers(like(self.protected)), Buffers(w.clone() for w in self.protected)
        self.register_buffer("holds", torch.tensor(False), persistent=False)

    def start(self) -> None:
        self.holds.fill_(any(total.any() for total in self.total))

    def loss(self) -> Tensor | float:
        if not self.holds:
            return 0.0
        return self.recipe.strength * quadratic(self.protected, self.total, self.anchor)

    def integrate(self) -> None:
        pass

    def finish(self, classifier: Classifier, data: View) -> None:
        rows = torch.randperm(len(data), generator=self.rng)[: self.recipe.patterns]
        some = View(data.data, data.rows[rows])
        newest = fisher(classifier, some, self.protected, self.rng if self.recipe.drawn else None)
        with torch.no_grad():
            for total, anchor, weight, new in zip(self.total, self.anchor, self.protected, newest, strict=True):
                if self.recipe.decay is None:
                    # The theta* of a weight that nothing depends on does not matter.
                    anchor.add_(torch.where(new > 0, new / (total + new) * (weight - anchor), 0.0))
                    total.add_(new)
                else:
                    anchor.copy_(weight)
                    total.mul_(self.recipe.decay).add_(new)


def fisher(
    classifier: Classifier, data: View, weights: list[nn.Parameter], rng: torch.Generator | None = None
) -> list[Tensor]:
    """The diagonal of the Fisher information matrix: the mean over patterns of E[(d log p(y|x) / d theta)^2].

    The expectation is over y as the classifier predicts it, over the outputs that compete for the pattern. With an
    `rng` one y is drawn for each pattern instead, which is cheaper by a factor of the number of classes.
    """
    classifier.eval()
    front = [] if data.encoded else [classifier.front]
    net = nn.Sequential(*front, classifier.back, classifier.head)
    protected = {id(weight) for weight in weights}
    state = {name: tensor.detach() for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    names = {id(parameter): name for name, parameter in net.named_parameters() if id(parameter) in protected}
    learning = {name: state.pop(name) for name in names.values()}
    total = {name: torch.zeros_like(tensor) for name, tensor in learning.items()}

    def log_likelihood(free: dict[str, Tensor], x: Tensor, competing: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(net, {**state, **free}, (x.unsqueeze(0),))
        return F.log_softmax(logits.masked_fill(~competing, -torch.inf), dim=1)[0].gather(0, y.unsqueeze(0))[0]

    gradients = vmap(grad(log_likelihood), in_dims=(None, 0, 0, 0))
    for x, competing, probability in _predictions(classifier, net, data):
        for y, weight in _answers(probability, rng):
            for name, each in gradients(learning, x, competing, y).items():
                total[name] += torch.einsum("n,n...->...", weight, each.square())
    return [present().sum(total[names[id(weight)]]) / len(data) for weight in weights]


def _predictions(
    classifier: Classifier, net: nn.Module, data: View
) -> Iterator[tuple[Float[Tensor, "n *shape"], Bool[Tensor, "n classes"], Float[Tensor, "n classes"]]]:
    """Patterns, the outputs that compete for each, and their probabilities."""
    device = classifier.head.seen.device
    for patterns in data.read(Order(data.rows, None), AT_ONCE, shared=True):
        x = patterns.x.to(device)
        competing = classifier.head.competing(patterns.y.to(device))
        with torch.no_grad():
            yield x, competing, net(x).masked_fill(~competing, -torch.inf).softmax(dim=1)


def _answers(
    probability: Float[Tensor, "n classes"], rng: torch.Generator | None
) -> Iterator[tuple[Int[Tensor, " n"], Float[Tensor, " n"]]]:
    """Yields a class for each pattern and its weight: every class with its probability, or one that is drawn."""
    if rng is None:
        for c in probability.any(dim=0).nonzero().flatten():
            yield c.expand(len(probability)), probability[:, c]
    else:
        every = present().gather(probability).cpu()  # all ranks draw all classes, so that they draw the same
        drawn = present().share(torch.multinomial(every, 1, generator=rng).flatten())
        yield drawn.to(probability.device), torch.ones_like(probability[:, 0])
