import hashlib
import random
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from core50_tree import files_of, make_images, unpacked, zipped
from tiny import Negreplay, file_of, numbers, photographs
from website import Site, serve

from negreplay.data import core50_files
from negreplay.data.core50 import IMAGES, SESSIONS
from negreplay.data.core50_files import IMAGE_ARCHIVE, LIST_ARCHIVES, Archive, describe, frames, get_core50, verify
from negreplay.data.download import Advance
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe, Scenario, StreamRecipe


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every object has two frames in each session."""
    counts = {session: dict.fromkeys(of, 2) for session, of in frames().items()}
    monkeypatch.setattr(core50_files, "frames", lambda: counts)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the web site below offers, as it should become."""
    return make_images(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def archives(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("archives")
    shutil.make_archive(str(folder / "core50_128x128"), "zip", made, IMAGES)
    every_run = [files_of(lists, run) for lists in ("ni", "nic") for run in range(10)]
    zipped(folder, {k: v for files in every_run for k, v in files.items()}, inside="batches_filelists/")
    zipped(folder, files_of("nicv2_79", 0), "batches_filelists_NICv2.zip")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def site(archives: dict[str, bytes]) -> Iterator[Site]:
    with serve() as found:
        found.files = dict(archives)
        yield found


@pytest.fixture
def tree(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "core50")


def get(site: Site, root: Path) -> list[Advance]:
    return list(get_core50(root, at_home(site, IMAGE_ARCHIVE), tuple(at_home(site, a) for a in LIST_ARCHIVES)))


def at_home(site: Site, archive: Archive) -> Archive:
    """What our own site offers instead of the official one."""
    return Archive(f"{site.address}/{archive.name}", hashlib.md5(site.files[archive.name]).hexdigest())


def content_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def whole(made: Path, archives: dict[str, bytes]) -> dict[str, bytes]:
    """The images unpacked, the lists as they came."""
    return content_of(made) | {name: archives[name] for name in archives if name != "core50_128x128.zip"}


def test_an_empty_folder_is_filled(site: Site, tmp_path: Path, made: Path, archives: dict[str, bytes]):
    advances = get(site, tmp_path / "core50")
    assert content_of(tmp_path / "core50") == whole(made, archives)
    tasks = list(dict.fromkeys(advance.task for advance in advances))
    lists = ["batches_filelists.zip", "checksum", "batches_filelists_NICv2.zip"]
    assert tasks == [*lists, "downloaded-core50_128x128.zip", "unpack", "verify"]
    assert advances[-1] == Advance("verify", 1_100, 1_100, "images")


def test_what_is_there_is_not_downloaded_again(site: Site, tmp_path: Path):
    get(site, tmp_path)
    site.requests.clear()
    assert {advance.task for advance in get(site, tmp_path)} == {"verify"}
    assert site.requests == []


def test_a_download_goes_on_after_each_stop(site: Site, tmp_path: Path, made: Path, archives: dict[str, bytes]):
    rng, stops = random.Random(0), 0
    while True:
        site.cuts = [rng.randrange(1, 150_000), 0, 0]
        try:
            get(site, tmp_path)
            break
        except UserError as error:
            assert "cannot be downloaded" in str(error) and not (tmp_path / IMAGES).exists()
            stops += 1
    assert stops > 2 and content_of(tmp_path) == whole(made, archives)
    starts = [int(asked[6:-1]) for name, asked in site.requests if asked and name == "core50_128x128.zip"]
    assert starts == sorted(starts)


def test_the_users_own_archive_is_used_and_kept(site: Site, tmp_path: Path, made: Path, archives: dict[str, bytes]):
    (tmp_path / "core50_128x128.zip").write_bytes(archives["core50_128x128.zip"])
    get(site, tmp_path)
    assert content_of(tmp_path) == whole(made, archives) | {"core50_128x128.zip": archives["core50_128x128.zip"]}
    assert "core50_128x128.zip" not in [name for name, _ in site.requests]


def test_a_whole_download_is_unpacked_without_another_one(site: Site, tmp_path: Path, archives: dict[str, bytes]):
    (tmp_path / "downloaded-core50_128x128.zip").write_bytes(archives["core50_128x128.zip"])
    get(site, tmp_path)
    assert "core50_128x128.zip" not in [name for name, _ in site.requests]
    assert not (tmp_path / "downloaded-core50_128x128.zip").exists()


def test_images_with_some_lists_are_only_verified(site: Site, tree: Path):
    unpacked(tree, files_of("ni", 3))
    assert {advance.task for advance in get(site, tree)} == {"verify"}
    assert site.requests == []


def test_images_without_lists_get_all_of_them(site: Site, tree: Path):
    get(site, tree)
    assert [name for name, _ in site.requests] == ["batches_filelists.zip", "batches_filelists_NICv2.zip"]


def test_a_wrong_archive_is_not_unpacked(site: Site, tmp_path: Path):
    archive = Archive(f"{site.address}/core50_128x128.zip", "0" * 32)
    # A file with the name of the download would be removed once it is unpacked, so nobody is told to put one there.
    with pytest.raises(
        UserError, match=r"core50_128x128\.zip is not the official file .* or put core50_128x128\.zip into"
    ):
        list(get_core50(tmp_path, archive, ()))
    assert list(tmp_path.iterdir()) == []


def test_an_archive_of_something_else(site: Site, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "core50_128x128.zip", "w") as archive:
        archive.writestr("readme.txt", "no images")
    with pytest.raises(
        UserError, match=rf"core50_128x128\.zip holds no folder {IMAGES}: move it away and run the same"
    ):
        get(site, tmp_path)
    (tmp_path / "core50_128x128.zip").rename(tmp_path / "other.zip")
    get(site, tmp_path)
    assert (tmp_path / IMAGES).is_dir() and (tmp_path / "other.zip").exists()


# Verification


def test_a_missing_image_is_counted(tree: Path):
    (tree / IMAGES / "s11" / "o50" / "C_11_50_001.png").unlink()
    with pytest.raises(UserError, match=rf"{IMAGES}/s11/o50 holds 1 images and CORe50 has 2 there: copy it again"):
        list(verify(tree))


def test_an_image_too_many_is_counted(tree: Path):
    shutil.copy(tree / IMAGES / "s2" / "o9" / "C_02_09_001.png", tree / IMAGES / "s2" / "o9" / "C_02_09_017.png")
    with pytest.raises(UserError, match=rf"{IMAGES}/s2/o9 holds 3 images and CORe50 has 2 there"):
        list(verify(tree))


def test_a_missing_session(tree: Path):
    shutil.rmtree(tree / IMAGES / "s11")
    with pytest.raises(UserError, match=rf"{IMAGES}/s11/o1 holds no images"):
        list(verify(tree))


def test_the_first_unreadable_image_is_named(tree: Path):
    for name in ("s9/o2/C_09_02_000.png", "s9/o1/C_09_01_001.png", "s10/o1/C_10_01_000.png"):
        path = tree / IMAGES / name
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"C_09_01_001\.png is no readable image"):
        list(verify(tree))


# Facts


def test_frames_add_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    counts = core50_files.frames()
    assert list(counts) == list(SESSIONS) and all(list(of) == [f"o{n}" for n in range(1, 51)] for of in counts.values())
    assert sum(sum(of.values()) for of in counts.values()) == 164_866
    assert [sum(counts[session].values()) for session in (3, 7, 10)] == [14_992, 14_994, 14_986]


def test_frames_are_the_official_ones(shared: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    with zipfile.ZipFile(shared / "core50" / "dataset_dims.zip") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("Color128x128.tsv")]
        rows = [line.split("\t") for line in archive.read(name).decode().splitlines()]
    counts = core50_files.frames()
    for row in rows[1:51]:
        assert [counts[session][row[0]] for session in SESSIONS] == [int(cell) for cell in row[1:12]]


def test_what_a_folder_holds(tree: Path):
    unpacked(tree, files_of("ni", 3) | files_of("ni", 0))
    zipped(tree, {k: v for run in range(10) for k, v in files_of("nicv2_391", run).items()})
    lines = describe(tree).splitlines()
    assert lines[0].endswith("core50 holds CORe50: 1,100 images, 800 to learn and 300 to test.")
    assert {"nc: all runs, which follow a rule.", "ni: runs 0, 3.", "nic: no lists.", "nicv2_391: all runs."} < set(
        lines
    )
    assert lines[-1].startswith("More lists: put https://vlomonaco.github.io/core50/data/batches_filelists.zip or ")


# The command


@pytest.fixture
def negreplay(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Negreplay:
    monkeypatch.setenv("COLUMNS", "100")
    return Negreplay(monkeypatch, capfd)


def test_the_command_shows_what_it_did(
    negreplay: Negreplay, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(core50_files, "get_core50", lambda root: get(site, root))
    done = negreplay("data", "core50", "--root", tmp_path / "core50")
    assert done.code == 0 and done.err == ""
    assert "verify  1,100 of 1,100 images" in done.out and "batches_filelists_NICv2.zip  " in done.out
    assert done.out.endswith(f"{describe(tmp_path / 'core50')}\n")


def test_the_command_looks_for_the_data_where_run_does(
    negreplay: Negreplay, tree: Path, monkeypatch: pytest.MonkeyPatch
):
    unpacked(tree, files_of("ni", 3))
    monkeypatch.setenv("NEGREPLAY_DATA", str(tree.parent))
    done = negreplay("data", "core50")
    assert done.code == 0 and f"{tree} holds CORe50" in done.out


def test_the_command_fails_in_one_sentence(negreplay: Negreplay, tree: Path):
    unpacked(tree, files_of("ni", 3))
    (tree / IMAGES / "s5" / "o6" / "C_05_06_000.png").write_bytes(b"")
    assert "C_05_06_000.png is no readable image" in negreplay("data", "core50", "--root", tree).sentence()


def test_a_study_of_core50_runs(negreplay: Negreplay, tree: Path, tmp_path: Path):
    unpacked(tree, files_of("ni", 4))
    stream = StreamRecipe("core50", Scenario.NI, lists="ni", test_every=6, images=ImageRecipe(32))
    study = replace(photographs("no-replay", stream=stream, evaluate_every=3), seeds=(4,))
    file = file_of(study, tmp_path)
    done = negreplay("run", file, "--data", tree.parent, "--out", tmp_path / "out", "--store", tmp_path, "--jobs", 1)
    assert done.code == 0, done.err
    assert [row["experience"] for row in numbers(tmp_path / "out")] == ["2", "5", "7"]
    other = negreplay("run", file, "--data", tree, "--out", tmp_path / "other", "--seeds", 5)
    assert "holds no list of ni for run 5" in other.sentence() and not (tmp_path / "other").exists()
