import errno
import hashlib
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import small_disk
from website import Site, serve

from negreplay.data import download
from negreplay.data.download import fetch, unpack
from negreplay.errors import UserError

CONTENT = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as found:
        found.files["a.zip"] = CONTENT
        yield found


def get(site: Site, folder: Path, md5: str | None = MD5) -> bytes:
    for _ in fetch(f"{site.address}/a.zip", folder / "a.zip", md5):
        assert not (folder / "a.zip").exists()
    assert [path.name for path in folder.iterdir()] == ["a.zip"]
    return (folder / "a.zip").read_bytes()


def part(folder: Path) -> Path:
    return folder / ".a.zip.part"


def test_a_whole_file(site: Site, tmp_path: Path):
    assert get(site, tmp_path / "new" / "folder") == CONTENT
    assert site.requests == [("a.zip", None)]


def test_progress_is_told(site: Site, tmp_path: Path):
    advances = list(fetch(f"{site.address}/a.zip", tmp_path / "a.zip", MD5))
    done = [advance.done for advance in advances if advance.task == "a.zip"]
    assert done == sorted(done) and done[0] == 0 and done[-1] == advances[-1].done == 300_000
    assert {advance.total for advance in advances} == {300_000}
    assert {advance.task for advance in advances} == {"a.zip", "checksum"}


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 200_000), max_size=4))
def test_a_connection_that_is_cut_goes_on(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]):
    with serve() as site:
        site.files["a.zip"], site.cuts = CONTENT, list(cuts)
        assert get(site, tmp_path_factory.mktemp("cut")) == CONTENT
        starts = [0]
        for cut in cuts:
            if starts[-1] + cut >= len(CONTENT):
                break
            starts.append(starts[-1] + cut)
        assert [asked for _, asked in site.requests] == [f"bytes={start}-" if start else None for start in starts]


def test_the_next_call_goes_on_where_one_stopped(site: Site, tmp_path: Path):
    site.cuts = [100_000, 0, 0]
    with pytest.raises(UserError, match=r"a\.zip cannot be downloaded \(the connection ended after 100,000 of 300,000"):
        get(site, tmp_path)
    assert part(tmp_path).read_bytes() == CONTENT[:100_000]
    site.cuts = []
    site.requests.clear()
    assert get(site, tmp_path) == CONTENT
    assert site.requests == [("a.zip", "bytes=100000-")]


def test_the_next_call_goes_on_where_one_was_stopped_by_its_user(site: Site, tmp_path: Path):
    download_ = fetch(f"{site.address}/a.zip", tmp_path / "a.zip", MD5)
    while next(download_).done == 0:
        pass
    download_.close()
    kept = part(tmp_path).stat().st_size
    assert 0 < kept <= len(CONTENT) and not (tmp_path / "a.zip").exists()
    assert get(site, tmp_path) == CONTENT
    assert site.requests[-1] == ("a.zip", f"bytes={kept}-")


def test_a_server_that_sends_no_pieces(site: Site, tmp_path: Path):
    site.ranges = False
    part(tmp_path).write_bytes(CONTENT[:5_000])
    assert get(site, tmp_path) == CONTENT
    assert site.requests == [("a.zip", "bytes=5000-")]


def test_a_server_that_sends_no_pieces_and_cuts(site: Site, tmp_path: Path):
    site.ranges, site.cuts = False, [1_000, 1_000, 1_000]
    with pytest.raises(UserError, match="run the same command again"):
        get(site, tmp_path)
    assert len(site.requests) == 2


def test_a_server_that_stalls_again_and_again(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "_TIMEOUT_SECONDS", 0.1)
    site.cuts, site.silence = [1_000] * 300, 0.3
    with pytest.raises(UserError, match=r"\(timed out\): check the network and run the same command again"):
        get(site, tmp_path)
    assert len(site.requests) == 5 and part(tmp_path).stat().st_size == 5_000
    site.cuts = []
    assert get(site, tmp_path) == CONTENT


def test_a_server_that_has_no_such_piece_of_the_whole(site: Site, tmp_path: Path):
    site.status = 416
    with pytest.raises(UserError, match=r"answers 416 .*: look for the file's new address"):
        get(site, tmp_path)


def test_a_server_that_does_not_tell_the_length(site: Site, tmp_path: Path):
    site.lengths = False
    assert get(site, tmp_path) == CONTENT


@pytest.mark.parametrize("length", ["abc", "\u00b2", "-5", "9" * 5_000])
def test_a_length_that_is_no_number_is_none(site: Site, tmp_path: Path, length: str):
    site.length = length
    assert get(site, tmp_path) == CONTENT


def test_all_of_it_is_there_already(site: Site, tmp_path: Path):
    part(tmp_path).write_bytes(CONTENT)
    assert get(site, tmp_path) == CONTENT
    assert site.requests == [("a.zip", "bytes=300000-")]


def test_more_than_all_of_it_is_there(site: Site, tmp_path: Path):
    part(tmp_path).write_bytes(CONTENT + b"more")
    assert get(site, tmp_path) == CONTENT


