import errno
import math
import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from negreplay.data import blocks
from negreplay.data.data import Tensors
from negreplay.data.latents import LatentStore, StoredLatents
from negreplay.errors import UserError

IMAGES = 50
FILE = "f0-da7a.block-00000.npy"


class Front:
    """Images of 3 x 4 x 4 to latents of 5 x 2, and how often it was asked."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.randn(48, 10, generator=torch.Generator().manual_seed(0)))
        self.calls = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.calls += 1
        return (images.flatten(1) @ self.weight).reshape(-1, 5, 2)


class Encoded(NamedTuple):
    progress: list[tuple[int, int]]
    latents: StoredLatents


def run(encoding: Generator[tuple[int, int], None, StoredLatents]) -> Encoded:
    progress = []
    while True:
        try:
            progress.append(next(encoding))
        except StopIteration as end:
            return Encoded(progress, end.value)


@pytest.fixture
def data() -> Tensors:
    rng = torch.Generator().manual_seed(1)
    labels = torch.arange(IMAGES) % 3
    return Tensors(torch.rand(IMAGES, 3, 4, 4, generator=rng), labels, ("a", "b", "c"), "da7a")


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    return LatentStore(tmp_path / "latents")


def assert_latents(stored: StoredLatents, data: Tensors):
    torch.testing.assert_close(stored.read(torch.arange(IMAGES)), Front()(data.x))


def files(store: LatentStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def test_encodes_every_image_once(store: LatentStore, data: Tensors):
    front = Front()
    progress, stored = run(store.encode(data, front, "f0", batch=20))
    assert progress == [(20, 50), (40, 50), (50, 50)]
    assert front.calls == 1 + 3, "the first image tells the shape of a latent"
    again = run(store.encode(data, front, "f0", batch=20))
    assert front.calls == 5 and again.progress == [], "only the shape of a latent is asked again"
    rows = torch.arange(IMAGES)
    assert torch.equal(again.latents.read(rows), stored.read(rows))
    assert files(store) == [FILE]


def test_latents_are_what_the_front_gives(store: LatentStore, data: Tensors):
    front = Front()
    stored = run(store.encode(data, front, "f0", batch=20)).latents
    for rows in torch.arange(IMAGES).split(20):
        assert torch.equal(stored.read(rows), front(data.read(rows)))
    rows = torch.tensor([49, 3, 3, 0])
    assert torch.allclose(stored.read(rows), front(data.read(rows)))


def test_maps_are_read_channels_last(store: LatentStore, data: Tensors):
    stored = run(store.encode(data, torch.nn.Conv2d(3, 6, 1), "f0")).latents
    maps = stored.read(torch.tensor([7, 1]))
    assert maps.shape == (2, 6, 4, 4) and maps.is_contiguous(memory_format=torch.channels_last)


def test_stored_latents_are_a_data_set(store: LatentStore, data: Tensors):
    stored = run(store.encode(data, Front(), "f0")).latents
    assert torch.equal(stored.labels, data.labels)
    assert stored.names == data.names
    assert stored.encoded
    assert stored.fingerprint == "f0-da7a"
    assert stored.read(torch.tensor([], dtype=torch.long)).shape == (0, 5, 2)


def test_rows_read_are_the_readers_own(store: LatentStore, data: Tensors):
    stored = run(store.encode(data, Front(), "f0")).latents
    rows = torch.tensor([1, 2])
    x = stored.read(rows)
    before = x.clone()
    x.zero_()
    assert x.dtype == torch.float32 and not x.requires_grad
    assert torch.equal(stored.read(rows), before)


def test_each_front_and_each_data_set_has_its_own(store: LatentStore, data: Tensors):
    other = Tensors(data.x + 1, data.labels, data.names, "0ther")
    run(store.encode(data, Front(), "f0"))
    assert store.open(data, "f1") is None
    assert store.open(other, "f0") is None
    run(store.encode(other, Front(), "f0"))
    assert files(store) == ["f0-0ther.block-00000.npy", FILE]


def test_opens_nothing_where_nothing_is(store: LatentStore, data: Tensors):
    assert store.open(data, "f0") is None


def test_autograd_is_as_it_was_between_batches(store: LatentStore, data: Tensors):
    for _ in store.encode(data, Front(), "f0", batch=20):
        assert torch.is_grad_enabled()


def test_stopped_half_way_goes_on_where_it_was(store: LatentStore, data: Tensors):
    encoding = store.encode(data, Front(), "f0", batch=20)
    next(encoding)
    encoding.close()
    (partial,) = store.folder.iterdir()
    assert partial.suffix == ".partial" and store.open(data, "f0") is None
    front = Front()
    progress, stored = run(store.encode(data, front, "f0", batch=20))
    assert progress == [(40, 50), (50, 50)] and front.calls == 1 + 2
    assert_latents(stored, data)
    assert files(store) == [FILE]


def test_killed_half_way_goes_on_where_it_was(store: LatentStore, data: Tensors):
    child = os.fork()
    if child == 0:
        # No matrix product here: a forked process must not wait for its parent's threads.
        signal.alarm(20)
        encoding = store.encode(data, torch.clone, "f0", batch=20)
        next(encoding)
        next(encoding)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert store.open(data, "f0") is None
    progress, stored = run(store.encode(data, torch.clone, "f0", batch=20))
    assert progress == [(50, 50)]
    assert torch.equal(stored.read(torch.arange(IMAGES)), data.x)
    assert files(store) == [FILE]


def test_what_a_killed_writer_has_not_written_whole_is_encoded_again(store: LatentStore, data: Tensors):
    encoding = store.encode(data, Front(), "f0", batch=20)
    next(encoding)
    next(encoding)
    encoding.close()
    (partial,) = store.folder.iterdir()
    content = bytearray(partial.read_bytes())
    content[-20 * 44 - 1] ^= 1  # the last byte of the first 20 latents
    partial.write_bytes(content[:-5])
    progress, stored = run(store.encode(data, Front(), "f0", batch=20))
    assert progress == [(20, 50), (40, 50), (50, 50)]
    assert_latents(stored, data)


def test_two_at_once_both_end_right(store: LatentStore, data: Tensors):
    slow = store.encode(data, Front(), "f0", batch=20)
    next(slow)
    assert run(store.encode(data, Front(), "f0", batch=20)).progress[0] == (20, 50), (
        "what is being written is left alone"
    )
    assert_latents(run(slow).latents, data)
    assert files(store) == [FILE]


def test_whoever_ends_first_removes_what_killed_writers_left_beside(store: LatentStore, data: Tensors):
    one, other = (store.encode(data, Front(), "f0", batch=20) for _ in range(2))
    for encoding in (one, other):
        next(encoding)
    for encoding in (one, other):
        encoding.close()
    assert len(files(store)) == 2
    assert run(store.encode(data, Front(), "f0", batch=20)).progress == [(40, 50), (50, 50)]
    assert files(store) == [FILE]


@pytest.mark.parametrize("content", [b"", b"garbage", "cut"])
def test_damaged_file_is_encoded_anew(store: LatentStore, data: Tensors, content: bytes | str):
    run(store.encode(data, Front(), "f0"))
    path = store.folder / FILE
    path.write_bytes(path.read_bytes()[:-4] if isinstance(content, str) else content)
    assert store.open(data, "f0") is None
    assert run(store.encode(data, Front(), "f0")).progress == [(50, 50)]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((IMAGES - 1, 5, 2), np.float32),
        np.zeros((IMAGES, 5, 2), np.float64),
        np.zeros((IMAGES, 2, 5), np.float32),
        np.zeros((IMAGES, 10), np.float32),
        np.zeros(IMAGES, np.float32),
        np.zeros((IMAGES, 5, 2), np.float32, order="F"),
    ],
    ids=["fewer images", "doubles", "another shape", "fewer dimensions", "no latents", "another order"],
)
def test_a_file_of_other_latents_is_encoded_anew(store: LatentStore, data: Tensors, wrong: np.ndarray):
    store.folder.mkdir()
    np.save(store.folder / FILE, wrong)
    front = Front()
    stored = run(store.encode(data, front, "f0")).latents
    assert torch.equal(stored.read(torch.arange(IMAGES)), front(data.x))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"(50,)", b"(5_,)"), (b"(5, 2)", b"(2, 5)"), (b"<f4", b"<q\xff"), (b"False", b"01010"), (b"}", b"{")],
)
def test_a_file_with_a_damaged_header_is_encoded_anew(store: LatentStore, data: Tensors, old: bytes, new: bytes):
    run(store.encode(data, Front(), "f0"))
    path = store.folder / FILE
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    assert run(store.encode(data, Front(), "f0")).progress == [(50, 50)]


def test_files_of_others_stay(store: LatentStore, data: Tensors):
    store.folder.mkdir()
    thesis = store.folder / "thesis.partial"
    thesis.write_text("years of work")
    os.utime(thesis, (0, 0))
    run(store.encode(data, Front(), "f0"))
    assert thesis.read_text() == "years of work"


def test_too_little_space_is_found_before_writing(store: LatentStore, data: Tensors, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))  # type: ignore
    with pytest.raises(
        UserError, match=r"latents cannot hold the latents, which need 1 MB \(No space left on device\)"
    ):
        run(store.encode(data, Front(), "f0"))
    assert files(store) == []


def test_disk_that_fills_up_leaves_nothing(store: LatentStore, data: Tensors, monkeypatch: pytest.MonkeyPatch):
    class FullDisk(blocks.FileIO):
        def write(self, content: Any, /) -> int:
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    monkeypatch.setattr(blocks, "FileIO", FullDisk)
    with pytest.raises(UserError, match=r"need 1 MB \(No space left on device\): make room there, or start a run that"):
        run(store.encode(data, Front(), "f0", batch=20))
    assert files(store) == []
    assert store.open(data, "f0") is None


def test_partial_writes_are_carried_on(store: LatentStore, data: Tensors, monkeypatch: pytest.MonkeyPatch):
    class SlowDisk(blocks.FileIO):
        def write(self, content: Any, /) -> int:
            return super().write(content[: math.ceil(len(content) / 2)])

    monkeypatch.setattr(blocks, "FileIO", SlowDisk)
    front = Front()
    rows = torch.arange(IMAGES)
    assert torch.equal(run(store.encode(data, front, "f0")).latents.read(rows), front(data.read(rows)))


def test_folder_that_is_a_file(tmp_path: Path, data: Tensors):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(
        UserError,
        match=r"cannot hold the latents, which need 1 MB .*: make room there, or start a run that stores them",
    ):
        run(LatentStore(tmp_path / "taken" / "latents").encode(data, Front(), "f0"))
