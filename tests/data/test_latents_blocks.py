"""Stored latents lie in blocks, which ranks share, and every row has a checksum."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_latents import FILE, IMAGES, Front, assert_latents, run

from negreplay.data import blocks, latents
from negreplay.data.blocks import record, rows_of_block
from negreplay.data.data import Tensors
from negreplay.data.latents import LatentStore
from negreplay.errors import UserError

SOME = torch.tensor([49, 3, 17, 16, 3, 0, 33])


@pytest.fixture
def data() -> Tensors:
    rng = torch.Generator().manual_seed(1)
    return Tensors(torch.rand(IMAGES, 3, 4, 4, generator=rng), torch.arange(IMAGES) % 3, ("a", "b", "c"), "da7a")


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    return LatentStore(tmp_path / "latents")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 16)


def flip(path: Path, row: int, byte: int = 7, bit: int = 0) -> None:
    """Flips a bit of a stored row of 5 x 2 numbers, for another process to read."""
    latents._checked.cache_clear()
    content = bytearray(path.read_bytes())
    start = len(content) - 44 * IMAGES
    content[start + 44 * row + byte] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("shape", "rows"), [((512,), 65_536), ((8, 8, 128), 32_768), ((1,), 65_536), ((7, 7, 1000), 4096), ((2**29,), 1)]
)
def test_a_block_has_at_most_a_gigabyte_and_minibatches_do_not_cross_its_end(shape: tuple[int, ...], rows: int):
    assert rows_of_block(shape) == rows


@pytest.mark.parametrize(("byte", "bit"), [(0, 0), (39, 7), (21, 3), (40, 0), (43, 6)])
def test_a_flipped_bit_is_noticed_before_it_is_learned(store: LatentStore, data: Tensors, byte: int, bit: int):
    expected = run(store.encode(data, Front(), "f0", batch=20)).latents.read(torch.arange(IMAGES))
    flip(store.folder / FILE, 23, byte, bit)
    stored = run(store.encode(data, Front(), "f0", batch=20)).latents
    assert torch.equal(stored.read(SOME), expected[SOME]), "other rows can be read"
    with pytest.raises(UserError, match=rf"{FILE} is damaged, for the latent of image 23 is not as .*: resume the run"):
        stored.read(torch.tensor([4, 23, 8]))
    progress, mended = run(store.encode(data, Front(), "f0", batch=20))
    assert progress == [(40, 50)], "only what is damaged is encoded again"
    assert torch.equal(mended.read(torch.arange(IMAGES)), expected)


def test_what_cannot_be_renamed_is_to_be_deleted(store: LatentStore, data: Tensors, monkeypatch: pytest.MonkeyPatch):
    run(store.encode(data, Front(), "f0"))
    flip(store.folder / FILE, 23)
    stored = run(store.encode(data, Front(), "f0")).latents

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UserError, match=r"image 23 is not as it was written: delete this file and resume the run"):
        stored.read(torch.tensor([23]))
    monkeypatch.undo()
    (store.folder / FILE).unlink()
    assert_latents(run(store.encode(data, Front(), "f0")).latents, data)


def test_a_row_is_checked_once_in_a_process(store: LatentStore, data: Tensors, monkeypatch: pytest.MonkeyPatch):
    checked: list[int] = []
    compute = latents.checksums

    def counted(of: np.ndarray, rows: list[int], seed: int) -> np.ndarray:
        checked.extend(rows)
        return compute(of, rows, seed)

    run(store.encode(data, Front(), "f0"))
    latents._checked.cache_clear()
    monkeypatch.setattr(latents, "checksums", counted)
    for _ in range(2):  # as two arms do
        stored = store.open(data, "f0")
        assert stored is not None
        for rows in ([1, 2, 3], [3, 2, 4], [4, 4, 1]):
            stored.read(torch.tensor(rows))
    assert checked == [1, 2, 3, 4]


@pytest.mark.parametrize("wrong", ["zeros", "another place", "another front"])
def test_latents_that_are_none_of_these_images_are_refused(
    store: LatentStore, data: Tensors, wrong: str, small_blocks: None
):
    run(store.encode(data, Front(), "f0"))
    run(store.encode(data, lambda images: 2 * Front()(images), "f1"))
    second, third = (store.folder / f"f0-da7a.block-0000{block}.npy" for block in (1, 2))
    match wrong:
        case "zeros":
            np.save(second, np.zeros(16, record((5, 2))))
        case "another place":
            shutil.copy(third, second)
        case _:
            shutil.copy(store.folder / second.name.replace("f0", "f1"), second)
    stored = store.open(data, "f0")
    assert stored is not None
    with pytest.raises(UserError, match=r"block-00001\.npy is damaged, for the latent of image 16 "):
        stored.read(torch.arange(IMAGES))
    progress, mended = run(store.encode(data, Front(), "f0"))
    assert progress == [(50, 50)] and torch.allclose(mended.read(SOME), Front()(data.x)[SOME])


def test_rows_are_read_over_all_blocks(store: LatentStore, data: Tensors, small_blocks: None):
    progress, stored = run(store.encode(data, Front(), "f0", batch=8))
    assert progress == [(8, 50), (16, 50), (24, 50), (32, 50), (40, 50), (48, 50), (50, 50)]
    assert [path.name[-15:] for path in sorted(store.folder.iterdir())] == [
        f"block-0000{block}.npy" for block in range(4)
    ]
    assert_latents(stored, data)
    assert torch.equal(stored.read(SOME), stored.read(torch.arange(IMAGES))[SOME])
    assert stored.read(SOME[:0]).shape == (0, 5, 2)


@pytest.mark.parametrize("together", [True, False])
def test_ranks_encode_a_share_each(tmp_path: Path, data: Tensors, small_blocks: None, together: bool):
    folders = [tmp_path / ("all" if together else f"rank-{rank}") for rank in range(3)]
    fronts = [Front() for _ in folders]
    for rank, (folder, front) in enumerate(zip(folders, fronts, strict=True)):
        progress = list(LatentStore(folder).encode_share(data, front, "f0", (rank, 3), batch=16))
        assert progress == ([(16, 18), (18, 18)] if rank == 0 else [(16, 16)]), "blocks 0 and 3, 1, and 2"
        assert (LatentStore(folder).open(data, "f0") is None) == (not together or rank < 2)
    for folder in folders:
        shutil.copytree(folder, tmp_path / "copies", dirs_exist_ok=True)
    front = Front()
    progress, stored = run(LatentStore(tmp_path / "copies").encode(data, front, "f0"))
    assert progress == [] and front.calls == 1
    assert_latents(stored, data)


def test_more_ranks_than_blocks(store: LatentStore, data: Tensors):
    assert list(store.encode_share(data, Front(), "f0", (1, 2))) == []
    assert list(store.encode_share(data, Front(), "f0", (0, 2))) == [(50, 50)]


@pytest.mark.parametrize("share", [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_none_is_refused(store: LatentStore, data: Tensors, share: tuple[int, int]):
    with pytest.raises(UserError, match=r"share is \(.*\): give a rank from 0 to"):
        list(store.encode_share(data, Front(), "f0", share))


def test_blocks_that_another_run_has_encoded_meanwhile_are_not_encoded_again(
    store: LatentStore, data: Tensors, small_blocks: None
):
    front = Front()
    slow = store.encode(data, front, "f0", batch=16)
    next(slow)
    run(store.encode(data, Front(), "f0", batch=16))
    assert run(slow).progress == [] and front.calls == 2


def test_latents_of_an_earlier_version_are_not_trusted(
    store: LatentStore, data: Tensors, capsys: pytest.CaptureFixture[str]
):
    store.folder.mkdir()
    old = store.folder / "f0-da7a.channels-last.npy"
    np.save(old, np.zeros((IMAGES, 5, 2), np.float32))
    assert_latents(run(store.encode(data, Front(), "f0")).latents, data)
    assert f"{old} was written by an earlier version, without checksums" in capsys.readouterr().err
    assert old.exists()
    run(store.encode(data, Front(), "f0"))
    assert capsys.readouterr().err == "", "it is said once"
