import hashlib
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file
from torch import Tensor

from negreplay.errors import UserError
from negreplay.nets import weights
from negreplay.nets.mobilenet import MobileNetV1, load_weights
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


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_value_that_is_not_finite_is_refused_with_its_tensor(value, kind, tmp_path):
    damaged = net(0).state_dict()["layer2.0.conv1.weight"].to(kind)
    damaged[3, 2, 1, 0] = value
    sentence = r"net.safetensors is damaged, for 'layer2.0.conv1.weight' has values that are not finite: download it"
    file = saved(tmp_path, {"layer2.0.conv1.weight": damaged})
    with pytest.raises(UserError, match=sentence):
        fill(net(1), file, ("fc",))
    with pytest.raises(UserError, match=sentence):
        load_weights(MobileNetV1(0.1), file)


def test_a_value_that_float32_cannot_hold_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'bn1\.bias' has values that are not finite"):
        fill(net(1), saved(tmp_path, {"bn1.bias": torch.full((16,), 1e300, dtype=torch.float64)}), ())


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8])
def test_weights_that_are_no_floating_point_numbers_are_refused(kind, tmp_path):
    name = str(kind).removeprefix("torch.")
    sentence = (
        f"net.safetensors does not fit, for 'bn1.weight' is of type {name}, not float32: give weights.file another"
    )
    with pytest.raises(UserError, match=sentence):
        fill(net(1), saved(tmp_path, {"bn1.weight": torch.ones(16, dtype=kind)}), ("fc",))


def test_a_counter_of_minibatches_is_no_truth_value(tmp_path):
    with pytest.raises(UserError, match=r"'bn1\.num_batches_tracked' is of type bool, not int64"):
        fill(net(1), saved(tmp_path, {"bn1.num_batches_tracked": torch.tensor(True)}), ("fc",))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_told_how_to_convert_it(zipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = {name: tensor for name, tensor in net(0).state_dict().items() if not name.startswith("normalise")}
    torch.save(state, "net.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        UserError, match=r"^net\.pth was saved with torch\.save, but weights\.file must be a"
    ) as refused:
        fill(net(1), Path("net.pth"), ())
    assert "download" not in str(refused.value) and str(refused.value).count(".\n") == 0
    command = str(refused.value).partition("convert it with ")[2].removesuffix(".")
    eval(command, {"torch": torch, "safetensors": safetensors})
    copy, images = net(1), torch.rand(2, 3, 32, 32)
    fill(copy, Path("NEW.safetensors"), ())
    assert torch.equal(copy(images), net(0)(images))


@pytest.mark.parametrize("content", [b"", b"{}", b"hello world, this is text"])
def test_what_is_neither_is_no_safetensors_file(content, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"net\.safetensors is no safetensors file, or only a part of one"):
        fill(net(1), tmp_path / "net.safetensors", ())


def test_a_file_that_is_known_is_compared_with_its_checksum(tmp_path, monkeypatch):
    """A flipped bit of an exponent leaves a number finite, and the network another one."""
    file, copy, images = saved(tmp_path, {}), net(1), torch.rand(2, 3, 32, 32)
    monkeypatch.setitem(weights.CHECKSUMS, file.name, hashlib.sha256(file.read_bytes()).hexdigest())
    fill(copy, file, ())
    assert torch.equal(copy(images), net(0)(images))
    content = bytearray(file.read_bytes())
    content[-1] ^= 0x20
    file.write_bytes(content)
    with pytest.raises(
        UserError, match=r"net\.safetensors is not the file of this name that .*, or is damaged: copy it"
    ):
        fill(copy, file, ())
    fill(copy, file.rename(tmp_path / "own.safetensors"), ())
