import numpy as np
import pytest
import torch
from torch import nn

from negreplay.errors import UserError
from negreplay.nets.renorm import BatchRenorm2d, begin_renorm, renormalise
from negreplay.recipe import RenormRecipe

SCHEDULE = RenormRecipe()
PLAIN = RenormRecipe(r_max=1.0, d_max=0.0)


def trained_norm(channels: int = 5, eps: float = 1e-5) -> nn.BatchNorm2d:
    """A batch norm whose parameters and statistics are not the initial ones."""
    norm = nn.BatchNorm2d(channels, eps=eps)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(1e-4, 2.0)
    return norm


def by_hand(layer: BatchRenorm2d, x: np.ndarray, r_max: float, d_max: float) -> np.ndarray:
    """Algorithm 1 of Ioffe 2017, in float64."""
    gamma, beta, mean, std = (
        t.detach().double().numpy().reshape(-1, 1, 1)
        for t in (layer.weight, layer.bias, layer.running_mean, layer.running_std)
    )
    batch_mean = x.mean((0, 2, 3)).reshape(-1, 1, 1)
    batch_std = np.sqrt(x.var((0, 2, 3)) + layer.eps).reshape(-1, 1, 1)
    r = np.clip(batch_std / std, 1 / r_max, r_max)
    d = np.clip((batch_mean - mean) / std, -d_max, d_max)
    return gamma * ((x - batch_mean) / batch_std * r + d) + beta


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_training_is_the_formula_and_keeps_the_memory_format(memory_format):
    torch.manual_seed(0)
    layer = BatchRenorm2d(trained_norm(), SCHEDULE)
    layer.begin(first=False)
    x = (torch.randn(6, 5, 3, 4) * 2 + 1).contiguous(memory_format=memory_format)
    expected = by_hand(layer, x.double().numpy(), r_max=1.25, d_max=0.5)
    y = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-5)
    assert y.is_contiguous(memory_format=memory_format)


def test_statistics_move_by_momentum():
    torch.manual_seed(0)
    layer = BatchRenorm2d(trained_norm(), SCHEDULE)
    mean, std = layer.running_mean.clone(), layer.running_std.clone()
    x = torch.randn(6, 5, 3, 4)
    layer(x)
    batch_mean, batch_std = x.mean((0, 2, 3)), (x.var((0, 2, 3), correction=0) + layer.eps).sqrt()
    torch.testing.assert_close(layer.running_mean, mean + 0.01 * (batch_mean - mean))
    torch.testing.assert_close(layer.running_std, std + 0.01 * (batch_std - std))


@pytest.mark.parametrize("eps", [1e-5, 1e-3])
def test_in_evaluation_it_is_the_replaced_batch_norm(eps):
    torch.manual_seed(0)
    norm = trained_norm(eps=eps).eval()
    layer = BatchRenorm2d(norm, SCHEDULE)
    x = torch.randn(6, 5, 3, 4)
    before = layer.running_mean.clone()
    assert not layer.training
    torch.testing.assert_close(layer(x), norm(x), atol=1e-5, rtol=1e-5)
    assert torch.equal(layer.running_mean, before)


def test_with_closed_limits_training_is_batch_norm():
    torch.manual_seed(0)
    norm = trained_norm()
    layer = BatchRenorm2d(norm, PLAIN)
    layer.begin(first=False)
    x = torch.randn(6, 5, 3, 4)
    torch.testing.assert_close(layer(x), norm(x))


def test_no_gradient_flows_through_r_and_d():
    torch.manual_seed(0)
    layer = BatchRenorm2d(trained_norm(3), SCHEDULE).double()
    layer.begin(first=False)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    mean, std = x.mean((0, 2, 3), keepdim=True), (x.var((0, 2, 3), correction=0, keepdim=True) + layer.eps).sqrt()
    old_mean, old_std = layer.running_mean.reshape(-1, 1, 1), layer.running_std.reshape(-1, 1, 1)
    r = (std / old_std).clamp(1 / 1.25, 1.25).detach()
    d = ((mean - old_mean) / old_std).clamp(-0.5, 0.5).detach()
    formula = layer.weight.reshape(-1, 1, 1) * ((x - mean) / std * r + d) + layer.bias.reshape(-1, 1, 1)
    probe = torch.randn_like(x)
    inputs = (x, layer.weight, layer.bias)
    expected = torch.autograd.grad((formula * probe).sum(), inputs)
    for got, want in zip(torch.autograd.grad((layer(x) * probe).sum(), inputs), expected, strict=True):
        torch.testing.assert_close(got, want)


