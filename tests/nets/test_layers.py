import torch

from negreplay.nets.layers import GlobalMean


def test_gradient_of_the_global_mean_is_channels_last():
    maps = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    inner, gradients = maps * 2, []
    inner.register_hook(gradients.append)
    features = GlobalMean()(inner)
    torch.testing.assert_close(features, inner.mean(dim=(2, 3)))
    features.square().sum().backward()
    assert gradients[0].is_contiguous(memory_format=torch.channels_last)
