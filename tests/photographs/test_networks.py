"""The default network is the one whose weights the package brings."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from negreplay.errors import UserError
from negreplay.photographs import networks

DAISY = 985
"""The number of the daisy among the classes of ImageNet."""


def test_a_daisy_is_a_daisy():
    """The head of the package's weights, on our features of a photograph of a flower."""
    tensors = list(networks._read(networks._package_file()).values())
    weight, bias = tensors[-2:]
    image = torch.from_numpy(np.array(load_sample_image("flower.jpg"))).movedim(-1, 0)[:, :420, 100:520] / 255
    image = torch.nn.functional.interpolate(image.unsqueeze(0), 224, mode="bilinear", antialias=True)
    net = networks.efficientnet_lite0().eval()
    with torch.no_grad():
        logits = net(image) @ weight.T + bias
    assert weight.shape == (1000, 1280) and int(logits.argmax()) == DAISY


def test_without_the_package_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    def missing(_: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(networks, "import_module", missing)
    with pytest.raises(
        UserError, match=r"^the default network needs the package .*: pip install 'negreplay\[photos\]'"
    ):
        networks.efficientnet_lite0()


def test_names_of_other_libraries_are_refused():
    with pytest.raises(
        UserError, match=r"^the backbone is 'resnet18': give timm/ and the name of a network of timm\.$"
    ):
        networks.network("resnet18")