def test_one_pattern_of_one_value_per_channel():
    torch.manual_seed(0)
    layer = BatchRenorm2d(trained_norm(), SCHEDULE)
    layer.begin(first=False)
    x = torch.randn(1, 5, 1, 1, requires_grad=True)
    d = ((x.detach().flatten() - layer.running_mean) / layer.running_std).clamp(-0.5, 0.5)
    y = layer(x)
    torch.testing.assert_close(y.flatten(), layer.bias + layer.weight * d)
    y.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert layer.running_std.isfinite().all() and layer.running_mean.isfinite().all()


def test_statistics_of_bfloat16_are_float32():
    torch.manual_seed(0)
    layer = BatchRenorm2d(trained_norm(), SCHEDULE)
    x = torch.randn(64, 5, 4, 4).bfloat16()
    mean = layer.running_mean.clone()
    assert layer(x).dtype == torch.bfloat16
    expected = mean + 0.01 * (x.float().mean((0, 2, 3)) - mean)
    torch.testing.assert_close(layer.running_mean, expected, atol=1e-7, rtol=1e-6)


def test_limits_open_with_the_patterns_of_the_first_experience():
    layer = BatchRenorm2d(nn.BatchNorm2d(2), SCHEDULE)
    x = torch.randn(128, 2, 1, 1)
    assert (layer.r_max.item(), layer.d_max.item()) == (1.0, 0.0)
    layer(x)
    assert layer.r_max.item() == pytest.approx(1.005248) and layer.d_max.item() == pytest.approx(0.005248)
    layer(x[:1].expand(128 * 47, -1, -1, -1))
    assert layer.r_max.item() == 1.25 and layer.d_max.item() == pytest.approx(48 * 0.005248)
    layer(x[:1].expand(128 * 48, -1, -1, -1))
    assert layer.d_max.item() == 0.5


def test_begin_reaches_nested_layers_but_no_blocked_ones():
    net = nn.Sequential(nn.Sequential(nn.BatchNorm2d(2)), nn.BatchNorm2d(2))
    renormalise(net, SCHEDULE)
    blocked, free = (m for m in net.modules() if isinstance(m, BatchRenorm2d))
    blocked.requires_grad_(False)
    begin_renorm(net, first=False)
    assert (free.momentum.item(), free.r_max.item(), free.d_max.item()) == (pytest.approx(5e-5), 1.25, 0.5)
    assert (blocked.momentum.item(), blocked.r_max.item(), blocked.d_max.item()) == (pytest.approx(0.01), 1.0, 0.0)


def test_renormalise_replaces_nested_and_shared_layers_and_keeps_their_parameters():
    shared = trained_norm(2)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.Sequential(shared), nn.ReLU()), shared)
    parameters = list(net.parameters())
    assert renormalise(net, SCHEDULE) is net
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert net.get_submodule("1.0.0") is net.get_submodule("2")
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))


def test_the_state_survives_a_checkpoint():
    torch.manual_seed(0)
    source = renormalise(nn.Sequential(trained_norm()), SCHEDULE)
    begin_renorm(source, first=True)
    for _ in range(3):
        source(torch.randn(8, 5, 2, 2))
    copy = renormalise(nn.Sequential(nn.BatchNorm2d(5)), SCHEDULE)
    copy.load_state_dict(source.state_dict())
    x = torch.randn(8, 5, 2, 2)
    torch.testing.assert_close(copy(x), source(x), rtol=0, atol=0)
    for name, tensor in source.state_dict().items():
        assert torch.equal(copy.state_dict()[name], tensor), name


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}])
def test_a_norm_with_nothing_to_take_over_is_refused(options):
    with pytest.raises(UserError, match="affine=True and track_running_stats=True"):
        renormalise(nn.Sequential(nn.BatchNorm2d(3, **options)), SCHEDULE)
