"""What docs/own-loop.md says to write runs, and so do the programs that it names."""

import math
import re
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

import negreplay as nr
from negreplay.nets.library import prepare_torchvision

prepare_torchvision()  # the programs import Lightning and Avalanche, which import torchvision

ROOT = Path(nr.__file__).parents[1]
PAGE = (ROOT / "docs" / "own-loop.md").read_text()


def printed_by(name: str, lines: int, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, float]]:
    """The lines that an example prints: a text, and a number at their end."""
    path = ROOT / "examples" / f"{name}.py"
    assert len(path.read_text().splitlines()) < lines
    with torch.random.fork_rng():
        runpy.run_path(str(path))
    captured = capsys.readouterr()
    assert captured.err == ""
    return [(text, float(number)) for text, number in re.findall(r"^(.*?) (\d\.\d+)", captured.out, re.MULTILINE)]


def test_the_module_of_lightning_learns_and_says_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    printed = printed_by("lightning_module", 70, capsys)
    assert [index for index, _ in printed] == ["0", "1", "2", "3"]
    assert printed[-1][1] > 0.7  # without replay 0.46
    assert list(tmp_path.iterdir()) == []


def test_a_backbone_of_ones_own_learns_merges_and_knows_what_is_unknown(capsys: pytest.CaptureFixture[str]):
    (unknown, share), (all_ten, accuracy) = printed_by("own_backbone", 40, capsys)
    assert (unknown, all_ten) == ("of 8 and 9,", "all ten")
    assert share > 0.7 and accuracy > 0.95


def test_a_backbone_of_ones_own_is_copied_and_cut_at_its_layers():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 7))
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    phase = nr.PhaseRecipe(1, 0.1, 0.1)
    recipe = nr.Recipe("own", None, nr.ClassifierRecipe("own", "2"), phase, phase)
    learner = nr.build_learner(recipe, torch.zeros(1, 8, 8), 3, backbone=backbone)
    assert learner.features(torch.rand(5, 1, 8, 8), encoded=False).shape == (5, 7)
    assert learner.classifier.encode(torch.rand(5, 1, 8, 8)).shape == (5, 4, 6, 6)
    list(learner.learn(nr.experience(torch.rand(9, 1, 8, 8), torch.arange(9) % 3, 3)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def test_the_snippets_run_in_turn():
    snippets = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    numbers: list[float] = []
    names: dict[str, object] = {"print": lambda number: numbers.append(float(number))}
    with torch.random.fork_rng():
        exec("\n".join(snippets), names)
    estimator, own, loss, strategy = numbers
    assert min(estimator, own, strategy) > 0.95
    assert loss == pytest.approx(math.log(10)), "rows of a new head are zero"


def test_links_lead_to_files():
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", PAGE)}
    assert links and all((ROOT / "docs" / link).exists() for link in links)
