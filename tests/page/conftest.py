import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from visitor import Visitor, new_model

from negreplay.page.classroom import Classroom
from negreplay.photographs.files import read_model
from negreplay.photographs.model import Model


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Visitor]:
    classroom = Classroom(tmp_path / "shop.safetensors", new_model)
    yield Visitor(classroom)
    classroom.stop()


@pytest.fixture
def taught(visitor: Visitor) -> Visitor:
    assert visitor.teach({"red": "red", "green": "green"})["state"] == "learned"
    return visitor


@pytest.fixture
def slow(taught: Visitor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Lessons wait until this is called."""
    go = threading.Event()

    def read_slowly(path: Path) -> Model:
        assert go.wait(20)
        return read_model(path)

    taught.state()
    monkeypatch.setattr("negreplay.page.classroom.read_model", read_slowly)
    yield go.set
    go.set()
