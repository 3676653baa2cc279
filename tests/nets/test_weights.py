import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from negreplay.errors import UserError
from negreplay.nets.resnet import SHAPES, ResNet
from negreplay.nets.weights import fill

SHAPE = SHAPES["resnet20-32"]


def net(seed: int) -> ResNet:
    torch.manual_seed(seed)
    made = ResNet(SHAPE).eval()
    with torch.no_grad():
        for buffer in made.get_submodule("layer1").buffers():
            buffer.add_(1)
    return made


def saved(folder: Path, more: dict[str, Tensor], remove: str = "normalise") -> Path:
    """A file of a network's state without the layers whose names start with `remove`, and with something more."""
    state = {name: tensor for name, tensor in net(0).state_dict().items() if not name.startswith(remove)}
    save_file(state | more, folder / "net.safetensors")
    return folder / "net.safetensors"


def test_weights_survive_a_file(tmp_path):
    copy, images = net(1), torch.rand(2, 3, 32, 32)
    classifier = {"fc.weight": torch.zeros(10, 64), "fc.bias": torch.zeros(10)}
    fill(copy, saved(tmp_path, classifier), ("fc",))
    torch.testing.assert_close(copy(images), net(0)(images), rtol=0, atol=0)


def test_counters_of_minibatches_may_be_missing(tmp_path):
    state = {name: tensor for name, tensor in net(0).state_dict().items() if "num_batches" not in name}
    save_file(state, tmp_path / "old.safetensors")
    copy, images = net(1), torch.rand(2, 3, 32, 32)
    fill(copy, tmp_path / "old.safetensors", ())
    torch.testing.assert_close(copy(images), net(0)(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("remove", "more", "sentence"),
    [
        ("layer2.0.conv1", {}, "has no 'layer2.0.conv1.weight': weights.file must be of classifier.backbone"),
        ("bn1", {"bn1.weight": torch.zeros(64)}, "its 'bn1.weight' is (64,), not (16,): change classifier.backbone."),
        ("normalise", {"layer4.0.conv1.weight": torch.zeros(1)}, "it has 'layer4.0.conv1.weight' too: change"),
        ("normalise", {"fc2.weight": torch.zeros(1)}, "it has 'fc2.weight' too: change classifier.backbone."),
    ],
)
def test_a_file_of_another_network_is_refused(remove, more, sentence, tmp_path):
    with pytest.raises(UserError, match=re.escape(sentence)):
        fill(net(1), saved(tmp_path, more, remove), ("fc",))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no file of weights .*none\.safetensors"):
        fill(net(1), tmp_path / "none.safetensors", ("fc",))
