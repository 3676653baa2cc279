"""Exports answer what the model answers."""

import importlib.util
import json
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import negreplay
from negreplay.errors import UserError
from negreplay.nets.library import library_net
from negreplay.photographs.export import export
from negreplay.photographs.model import Model
from negreplay.photographs.networks import Network
from negreplay.recipe import (
    FeCAMRecipe,
    KLDARecipe,
    NearestMeanRecipe,
    RanPACRecipe,
    RDARecipe,
    RidgeRecipe,
    SLDARecipe,
)

SPECS = [RDARecipe(), NearestMeanRecipe(), SLDARecipe(), KLDARecipe(units=64), FeCAMRecipe(), RidgeRecipe()]
SPECS.append(RanPACRecipe(units=64))
HALVES = (0.5, 0.5, 0.5)


def taught(spec: Any, small: bool = True) -> Model:
    """A small model of three classes, of which the last has been seen in no picture."""
    torch.manual_seed(0)
    network = Network("timm/test_byobnet", library_net("test_byobnet", HALVES, HALVES), "with random weights")
    model = Model.new(network, spec, 32)
    if small:  # exporters take the longer the more layers there are
        convolution = nn.Conv2d(3, model.learner.inputs, 8, stride=8)
        model.learner.classifier.back = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.grow(["cat", "dog", "unseen"])
    learner, labels = model.learner, torch.arange(40) % 2
    features = learner.features((torch.rand(40, 3, 32, 32) + labels.view(-1, 1, 1, 1)) / 2, encoded=False)
    learner.count(learner.lift(features), labels)
    model.hold(features, labels)
    model.calibrate()
    return model


def answers(path: Path, images: torch.Tensor) -> list[torch.Tensor]:
    content = path.read_bytes()
    if path.suffix == ".pt2":
        return list(torch.export.load(BytesIO(content)).module()(images))
    import onnxruntime

    session = onnxruntime.InferenceSession(content)
    return [torch.from_numpy(of) for of in session.run(["probabilities", "familiarity"], {"images": images.numpy()})]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.filterwarnings("ignore")
def test_an_export_answers_as_the_model_does(spec: Any, suffix: str, tmp_path: Path):
    model, path = taught(spec), tmp_path / f"m{suffix}"
    sentence = export(model, path)
    assert "probabilities differ by at most" in sentence
    assert list(tmp_path.iterdir()) == [path]
    for count in (1, 3):
        images = torch.rand(count, 3, 32, 32)
        features = model.judge.features(images, encoded=False)
        probabilities, familiarity = answers(path, images)
        right = (model.judge.score(features) / model.learner.temperature).softmax(dim=1)
        torch.testing.assert_close(probabilities, right, atol=1e-4, rtol=0, check_dtype=False)
        expected = model.judge.familiarity(features)
        torch.testing.assert_close(familiarity, expected, atol=1e-3, rtol=1e-3, check_dtype=False)
        assert (probabilities[:, 2] == 0).all()


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_onnx_describes_itself_and_runs_without_torch(tmp_path: Path):
    import onnx

    model, path = taught(RDARecipe(), small=False), tmp_path / "elsewhere" / "m.onnx"
    export(model, path)
    (entry,) = onnx.load(path).metadata_props
    described = json.loads(entry.value)
    assert (entry.key, described["classes"], described["size"]) == ("negreplay", model.names, 32)
    assert described["unknown"] == {"below_familiarity": model.threshold(0.05), "share": 0.05}
    picture = tmp_path / "p.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    page = (Path(negreplay.__file__).parent.parent / "docs" / "export.md").read_text()
    script = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert script is not None
    command = [sys.executable, "-W", "ignore", "-c", script[1], str(path), str(picture)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    images = torch.from_numpy(pixels).movedim(-1, 0).unsqueeze(0) / 255
    features = model.judge.features(images, encoded=False)
    probabilities = (model.judge.score(features) / model.learner.temperature).softmax(dim=1)
    limit = model.threshold(0.05)
    assert limit is not None
    fits = bool(model.judge.familiarity(features) >= limit)
    assert said[0] == (model.names[int(probabilities.argmax())] if fits else "unknown")
    assert abs(float(said[1]) - float(probabilities.max())) < 1e-3


@pytest.mark.filterwarnings("ignore")
def test_a_pt2_describes_itself(tmp_path: Path):
    model, path = taught(SLDARecipe()), tmp_path / "m.pt2"
    export(model, path)
    files = {"negreplay.json": ""}
    torch.export.load(BytesIO(path.read_bytes()), extra_files=files)
    assert json.loads(files["negreplay.json"])["classes"] == model.names


def test_another_suffix_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"ends in \.onnx or \.pt2"):
        export(taught(RDARecipe()), tmp_path / "m.tflite")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_are_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(UserError, match=rf"needs the package {package}: pip install 'negreplay\[export\]'"):
        export(taught(RDARecipe()), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
