"""The generator of Deep Generative Replay: a symmetrical VAE of images, which knows no classes."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class VAE(nn.Module):
    """A VAE whose encoder and decoder have two hidden layers of `width` units; z has `latent_dim` elements.

    Pixels lie between 0 and 1.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, 2014.
        van de Ven & Tolias, Generative replay with feedback connections, 2018 (the architecture).
    """

    def __init__(self, shape: tuple[int, ...], width: int, latent_dim: int) -> None:
        super().__init__()
        size, self.latent_dim = math.prod(shape), latent_dim

        def layers(*sizes: int) -> list[nn.Module]:
            parts: list[nn.Module] = []
            for inputs, outputs in pairwise(sizes):
                parts += [nn.Linear(inputs, outputs), nn.ReLU()]
            return parts[:-1]

        self.encoder = nn.Sequential(nn.Flatten(), *layers(size, width, width, 2 * latent_dim))
        self.decoder = nn.Sequential(*layers(latent_dim, width, width, size), nn.Unflatten(1, shape))

    def loss(self, images: Float[Tensor, "n *shape"], rng: torch.Generator) -> Float[Tensor, " n"]:
        """The negative evidence lower bound of each image, divided by its size; pixels are taken as probabilities."""
        mean, logvar = self.encoder(images).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=rng).to(mean)
        decoded = self.decoder(mean + noise * (0.5 * logvar).exp())
        reconstruction = F.binary_cross_entropy_with_logits(decoded, images, reduction="none").flatten(1).sum(dim=1)
        divergence = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(dim=1)
        return (reconstruction + divergence) / images[0].numel()

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator) -> Float[Tensor, "n *shape"]:
        """Samples images; the VAE does not know their classes."""
        z = torch.randn(count, self.latent_dim, generator=rng)
        return self.decoder(z.to(next(self.parameters()).device)).sigmoid()
