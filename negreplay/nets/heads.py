"""The head, and what a replayed pattern may change in it.

This is the only place where the mode of replay matters. The head has one row psi_c of weights for each class. With
CWR* (`ConsolidatedHead`) rows learn in a scratch copy during the experience and are consolidated into the kept ones at
its end; in negative mode the rows of classes that were only replayed are thrown away (Algorithm 1). Without it
(`PlainHead`, Appendix C) the gradient of replayed patterns is masked in the loss.

References:
    Graffieti et al., Generative Negative Replay for Continual Learning, Section 3.3, Appendices B and C.
    Lomonaco et al., Rehearsal-Free Continual Learning over Small Non-I.I.D. Batches, 2020 (CWR*).
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.recipe import Mean, Mode, Outputs


def consolidate(
    psi: Float[Tensor, "classes features"],
    kept: Float[Tensor, "classes features"],
    past: Int[Tensor, " classes"],
    counts: Int[Tensor, " classes"],
    replayed: Int[Tensor, " classes"],
    mode: Mode,
    *,
    mean: Mean = Mean.PER_CLASS,
) -> Float[Tensor, "classes features"]:
    """Algorithm 1: the rows to keep after an experience.

    Args:
        psi: the rows as training left them.
        kept: the rows kept so far (psi').
        past: how many patterns of each class came before this experience (past_c of Equation 7).
        counts: how many patterns of each class are in this experience.
        replayed: how many patterns of each class are in the memory M.
        mode: whether classes that are only replayed are consolidated (positive) or keep their rows (negative).
        mean: what is subtracted from a row first.

    Returns:
        New rows; no argument is changed.

    Departure:
        Rows of classes in neither the experience nor the memory keep `kept`: line 15, read literally, would save what
        training left in them. A class seen for the first time needs no case of its own, for its wpast is 0.
    """
    consolidated, current = _current(counts, replayed, mode)
    centred = psi - _mean(psi, (counts > 0) | (replayed > 0), mean)
    wpast = (past / current.clamp(min=1)).sqrt().to(psi.dtype).unsqueeze(1)  # Equation 7
    blended = (kept * wpast + centred) / (wpast + 1)
    return torch.where(consolidated.unsqueeze(1), blended, kept)


def _current(
    counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"], mode: Mode
) -> tuple[Bool[Tensor, " classes"], Int[Tensor, " classes"]]:
    """Which classes are consolidated, and with how many patterns: replayed ones count in positive mode only."""
    current = counts + replayed if mode is Mode.POSITIVE else counts
    return current > 0, current


def _mean(psi: Float[Tensor, "classes features"], present: Bool[Tensor, " classes"], mean: Mean) -> Tensor:
    if mean is Mean.PER_CLASS:
        return psi.mean(dim=1, keepdim=True)
    return psi[present].mean()


def block_replayed(
    logits: Float[Tensor, "n classes"], replayed: Bool[Tensor, " n"], current: Bool[Tensor, " classes"]
) -> Float[Tensor, "n classes"]:
    """Returns the same logits, whose replayed patterns have a gradient for current classes only (Appendix C)."""
    return torch.where(replayed.unsqueeze(1) & ~current, logits.detach(), logits)


class Head(nn.Module, ABC):
    """What a learner needs of a head: an experience begins, its rows are trained, and the experience ends."""

    seen: Tensor

    @property
    @abstractmethod
    def rows(self) -> Float[Tensor, "classes features"]:
        """psi, one row of weights for each class."""

    @abstractmethod
    def forward(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]: ...

    @torch.no_grad()
    def begin(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """Makes the head ready for an experience.

        Args:
            counts: how many patterns of each class are in the experience, on any device.
            replayed: how many patterns of each class are in the memory M, on any device.
        """
        self._begin(counts.to(self.seen.device), replayed.to(self.seen.device))

    @torch.no_grad()
    def end(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """Keeps what the experience taught; the arguments are those of `begin`."""
        self._end(counts.to(self.seen.device), replayed.to(self.seen.device))

    @abstractmethod
    def _begin(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None: ...

    @abstractmethod
    def _end(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None: ...

    @property
    @abstractmethod
    def open(self) -> Bool[Tensor, " classes"]:
        """The outputs that take part in training."""

    def competing(self, labels: Int[Tensor, " n"]) -> Bool[Tensor, "n classes"]:
        """The outputs that compete in the softmax of training patterns of these classes: all that are open."""
        return self.open.expand(len(labels), -1)

    def losses(
        self, logits: Float[Tensor, "n classes"], labels: Int[Tensor, " n"], replayed: Bool[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """The loss of each pattern: cross-entropy over the outputs that compete."""
        competing = logits.masked_fill(~self.competing(labels), -torch.inf)
        return F.cross_entropy(competing, labels, reduction="none")


class UnbiasedHead(Head):
    """A linear layer without bias, zero at the start; beside the rows in training it has those that are kept."""

    kept: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, features))
        self.register_buffer("kept", torch.zeros(classes, features))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))

    @property
    def rows(self) -> Float[Tensor, "classes features"]:
        return self.weight

    def forward(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        return F.linear(features, self.weight)


class ConsolidatedHead(UnbiasedHead):
    """The CWR* head: softmax over all classes (Algorithm 1, Section 3.3)."""

    past: Tensor

    def __init__(self, features: int, classes: int, mode: Mode, mean: Mean = Mean.PER_CLASS) -> None:
        super().__init__(features, classes)
        self.mode, self.mean = mode, mean
        self.register_buffer("past", torch.zeros(classes, dtype=torch.long))

    def _begin(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """Loads the kept rows of current and replayed classes and sets all others to zero (line 14 of Algorithm 2)."""
        present = (counts > 0) | (replayed > 0)
        self.weight.copy_(torch.where(present.unsqueeze(1), self.kept, 0.0))

    @property
    def open(self) -> Bool[Tensor, " classes"]:
        """All classes: the mode acts later, in `consolidate`."""
        return torch.ones_like(self.seen)

    def _end(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """Keeps what the experience taught and makes the kept rows the ones that predict."""
        rows = consolidate(self.weight, self.kept, self.past, counts, replayed, self.mode, mean=self.mean)
        self.kept.copy_(rows)
        self.weight.copy_(rows)
        self.past += _current(counts, replayed, self.mode)[1]
        self.seen |= counts > 0


class CopiedHead(UnbiasedHead):
    """The head of CWR and CWR+: rows begin anew in each experience, and the current ones are copied.

    CWR begins with random rows. CWR+ begins with rows of zeros, and subtracts the common mean of all current rows from
    each of them before it is copied. A class that comes again is learned as if it were new, so both suit New Classes.

    References:
        Lomonaco & Maltoni, CORe50: a New Dataset and Benchmark for Continuous Object Recognition, 2017 (CWR).
        Maltoni & Lomonaco, Continuous Learning in Single-Incremental-Task Scenarios, 2019 (CWR+).
    """

    current: Tensor

    def __init__(self, features: int, classes: int, plus: bool, rng: torch.Generator) -> None:
        super().__init__(features, classes)
        self.plus, self.rng = plus, rng
        self.register_buffer("current", torch.zeros(classes, dtype=torch.bool))

    def _begin(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """Begins all rows anew: old classes compete in the softmax too, but their rows start from nothing."""
        self.current.copy_(counts > 0)
        self.weight.zero_()
        if not self.plus:
            bound = self.weight.shape[1] ** -0.5
            drawn = torch.rand(self.weight.shape, generator=self.rng) * 2 * bound - bound
            self.weight.copy_(drawn)

    @property
    def open(self) -> Bool[Tensor, " classes"]:
        """Past and current classes: those that have not come have no row yet."""
        return self.seen | self.current

    def _end(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """Copies the rows of the current classes, and makes the kept rows the ones that predict."""
        rows = self.weight[self.current]
        self.kept[self.current] = rows - rows.mean() if self.plus else rows
        self.weight.copy_(self.kept)
        self.seen |= self.current


class PlainHead(Head):
    """A linear layer, and in negative mode the masked loss of stand-alone negative replay (Appendix C).

    `arrived` is the number, from 0, of the experience in which a class came, counting those with new classes only. It
    is -1 for a class that has not come.
    """

    current: Tensor
    arrived: Tensor

    def __init__(self, features: int, classes: int, mode: Mode, outputs: Outputs = Outputs.ALL) -> None:
        super().__init__()
        self.mode, self.outputs = mode, outputs
        self.linear = nn.Linear(features, classes)
        self.register_buffer("current", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("arrived", torch.full((classes,), -1))

    @property
    def rows(self) -> Float[Tensor, "classes features"]:
        return self.linear.weight

    def forward(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        return self.linear(features)

    def _begin(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """Remembers which classes are current; the rows stay as they are."""
        self.current.copy_(counts > 0)
        self.arrived[self.current & (self.arrived < 0)] = self.arrived.max() + 1

    @property
    def open(self) -> Bool[Tensor, " classes"]:
        match self.outputs:
            case Outputs.ALL:
                return torch.ones_like(self.seen)
            case Outputs.CURRENT:
                return self.current
            case Outputs.SEEN | Outputs.OWN:
                return self.seen | self.current

    def competing(self, labels: Int[Tensor, " n"]) -> Bool[Tensor, "n classes"]:
        """The open outputs; with `Outputs.OWN`, those of the experience in which the pattern's class arrived."""
        if self.outputs is Outputs.OWN:
            return self.arrived[labels].unsqueeze(1) == self.arrived
        return super().competing(labels)

    def by_arrival(self, classes: Bool[Tensor, " classes"]) -> list[Bool[Tensor, " classes"]]:
        """Divides classes that have arrived by the experience in which they arrived."""
        return [classes & (self.arrived == i) for i in self.arrived[classes].unique()]

    def losses(
        self, logits: Float[Tensor, "n classes"], labels: Int[Tensor, " n"], replayed: Bool[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Cross-entropy; in negative mode a replayed pattern moves the current classes' rows only."""
        if self.mode is Mode.NEGATIVE:
            logits = block_replayed(logits, replayed, self.current)
        return super().losses(logits, labels, replayed)

    def _end(self, counts: Int[Tensor, " classes"], replayed: Int[Tensor, " classes"]) -> None:
        """The rows stay as they are; the classes of the experience have been seen."""
        self.seen |= counts > 0
