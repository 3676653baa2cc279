import pytest
import torch

from negreplay.nets.small import SmallNet
from negreplay.photographs import networks
from negreplay.photographs.networks import Network


@pytest.fixture(autouse=True)
def small_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of these tests have a small network with random weights, but for the tests of networks."""
    if "test_networks" in request.module.__name__:
        return

    def network(*_: object) -> Network:
        torch.manual_seed(0)
        return Network("small", SmallNet(3), "for tests")

    monkeypatch.setattr(networks, "network", network)