def test_a_wrong_checksum(site: Site, tmp_path: Path):
    site.files["a.zip"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    sentence = rf"a\.zip is not the official file \(its MD5 is \w+, not {MD5}\) and was removed: run the same command "
    with pytest.raises(UserError, match=sentence + r"again, or put a\.zip into .* yourself\.$"):
        get(site, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_checksum_is_known(site: Site, tmp_path: Path):
    assert get(site, tmp_path, md5=None) == CONTENT


def test_no_network(tmp_path: Path):
    with serve() as gone:
        pass
    with pytest.raises(
        UserError, match=r"cannot be downloaded \(Connection refused\): check the network .* yourself\."
    ):
        get(gone, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_such_host(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot be downloaded \(.+\): check the network"):
        list(fetch("http://nowhere.invalid/a.zip", tmp_path / "a.zip"))


def test_no_such_file(site: Site, tmp_path: Path):
    site.files.clear()
    with pytest.raises(UserError, match=r"/a\.zip answers 404 Not Found: look for the file's new address"):
        get(site, tmp_path)


class Usage(NamedTuple):
    free: int


def test_a_disk_that_is_too_small_is_refused_at_the_start(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: Usage(200_000))
    with pytest.raises(UserError, match=r"has 0\.0 GB free and the rest of .*a\.zip needs 0\.0 GB: free some space"):
        get(site, tmp_path)


def test_a_disk_that_fills_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> Iterator[object]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    monkeypatch.setattr(download, "_receive", full)
    with pytest.raises(
        UserError, match=r"\.a\.zip\.part cannot be written \(No space left on device\): free some space"
    ):
        get(site, tmp_path)


def test_a_real_disk_that_fills_up(site: Site):
    site.lengths = False
    with (
        small_disk("100k") as folder,
        pytest.raises(UserError, match=r"\.a\.zip\.part cannot be written \(No space left on device\): free some"),
    ):
        get(site, folder)


def test_a_folder_that_cannot_be_made(site: Site, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be made \(.+\): choose another folder"):
        get(site, tmp_path / "file" / "folder")


# Unpacking


def zipped(folder: Path, *names: str) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, f"this is {name}")
    return folder / "a.zip"


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_one_folder_is_unpacked(tmp_path: Path):
    archive = zipped(tmp_path, "in/", "in/1.png", "in/s1/2.png", "inner/3.png", "4.png")
    advances = []
    for advance in unpack(archive, "in", tmp_path / "out"):
        advances.append((advance.done, advance.total))
        assert not (tmp_path / "out").exists()
    assert advances == [(1, 3), (2, 3), (3, 3)]
    assert names(tmp_path) == {"a.zip", "out/1.png", "out/s1/2.png"}
    assert (tmp_path / "out" / "s1" / "2.png").read_text() == "this is in/s1/2.png"


def test_unpacking_that_is_stopped_leaves_nothing(tmp_path: Path):
    unpacking = unpack(zipped(tmp_path, "in/1.png", "in/2.png"), "in", tmp_path / "out")
    next(unpacking)
    unpacking.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_what_a_killed_unpacking_left_is_removed(tmp_path: Path):
    (tmp_path / ".out.part" / "in").mkdir(parents=True)
    (tmp_path / ".out.part" / "in" / "old.png").write_text("")
    list(unpack(zipped(tmp_path, "in/1.png"), "in", tmp_path / "out"))
    assert names(tmp_path) == {"a.zip", "out/1.png"}


@pytest.mark.parametrize("name", ["in/../../evil.png", "in/..\\..\\evil.png", "in/s1/../../../evil.png"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    archive = zipped(tmp_path / "deep" / "er", "in/1.png", name)
    with pytest.raises(UserError, match="which leads out of in: move it away and run the same command again"):
        list(unpack(archive, "in", archive.with_name("out")))
    assert names(tmp_path) == {"deep/er/a.zip"}


def test_absolute_paths_are_not_looked_at(tmp_path: Path):
    list(unpack(zipped(tmp_path, "in/1.png", f"{tmp_path}/evil.png"), "in", tmp_path / "out"))
    assert names(tmp_path) == {"a.zip", "out/1.png"}


def test_a_zip_without_the_folder(tmp_path: Path):
    with pytest.raises(UserError, match=r"a\.zip holds no folder in: move it away and run the same command again"):
        list(unpack(zipped(tmp_path, "other/1.png"), "in", tmp_path / "out"))


def test_a_damaged_zip(tmp_path: Path):
    archive = zipped(tmp_path, "in/1.png", "in/2.png")
    content = archive.read_bytes()
    for damaged in (content[:40], content.replace(b"this is in/2.png", b"this is in/3.png")):
        archive.write_bytes(damaged)
        with pytest.raises(
            UserError, match=r"a\.zip cannot be unpacked \(.+\): move it away and run the same command again"
        ):
            list(unpack(archive, "in", tmp_path / "out"))
        assert names(tmp_path) == {"a.zip"}


def test_unpacking_on_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: Usage(20))
    with pytest.raises(UserError, match=r"unpacking .*a\.zip needs 0\.0 GB: free some space"):
        list(unpack(zipped(tmp_path, "in/1.png", "in/2.png"), "in", tmp_path / "out"))
