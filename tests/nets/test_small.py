import torch

from negreplay.nets.small import SmallNet


def test_shapes_and_size():
    net = SmallNet(channels=3)
    x = torch.rand(2, 3, 8, 8)
    shapes = {}
    for name, module in net.named_children():
        x = module(x)
        shapes[name] = tuple(x.shape[1:])
    assert shapes == {"conv1": (16, 8, 8), "conv2": (32, 4, 4), "conv3": (64, 4, 4), "pool": (256,)}
    assert net.features == 256
    assert sum(p.numel() for p in net.parameters()) <= 50_000
