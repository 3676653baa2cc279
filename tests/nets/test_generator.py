import math

import pytest
import torch
from torch import Tensor

from negreplay.errors import UserError
from negreplay.nets.generator import Generator, Reconstruction, generator_loss

BODIES = pytest.mark.parametrize(
    ("latent", "body"),
    [((6, 8, 8), "conv"), ((6, 14, 6), "conv"), ((6, 8, 8), "dense"), ((7, 5), "dense"), ((5,), "dense")],
)


def generator(latent: tuple[int, ...], body: str, classes: int = 3) -> Generator:
    torch.manual_seed(0)
    return Generator(latent, classes, latent_dim=4, body=body, width=8)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 4, generator=rng(seed))


@BODIES
def test_shapes(latent, body):
    net = generator(latent, body)
    made = net(torch.rand(7, *latent), torch.arange(7) % 3, noise(7))
    assert made.latents.shape == (7, *latent)
    assert made.mean.shape == made.logvar.shape == (7, 4)
    assert net.decode(torch.randn(2, 4), torch.tensor([0, 2])).shape == (2, *latent)


@BODIES
def test_what_is_generated_could_be_outputs_of_a_relu(latent, body):
    made = generator(latent, body).decode(torch.randn(20, 4), torch.zeros(20, dtype=torch.long))
    assert made.min() >= 0 and made.max() > 0


@BODIES
def test_signed_latents_can_be_generated(latent, body):
    torch.manual_seed(0)
    net = Generator(latent, 3, latent_dim=4, body=body, width=8, signed=True)
    assert net.decode(torch.randn(20, 4), torch.zeros(20, dtype=torch.long)).min() < 0


@BODIES
def test_nothing_is_drawn_but_the_noise(latent, body):
    net = generator(latent, body)
    latents, labels = torch.rand(5, *latent), torch.arange(5) % 3
    before = torch.get_rng_state()
    one, again, other = (net(latents, labels, noise(5, seed)).latents for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


@BODIES
def test_the_label_reaches_the_decoder_only(latent, body):
    # In training the batch norm of a minibatch of one class would take the label's share out again.
    net = generator(latent, body).eval()
    latents = torch.rand(5, *latent)
    zeros, ones = (net(latents, torch.full((5,), c), noise(5)) for c in (0, 1))
    assert torch.equal(zeros.mean, ones.mean) and torch.equal(zeros.logvar, ones.logvar)
    assert not torch.isclose(zeros.latents, ones.latents).all()


@BODIES
def test_each_class_has_channels_of_its_own(latent, body):
    torch.manual_seed(0)
    net = Generator(latent, 20, latent_dim=4, body=body, width=10, silent=0.7)
    gates = net.decoder.gates
    assert gates.shape == (2, 20, 10) and gates.unique().tolist() == [0.0, pytest.approx(1 / 0.3)]
    assert (gates > 0).sum(dim=2).unique().tolist() == [3]  # 30 % of 10 channels are open, for every class
    assert len({tuple(gate.tolist()) for gate in gates[0]}) > 10
    # Batch norm, whose running statistics all classes share, stays out of this: it is in evaluation.
    shut = (gates[1, 5] == 0).nonzero().flatten()
    net.eval().decode(torch.randn(3, 4), torch.full((3,), 5)).sum().backward()
    last = next(p.grad for p in net.decoder.output[0].parameters())
    assert last is not None
    per_channel = last.flatten(1) if last.dim() == 4 else last.T
    assert not per_channel[shut].any() and per_channel.any()


@BODIES
def test_all_parts_learn(latent, body):
    net = generator(latent, body)
    latents, labels = torch.rand(5, *latent), torch.arange(5) % 3
    generator_loss(latents, net(latents, labels, noise(5)), torch.zeros(5, 3), labels, 0.1, 0.01).backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize(
    ("latent", "shape"), [((5,), "5"), ((197, 192), "197x192"), ((6, 8, 7), "6x8x7"), ((6, 1, 8), "6x1x8")]
)
def test_maps_that_convolutions_cannot_halve_are_refused(latent, shape):
    with pytest.raises(UserError, match=f"^generator.body is conv, but latents are {shape}: give dense"):
        generator(latent, "conv")


def test_noise_has_the_encoders_standard_deviation():
    net = generator((5,), "dense")
    latents = torch.rand(1, 5)
    mean, logvar = net.encoder(latents).chunk(2, dim=1)
    drawn = noise(1, 3)
    made = net(latents, torch.tensor([1]), drawn)
    expected = net.decode(mean + drawn * logvar.exp().sqrt(), torch.tensor([1]))
    torch.testing.assert_close(made.latents, expected)


def a_reconstruction() -> tuple[Tensor, Reconstruction, Tensor, Tensor]:
    """Two latents of two elements, with z of two numbers and two classes."""
    latents = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    made = Reconstruction(
        torch.tensor([[1.0, 0.0], [2.0, 4.0]]),
        torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        torch.tensor([[0.0, math.log(4.0)], [0.0, 0.0]]),
    )
    return latents, made, torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]]), torch.tensor([1, 0])


