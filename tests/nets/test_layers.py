import copy

import pytest
import torch
from torch import nn

from negreplay.nets.layers import IMAGENET_MEAN, IMAGENET_STD, GlobalMean, Normalise, allow_single_values


def test_gradient_of_the_global_mean_is_channels_last():
    maps = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    inner, gradients = maps * 2, []
    inner.register_hook(gradients.append)
    features = GlobalMean()(inner)
    torch.testing.assert_close(features, inner.mean(dim=(2, 3)))
    features.square().sum().backward()
    assert gradients[0].is_contiguous(memory_format=torch.channels_last)


def test_a_grey_image_becomes_as_many_channels_as_there_are_means():
    grey = torch.rand(2, 1, 3, 3)
    coloured = Normalise(IMAGENET_MEAN, IMAGENET_STD)(grey)
    assert torch.equal(coloured, Normalise(IMAGENET_MEAN, IMAGENET_STD)(grey.expand(-1, 3, -1, -1)))


class NormAndDropout(nn.BatchNorm2d):
    """A batch norm that applies a layer of its own to what it has normalised, as timm's do."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Dropout(0.5)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        return self.drop(super().forward(input))


def norm_of(kind: type[nn.Module], **options: object) -> nn.Module:
    """A batch norm of 64 channels with statistics of its own, that takes single values."""
    norm = kind(64, **options)
    norm(torch.randn(8, 64, *(() if kind is nn.BatchNorm1d else (3, 3)), generator=torch.Generator().manual_seed(0)))
    allow_single_values(norm)
    return norm


@pytest.mark.parametrize("copied", [lambda layer: layer, copy.deepcopy])
@pytest.mark.parametrize(("kind", "place"), [(nn.BatchNorm1d, ()), (nn.BatchNorm1d, (1,)), (nn.BatchNorm2d, (1, 1))])
def test_a_single_value_per_channel_is_normalised_as_in_evaluation(kind, place, copied):
    norm, x = copied(norm_of(kind)).train(), torch.rand(1, 64, *place).requires_grad_()
    before = copy.deepcopy(norm.state_dict())
    y = norm(x)
    assert norm.training and all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())
    assert torch.equal(y, norm.eval()(x))
    y.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in (x, norm.weight, norm.bias))


@pytest.mark.parametrize("shape", [(1, 64, 2, 1), (2, 64, 1, 1), (5, 64, 3, 3)])
def test_a_usual_minibatch_is_normalised_by_its_own_statistics(shape):
    plain = nn.BatchNorm2d(64, momentum=0.3)
    norm, x = copy.deepcopy(plain), torch.rand(shape)
    allow_single_values(norm)
    for mode in (True, False):
        assert torch.equal(norm.train(mode)(x), plain.train(mode)(x))
    assert str(norm) == str(plain) and norm.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in norm.state_dict().items())


def test_what_a_batch_norm_applies_afterwards_stays_in_training():
    norm, x = norm_of(NormAndDropout), torch.full((1, 64, 1, 1), 3.0)
    assert 0 < (norm(x) == 0).sum() < 64
    assert not (norm.eval()(x) == 0).any()


def test_a_copy_normalises_with_statistics_of_its_own():
    norm, x = norm_of(nn.BatchNorm1d), torch.rand(1, 64)
    twin = copy.deepcopy(norm)
    assert torch.equal(twin(x), norm(x))
    twin.get_buffer("running_mean").add_(1.0)
    assert not torch.isclose(twin(x), norm(x)).any()
