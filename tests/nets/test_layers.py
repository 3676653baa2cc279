import torch

from negreplay.nets.layers import IMAGENET_MEAN, IMAGENET_STD, GlobalMean, Normalise


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
