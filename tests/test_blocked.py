"""`blocked`: what it blocks does not learn, and is as it was afterwards."""

import pytest
import torch
from torch import nn

from negreplay.optimize import blocked


class TwoParts(nn.Module):
    """Parts of which one is in evaluation, and one has a parameter that does not learn, before anything is blocked."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
        self.b = nn.Linear(2, 2)
        self.b.bias.requires_grad_(False)


def modes(module: nn.Module) -> tuple[list[bool], list[bool]]:
    return [m.training for m in module.modules()], [p.requires_grad for p in module.parameters()]


def test_blocked_stops_learning_and_restores_exactly():
    module = TwoParts()
    before = modes(module)
    assert before == ([True, True, True, False, True], [True, True, True, True, True, False])
    with blocked(module):
        assert modes(module) == ([False] * 5, [False] * 6)
    assert modes(module) == before


def test_blocked_reaches_the_given_modules_only():
    module = TwoParts()
    before = modes(module)
    with blocked(module.a):
        assert modes(module) == ([True, False, False, False, True], [False, False, False, False, True, False])
    with blocked(module.a, module.b):
        assert modes(module) == ([True] + [False] * 4, [False] * 6)
    with blocked():
        assert modes(module) == before
    assert modes(module) == before


def test_blocked_restores_after_an_error_and_inside_another_block():
    module = TwoParts()
    before = modes(module)
    with pytest.raises(RuntimeError, match="stop"), blocked(module):
        with blocked(module.b):
            pass
        assert modes(module) == ([False] * 5, [False] * 6)
        raise RuntimeError("stop")
    assert modes(module) == before


def test_gradients_flow_through_a_blocked_module():
    module, x = nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    with blocked(module):
        module(x).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, module.weight)
    assert module.weight.grad is None
