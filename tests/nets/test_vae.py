"""The generator of Deep Generative Replay: its loss computed once more, and what it makes."""

import pytest
import torch
from torch import Tensor, nn

from negreplay.nets.vae import VAE

SHAPE = (2, 3, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vae(seed: int = 0, width: int = 7) -> VAE:
    torch.manual_seed(seed)
    return VAE(SHAPE, width, latent_dim=5)


def images(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, *SHAPE, generator=seeded(seed))


def by_hand(net: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """Minus the evidence lower bound of one image per pixel, from distributions instead of formulas."""
    posterior = net.encoder(x.unsqueeze(0))[0]
    mean, deviation = posterior[:5], posterior[5:].exp().sqrt()
    made = torch.sigmoid(net.decoder((mean + noise * deviation).unsqueeze(0))[0])
    likelihood = (x * made.log() + (1 - x) * (1 - made).log()).sum()
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(mean, deviation), normal(0.0, 1.0)).sum()
    return (divergence - likelihood) / (2 * 3 * 4)


def test_the_loss_is_minus_the_evidence_lower_bound_of_each_image():
    net, x = vae().double(), images(3).double()
    with torch.no_grad():
        for p in net.parameters():  # so that means and deviations are not almost 0 and 1
            p.mul_(2.0)
    noise = torch.randn(3, 5, generator=seeded()).double()
    expected = torch.stack([by_hand(net, one, some) for one, some in zip(x, noise, strict=True)])
    losses = net.loss(x, seeded())
    assert losses.shape == (3,) and losses.max() - losses.min() > 1e-3
    torch.testing.assert_close(losses, expected)


def test_each_way_has_two_hidden_layers_of_the_width():
    net = vae()
    sizes = [
        [(m.in_features, m.out_features) for m in half.modules() if isinstance(m, nn.Linear)]
        for half in (net.encoder, net.decoder)
    ]
    assert sizes == [[(24, 7), (7, 7), (7, 10)], [(5, 7), (7, 7), (7, 24)]]


def test_all_of_it_learns():
    net = vae()
    net.loss(images(8), seeded()).mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_samples_are_images_with_pixels_between_0_and_1():
    net = vae()
    with torch.no_grad():
        for p in net.decoder.parameters():
            p.mul_(20.0)
    x = net.sample(50, seeded())
    assert x.shape == (50, *SHAPE) and not x.requires_grad
    assert 0 <= x.min() < 0.01 and 0.99 < x.max() <= 1
    assert net.sample(0, seeded()).shape == (0, *SHAPE)


def test_samples_are_what_the_decoder_makes_of_normal_noise():
    net = vae()
    z = torch.randn(6, 5, generator=seeded(3))
    torch.testing.assert_close(net.sample(6, seeded(3)), torch.sigmoid(net.decoder(z)).detach())


def test_all_draws_come_from_the_given_generator():
    net, x, before = vae(), images(4), torch.get_rng_state()
    for draw in (lambda rng: net.loss(x, rng).detach(), lambda rng: net.sample(4, rng)):
        rng = seeded()
        one, next_one = draw(rng), draw(rng)
        assert torch.equal(one, draw(seeded())) and not torch.equal(one, next_one)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_pixels_at_the_ends_have_a_finite_loss(level):
    net = vae()
    with torch.no_grad():
        for p in net.decoder.parameters():
            p.mul_(200.0)  # the pixels that it makes are 0 or 1 to the last bit
    losses = net.loss(torch.full((4, *SHAPE), level), seeded())
    assert losses.isfinite().all()


def test_it_learns_a_tiny_set():
    """Two pictures, one the other's negative: what it makes afterwards is one or the other."""
    torch.manual_seed(0)
    net, rng = VAE((1, 4, 4), width=32, latent_dim=2), seeded()
    one = (torch.arange(16).reshape(1, 4, 4) % 2).float()
    x = torch.stack([one, 1 - one]).repeat(16, 1, 1, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(100):
        loss = net.loss(x, rng).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Knowing nothing costs ln 2 = 0.69 per pixel; knowing all but which of the two, ln 2 / 16 = 0.04.
    assert losses[0] > 0.6 and sum(losses[-20:]) / 20 < 0.2
    made = net.sample(200, rng)
    near = torch.stack([(made - picture).abs().flatten(1).mean(dim=1) < 0.1 for picture in (one, 1 - one)])
    assert near.any(dim=0).float().mean() > 0.8
    # Of 200 equal choices each is taken 100 times, give or take 7; the two halves of the plane may differ somewhat.
    assert near.float().mean(dim=1).min() > 0.25
