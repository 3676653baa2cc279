"""Batch renormalisation: batch norm for minibatches of few classes.

Training normalises with the minibatch's statistics, pulled towards the running ones within limits r_max and d_max, so
that training and evaluation stay close although an experience shows only some of the classes.

References:
    Ioffe, Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models, 2017.
    Lomonaco et al., Rehearsal-Free Continual Learning over Small Non-I.I.D. Batches, 2020 (the schedule of AR1*).
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.nets import synchronised
from negreplay.ranks import present
from negreplay.recipe import RenormRecipe


class BatchRenorm2d(nn.Module):
    """Batch renormalisation in place of a trained or fresh batch norm, whose parameters and statistics it takes over.

    `running_std` is sqrt(running_var + eps), so that in evaluation the two layers compute the same. All that changes
    while learning is a buffer, including the limits `r_max` and `d_max` and the `momentum`.
    """

    running_mean: Tensor
    running_std: Tensor
    momentum: Tensor
    r_max: Tensor
    d_max: Tensor

    def __init__(self, replaced: nn.BatchNorm2d, schedule: RenormRecipe) -> None:
        super().__init__()
        mean, var = replaced.running_mean, replaced.running_var
        if mean is None or var is None or not replaced.affine:
            raise UserError(
                f"{replaced} has no {'weight and bias' if mean is not None else 'running statistics'} to take over: "
                "build the network with affine=True and track_running_stats=True, or set classifier.renorm to null."
            )
        self.schedule, self.eps = schedule, replaced.eps
        self.weight, self.bias = replaced.weight, replaced.bias
        self.register_buffer("running_mean", mean.clone())
        self.register_buffer("running_std", (var + replaced.eps).sqrt())
        for name in ("momentum", "r_max", "d_max"):
            self.register_buffer(name, mean.new_zeros(()))
        self.begin(first=True)
        self.train(replaced.training)

    def begin(self, first: bool) -> None:
        """Sets momentum and limits for an experience (see `RenormRecipe`)."""
        schedule = self.schedule
        self.momentum.fill_(schedule.first_momentum if first else schedule.momentum)
        self.r_max.fill_(1.0 if first else schedule.r_max)
        self.d_max.fill_(0.0 if first else schedule.d_max)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalises with the minibatch's statistics in training, with the running ones in evaluation."""
        if not self.training:
            # Variance and eps are passed apart, for some devices refuse an eps of 0.
            var = self.running_std.square() - self.eps
            return _batch_norm(x, self.weight, self.bias, (self.running_mean, var), self.eps)
        if present().count > 1:
            whole = synchronised.moments(x)
            r, d = self._correct(whole.mean, whole.var, whole.values // (x.shape[2] * x.shape[3]))
            return synchronised.normalise(x, self.weight * r, self.bias + self.weight * d, whole, self.eps)
        # This is forty times faster than var_mean on channels_last. The clones make its results float32 for bfloat16.
        scratch = self.running_mean.clone(), self.running_std.clone()
        r, d = self._correct(*torch.batch_norm_update_stats(x, *scratch, 0.0), len(x))
        # gamma ((x - m) / s r + d) + beta is computed as one batch norm: one pass over x instead of five.
        return _batch_norm(x, self.weight * r, self.bias + self.weight * d, None, self.eps)

    @torch.no_grad()
    def _correct(
        self, mean: Float[Tensor, " c"], var: Float[Tensor, " c"], patterns: int
    ) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Returns r and d for a minibatch, lets it enter the running statistics, and opens the limits further."""
        std = (var + self.eps).sqrt()
        r = (std / self.running_std).clamp(1 / self.r_max, self.r_max)
        d = ((mean - self.running_mean) / self.running_std).clamp(-self.d_max, self.d_max)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_std.lerp_(std, self.momentum)
        step = self.schedule.opening * patterns
        self.r_max.add_(step).clamp_(max=self.schedule.r_max)
        self.d_max.add_(step).clamp_(max=self.schedule.d_max)
        return r, d

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


def _batch_norm(
    x: Float[Tensor, "n c h w"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    statistics: tuple[Float[Tensor, " c"], Float[Tensor, " c"]] | None,
    eps: float,
) -> Float[Tensor, "n c h w"]:
    """Batch norm with the given mean and variance, or with the minibatch's own."""
    mean, var = statistics or (None, None)
    # F.batch_norm refuses a minibatch of one value per channel, which is well defined here.
    return torch.batch_norm(x, weight, bias, mean, var, statistics is None, 0.0, eps, torch.backends.cudnn.enabled)


def renormalise(module: nn.Module, schedule: RenormRecipe) -> nn.Module:
    """Replaces every batch norm of `module` by batch renormalisation, in place.

    Parameters stay the same objects, so an optimiser that holds them goes on. A subclass of batch norm may contain
    layers that it applies after normalising (timm's `drop` and `act`); these then follow the batch renormalisation.

    Returns:
        The module itself.

    Raises:
        UserError: there is no batch norm, or one has no parameters or no running statistics to take over.
    """
    replacements: dict[nn.Module, nn.Module] = {}
    for name, layer in list(module.named_modules(remove_duplicate=False)):
        if isinstance(layer, nn.BatchNorm2d):
            parent, _, child = name.rpartition(".")
            if layer not in replacements:
                norm, after = BatchRenorm2d(layer, schedule), dict(layer.named_children())
                replacements[layer] = nn.Sequential(OrderedDict(norm=norm, **after)) if after else norm
            setattr(module.get_submodule(parent), child, replacements[layer])
    if not replacements:
        raise UserError("classifier.renorm has no effect, for the network has no batch norm: set it to null.")
    return module


def begin_renorm(module: nn.Module, first: bool) -> None:
    """Prepares every batch renormalisation of `module` for an experience.

    In the first one momentum is `first_momentum` and the limits open from (1, 0) by `opening` per pattern; in later
    ones momentum is `momentum` and the limits are wide open. Blocked layers are left as they are, for they stay in
    evaluation (and a front that does not change keeps its `fingerprint`).
    """
    for layer in module.modules():
        if isinstance(layer, BatchRenorm2d) and layer.weight.requires_grad:
            layer.begin(first)
