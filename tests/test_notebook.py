"""The notebook is kept without outputs, and runs from its beginning to its end."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from pages import ROOT, as_a_reader

PATH = ROOT / "examples" / "digits.ipynb"


def cells(kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(PATH, as_version=4).cells if cell.cell_type == kind]


def test_it_is_kept_without_outputs():
    assert cells("code") and all(not cell.outputs and cell.execution_count is None for cell in cells("code"))
    nbformat.validate(nbformat.read(PATH, as_version=4))


def test_it_claims_something_of_each_way_to_learn():
    learned = re.findall(r'learn\("([\w-]+)"\)\nassert', "\n".join(cell.source for cell in cells("code")))
    assert learned == ["fine-tuning", "nr-gd", "rda"]


def test_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its assertions hold, it shows its pictures, and no warning."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    work = tmp_path / "work"
    work.mkdir()
    book = nbformat.read(PATH, as_version=4)
    # That the kernel talks without encryption, on this machine only, is no news of the notebook.
    client = NotebookClient(book, extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": str(work)}})
    client.execute(env=as_a_reader())
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert {output.name for output in outputs if output.output_type == "stream"} == {"stdout"}
    assert list(work.iterdir()) == []
