"""The cosine head of LUCIR."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.nets.heads import Head


class CosineHead(Head):
    """Logits are the cosines of features with the classes' rows, times a scale that is learned.

    The rows of old classes are `kept` as they are. The classes seen so far and the current ones compete in the softmax.

    References:
        Hou et al., Learning a Unified Classifier Incrementally via Rebalancing, 2019, Section 3.3.
    """

    current: Tensor
    kept: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        bound = features**-0.5
        self.weight = nn.Parameter(torch.empty(classes, features).uniform_(-bound, bound))
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("kept", torch.zeros(classes, features))
        self.register_buffer("current", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))

    @property
    def rows(self) -> Float[Tensor, "classes features"]:
        return torch.where((self.current | ~self.seen).unsqueeze(1), self.weight, self.kept)

    def cosines(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        """The cosine of the angle between each feature vector and each row."""
        return F.normalize(features, dim=1) @ F.normalize(self.rows, dim=1).T

    def forward(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        return self.scale * self.cosines(features)

    def _begin(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        self.current.copy_(counts > 0)

    @property
    def open(self) -> Bool[Tensor, " classes"]:
        return self.seen | self.current

    def _end(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        self.kept[self.current] = self.weight[self.current]
        self.seen |= self.current
        self.current.zero_()