# Equation 12: squared distances 0 + 4 and 1 + 0, that is 2.5 a pattern, and 1.25 an element.
RECONSTRUCTION = 1.25
# Equation 13: (mean^2 + var - 1 - ln var) / 2 is 1/2 and (4 - 1 - ln 4) / 2 = 0.8068528 in the first pattern, 0 and 2
# in the second; (1.3068528 + 2) / 2 = 1.6534264 a pattern, and half of that an element of z.
DIVERGENCE = 0.8267132
# Equation 14: probabilities 3/4 and 1/2, so (0.2876821 + 0.6931472) / 2.
CLASSIFICATION = 0.4904146


@pytest.mark.parametrize(
    ("beta", "eta", "expected"),
    [
        (0.0, 0.0, RECONSTRUCTION),
        (1.0, 0.0, RECONSTRUCTION + DIVERGENCE),
        (0.0, 1.0, RECONSTRUCTION + CLASSIFICATION),
        (0.5, 3.0, RECONSTRUCTION + 0.5 * DIVERGENCE + 3.0 * CLASSIFICATION),
    ],
)
def test_equation_15_by_hand(beta, eta, expected):
    latents, made, logits, labels = a_reconstruction()
    torch.testing.assert_close(generator_loss(latents, made, logits, labels, beta, eta), torch.tensor(expected))


def test_divergence_is_that_of_two_normal_distributions():
    torch.manual_seed(0)
    mean, logvar = torch.randn(2, 6, 4)
    latents = torch.rand(6, 10)
    made = Reconstruction(latents, mean, logvar)
    normal = torch.distributions.Normal(torch.zeros(4), torch.ones(4))
    theirs = torch.distributions.kl_divergence(torch.distributions.Normal(mean, (logvar / 2).exp()), normal)
    loss = generator_loss(latents, made, None, torch.zeros(6, dtype=torch.long), 1.0, 0.0)
    torch.testing.assert_close(loss, theirs.mean())


def test_a_classification_loss_without_logits_is_refused():
    latents, z = torch.rand(2, 3), torch.zeros(2, 4)
    with pytest.raises(ValueError, match="needs logits"):
        generator_loss(latents, Reconstruction(latents, z, z), None, torch.zeros(2, dtype=torch.long), 0.1, 0.5)


def test_the_scale_of_maps_is_that_of_their_flat_latents():
    torch.manual_seed(0)
    latents, made, z = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4), torch.randn(3, 4)
    logits, labels = torch.randn(3, 5), torch.tensor([0, 4, 2])
    maps = generator_loss(latents, Reconstruction(made, z, z), logits, labels, 0.3, 0.2)
    flat = generator_loss(latents.flatten(1), Reconstruction(made.flatten(1), z, z), logits, labels, 0.3, 0.2)
    torch.testing.assert_close(maps, flat)


@pytest.mark.parametrize(("latent", "body"), [((2, 4, 4), "conv"), ((32,), "dense")])
def test_it_learns_to_generate_either_of_two_classes(latent, body):
    torch.manual_seed(0)
    # Two patterns of which about half the elements are 0, each seen with noise of a standard deviation of 0.2.
    prototypes = torch.randn(2, *latent).relu()
    net = Generator(latent, 2, latent_dim=4, body=body, width=32)
    optimizer, source = torch.optim.Adam(net.parameters(), lr=2e-3), rng(1)
    for _ in range(600):
        labels = torch.randint(2, (64,), generator=source)
        latents = (prototypes[labels] + 0.2 * torch.randn(64, *latent, generator=source)).relu()
        loss = generator_loss(
            latents, net(latents, labels, torch.randn(64, 4, generator=source)), None, labels, 0.1, 0.0
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    apart = (prototypes[0] - prototypes[1]).norm()
    for c in range(2):
        real = (prototypes[c] + 0.2 * torch.randn(2000, *latent, generator=source)).relu().mean(dim=0)
        made = net.decode(torch.randn(500, 4, generator=source), torch.full((500,), c)).mean(dim=0)
        assert (made - real).norm() < 0.1 * apart


@BODIES
def test_a_minibatch_of_one_trains(latent, body):
    net = generator(latent, body)
    made = net(torch.rand(1, *latent), torch.tensor([1]), noise(1))
    made.latents.sum().backward()
    assert made.latents.isfinite().all()
    assert all(buffer.isfinite().all() for buffer in net.buffers())
