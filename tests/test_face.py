"""The public names, and the examples that stand on them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import environment

import negreplay as nr
from negreplay.errors import UserError

ROOT = Path(nr.__file__).parents[1]
PUBLIC = sorted(name for names in nr.PUBLIC.values() for name in names)


def test_each_public_name_comes_from_its_room():
    for room, names in nr.PUBLIC.items():
        for name in names:
            assert getattr(nr, name).__module__.startswith(f"negreplay.{room}"), name
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = nr.nonsense


def test_types_and_places_name_the_same():
    """Who checks types reads the one list, Python the other."""
    tree = ast.parse(Path(nr.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (node.module.removeprefix("negreplay."), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert typed == {(room, name) for room, names in nr.PUBLIC.items() for name in names}
    assert (Path(nr.__file__).parent / "py.typed").exists()


def test_no_room_bears_a_public_name():
    rooms = {path.stem for path in Path(nr.__file__).parent.iterdir()}
    assert not rooms & set(PUBLIC)


def test_every_public_name_is_documented_and_nothing_else():
    page = (ROOT / "docs" / "library.md").read_text()
    first = (line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`(\w+)`", " ".join(first))) == PUBLIC
    assert all(getattr(nr, name).__doc__ for name in PUBLIC)


def test_importing_the_library_imports_nothing_heavy():
    code = "import sys, negreplay; negreplay.study('digits'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("name", "lines", "least"), [("own_learner", 30, 0.4), ("own_loop", 39, 0.75)])
def test_an_example_is_short_and_learns(name: str, lines: int, least: float):
    path = ROOT / "examples" / f"{name}.py"
    assert len(path.read_text().splitlines()) <= lines
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True, env=environment())
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "6" and float(last[1]) > least


def test_the_example_with_scikit_learn_is_short_and_learns_as_much_in_parts_as_at_once():
    path = ROOT / "examples" / "scikit_learn.py"
    assert len(path.read_text().splitlines()) < 40
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True, env=environment())
    printed = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert printed.keys() == {"at once", "class by class", "after a pickle", "best rank"}
    assert printed["class by class"] == printed["after a pickle"]
    assert float(printed["at once"]) > 0.95
    assert abs(float(printed["class by class"]) - float(printed["at once"])) < 0.005


def test_an_experience_of_two_tensors():
    x, y = torch.rand(5, 1, 8, 8), torch.tensor([2, 0, 2, 1, 2])
    experience = nr.experience(x, y, classes=4, index=3)
    assert (experience.index, experience.classes, experience.counts.tolist()) == (3, (0, 1, 2), [1, 1, 3, 0])
    (batch,) = experience.batches(5)
    assert torch.equal(batch.x, x) and torch.equal(batch.y, y)
    with pytest.raises(UserError, match=r"^y holds labels from 0 to 2: give classes from 0 to 1\.$"):
        nr.experience(x, y, classes=2)
    with pytest.raises(UserError, match=r"^x holds 5 patterns and y 4 labels: give one label for each"):
        nr.experience(x, y[:4], classes=4)


def test_an_unknown_arm_and_an_unknown_study():
    with pytest.raises(UserError, match=r"^there is no study 'digit': did you mean 'digits'\?$"):
        nr.study("digit")
    with pytest.raises(UserError, match=r"^digits has no arm 'nr-dg': did you mean 'nr-.d'\?$"):
        nr.build(nr.study("digits"), "nr-dg")
