"""The generator: a class-conditional VAE of latents at the replay layer (Section 4.1, Appendix D).

The encoder branches off the classifier at the replay layer, so it reads latents and needs no layers below; only the
decoder is told the class (Equations 6, 11, 12, 14). The paper names no architecture; the choice between `conv` and
`dense`, the widths, the gates and the scale of the losses were measured (docs/departures.md).

References:
    van de Ven et al., Brain-Inspired Replay for Continual Learning with Artificial Neural Networks, 2020 (the gates).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.errors import UserError
from negreplay.nets.layers import allow_single_values


class Reconstruction(NamedTuple):
    """The reconstruction of latents, and the mean and the logarithm of the variance of q(z|x)."""

    latents: Float[Tensor, "n *latent"]
    mean: Float[Tensor, "n z"]
    logvar: Float[Tensor, "n z"]


class Generator(nn.Module):
    """The encoder q(z|x) and the decoder p(x|z, y) of latents that have the shape `latent`.

    Args:
        latent: shape of one latent, (channels, height, width), (tokens, features) or (features,).
        classes: number of classes that the decoder can be asked for.
        latent_dim: size of z.
        body: `conv` (two convolutions, the second of which halves height and width too where they divide by 4) or
            `dense` (two hidden layers).
        width: channels or units of the body.
        silent: the share of the decoder's hidden channels that are shut for a class. They are drawn for each class by
            itself, so learning one class leaves many of the weights that make the others as they were.
        signed: whether latents may be negative. If not, as where they are outputs of a ReLU, generated latents are
            rectified.

    Raises:
        UserError: `body` is `conv`, and the latents are not maps of even height and width, which it could halve.
    """

    def __init__(
        self,
        latent: tuple[int, ...],
        classes: int,
        latent_dim: int,
        body: str,
        width: int,
        silent: float = 0.0,
        signed: bool = False,
    ) -> None:
        super().__init__()
        self.latent, self.classes, self.latent_dim = latent, classes, latent_dim
        make = _conv if body == "conv" else _dense
        self.encoder, hidden, output = make(latent, latent_dim + classes, 2 * latent_dim, width)
        if not signed:
            output.append(_Rectify())
        self.decoder = _Decoder(hidden, output, classes, width, silent)
        allow_single_values(self)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(
        self, latents: Float[Tensor, "n *latent"], labels: Int[Tensor, " n"], noise: Float[Tensor, "n z"]
    ) -> Reconstruction:
        """Latents as the decoder makes them from their codes; normal `noise` draws the codes."""
        mean, logvar = self.encoder(latents).chunk(2, dim=1)
        z = mean + noise.to(mean) * (0.5 * logvar).exp()
        return Reconstruction(self.decode(z, labels), mean, logvar)

    def decode(self, z: Float[Tensor, "n z"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n *latent"]:
        """p(x|z, y): latents of the given classes."""
        return self.decoder(torch.cat([z, F.one_hot(labels, self.classes).to(z)], dim=1), labels)


def generator_loss(
    latents: Float[Tensor, "n *latent"],
    made: Reconstruction,
    logits: Float[Tensor, "n classes"] | None,
    labels: Int[Tensor, " n"],
    beta: float,
    eta: float,
) -> Float[Tensor, ""]:
    """Equation 15: L_recon + beta L_KL + eta L_class.

    Args:
        latents: the latents that were to be reconstructed.
        made: the reconstruction.
        logits: the blocked classifier's logits of the reconstruction; they may be None where eta is 0.
        labels: the classes.
        beta: weight of the Kullback-Leibler divergence to N(0, I) (Equation 13).
        eta: weight of the classification loss (Equation 14).

    Departure:
        Equation 12 is averaged over the elements of a latent instead of summed, and Equation 13 over the elements of z.
        The SGD of Table 11 with its learning rate of 1 is stable only with means, and the printed beta is then right
        for latents of any size.

    Raises:
        ValueError: eta is not 0, and there are no logits.
    """
    if logits is None and eta:
        raise ValueError(f"eta is {eta}: the classification loss needs logits.")
    reconstruction = F.mse_loss(made.latents, latents)
    divergence = -0.5 * (1 + made.logvar - made.mean.square() - made.logvar.exp()).mean()
    classification = 0.0 if logits is None else F.cross_entropy(logits, labels)
    return reconstruction + beta * divergence + eta * classification


class _BatchNorm(nn.BatchNorm2d):
    """Batch norm of vectors or maps."""

    def _check_input_dim(self, input: Float[Tensor, "n c *place"]) -> None:  # noqa: A002
        pass


class _Rectify(nn.Module):
    """A ReLU whose gradient is never blocked: an output that is zero where it should not be can still grow."""

    def forward(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        return x + (x.relu() - x).detach()


class _Decoder(nn.Module):
    """Hidden layers, of whose channels the class opens some and shuts the others, and the output layer."""

    gates: Tensor

    def __init__(
        self, hidden: list[nn.Sequential], output: nn.Sequential, classes: int, width: int, silent: float
    ) -> None:
        super().__init__()
        self.hidden, self.output = nn.ModuleList(hidden), output
        open_channels = max(1, round((1 - silent) * width))
        ranks = torch.rand(len(hidden), classes, width).argsort(dim=-1)
        # Open channels are scaled up, as with dropout, so that the next layer gets as much as without gates.
        self.register_buffer("gates", (ranks < open_channels) * (width / open_channels))

    def forward(self, codes: Float[Tensor, "n code"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n *latent"]:
        x = codes
        for layer, gate in zip(self.hidden, self.gates, strict=True):
            x = layer(x)
            x = x * gate[labels].reshape(*x.shape[:2], *(1 for _ in x.shape[2:])).to(x)
        return self.output(x)


_Parts = tuple[nn.Sequential, list[nn.Sequential], nn.Sequential]
"""The encoder, the decoder's hidden layers, and the decoder's output layer."""


def _dense(latent: tuple[int, ...], code: int, encoded: int, width: int) -> _Parts:
    size = math.prod(latent)

    def hidden(inputs: int) -> list[nn.Module]:
        return [nn.Linear(inputs, width), _BatchNorm(width), nn.ReLU()]

    encoder = nn.Sequential(nn.Flatten(), *hidden(size), *hidden(width), nn.Linear(width, encoded))
    layers = [nn.Sequential(*hidden(code)), nn.Sequential(*hidden(width))]
    return encoder, layers, nn.Sequential(nn.Linear(width, size), nn.Unflatten(1, latent))


def _conv(latent: tuple[int, ...], code: int, encoded: int, width: int) -> _Parts:
    if len(latent) != 3 or latent[1] % 2 or latent[2] % 2:
        shape = "x".join(str(size) for size in latent)
        raise UserError(
            f"generator.body is conv, but latents are {shape}: give dense, or cut where height and width are even."
        )
    channels, height, across = latent
    second = 1 if height % 4 or across % 4 else 2
    small = (width, height // 2 // second, across // 2 // second)

    def hidden(layer: nn.Module) -> list[nn.Module]:
        return [layer, _BatchNorm(width), nn.ReLU()]

    encoder = nn.Sequential(
        *hidden(nn.Conv2d(channels, width, 3, stride=2, padding=1)),
        *hidden(nn.Conv2d(width, width, 3, stride=second, padding=1)),
        nn.Flatten(),
        nn.Linear(math.prod(small), encoded),
    )
    spread = nn.Sequential(nn.Linear(code, math.prod(small)), nn.Unflatten(1, small), _BatchNorm(width), nn.ReLU())
    grown = nn.Sequential(*hidden(nn.ConvTranspose2d(width, width, second + 2, stride=second, padding=1)))
    return encoder, [spread, grown], nn.Sequential(nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1))
