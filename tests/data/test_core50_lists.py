import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from core50_tree import files_of, make_lists, pickled, tarred, unpacked, zipped
from hypothesis import given
from hypothesis import strategies as st

from negreplay.data import core50_lists
from negreplay.data.core50_lists import EXPERIENCES, FOLDERS, RUNS, read_lists, runs_found
from negreplay.errors import UserError

FORMS: dict[str, Callable[[Path, str, int], None]] = {
    "folder": lambda root, lists, run: unpacked(root, files_of(lists, run)),
    "folder in a folder": lambda root, lists, run: unpacked(root, files_of(lists, run), "batches_filelists"),
    "other name": lambda root, lists, run: unpacked(root, files_of(lists, run, FOLDERS[lists][-1])),
    "zip": lambda root, lists, run: zipped(root, files_of(lists, run)),
    "official zip": lambda root, lists, run: zipped(root, files_of(lists, run), inside="batches_filelists/"),
    "tar.xz": lambda root, lists, run: tarred(root, files_of(lists, run, FOLDERS[lists][-1]), "xz"),
    "tar.gz": lambda root, lists, run: tarred(root, files_of(lists, run), "gz"),
    "pickles": pickled,
    "pickles of Python 2's time": lambda root, lists, run: pickled(root, lists, run, protocol=0),
}


@pytest.mark.parametrize("lists", EXPERIENCES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_in_the_same_order(tmp_path: Path, form: str, lists: str):
    FORMS[form](tmp_path, lists, 7)
    expected = [[line.split(" ")[0] for line in lines] for lines in make_lists(lists, 7)[:-1]]
    assert [list(images) for images in read_lists(tmp_path, lists, 7)] == expected


def test_experiences_are_in_the_order_of_their_numbers_not_of_their_names(tmp_path: Path):
    unpacked(tmp_path, files_of("nicv2_391", 0))
    lines = (tmp_path / "NIC_v2_391" / "run0" / "train_batch_100_filelist.txt").read_text().splitlines()
    assert [f"{path} {int(path.split('/')[1][1:]) - 1}" for path in read_lists(tmp_path, "nicv2_391", 0)[100]] == lines


def test_runs_lie_in_several_places(tmp_path: Path):
    unpacked(tmp_path, files_of("ni", 3))
    zipped(tmp_path, files_of("ni", 4) | files_of("nic", 9), inside="batches_filelists/")
    tarred(tmp_path, files_of("nicv2_79", 1, "sIII_v2_79") | files_of("nicv2_79", 0, "sIII_v2_79"), "xz")
    nothing = {"nicv2_196": [], "nicv2_391": []}
    assert runs_found(tmp_path) == {"ni": [3, 4], "nic": [9], "nicv2_79": [0, 1]} | nothing
    for lists, run in (("ni", 3), ("ni", 4), ("nic", 9), ("nicv2_79", 1)):
        assert len(read_lists(tmp_path, lists, run)) == EXPERIENCES[lists]


def test_pickles_hold_all_runs(tmp_path: Path):
    pickled(tmp_path, "nic", 0)
    assert runs_found(tmp_path) == {lists: list(RUNS) for lists in FOLDERS}


@pytest.mark.parametrize("lists", EXPERIENCES)
def test_missing_lists_are_one_sentence(tmp_path: Path, lists: str):
    unpacked(tmp_path, files_of(lists, 0))
    with pytest.raises(
        UserError, match=rf"holds no list of {lists} for run 5 .*: get them with `negreplay data core50"
    ):
        read_lists(tmp_path, lists, 5)


def test_a_missing_experience_is_named(tmp_path: Path):
    files = files_of("nicv2_196", 2)
    del files["NIC_v2_196/run2/train_batch_150_filelist.txt"]
    zipped(tmp_path, files)
    with pytest.raises(UserError, match=r"filelists\.zip lacks the list of experience 150 of nicv2_196, run 2"):
        read_lists(tmp_path, "nicv2_196", 2)


@pytest.mark.parametrize("name", ["lists.zip", "lists.tar.xz", "lists.tar.gz"])
def test_a_damaged_archive_is_named(tmp_path: Path, name: str):
    zipped(tmp_path, files_of("ni", 0), name) if name.endswith("zip") else tarred(
        tmp_path, files_of("ni", 0), name[-2:]
    )
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{re.escape(name)} cannot be read \(.*\): get it again, or move it away"):
        read_lists(tmp_path, "ni", 0)


def test_an_encrypted_zip_and_a_link_to_nothing_are_named(tmp_path: Path):
    zipped(tmp_path, files_of("ni", 0), "a.zip")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for header, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        for at in (match.start() for match in re.finditer(re.escape(header), bytes(content))):
            content[at + flags] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip cannot be read \(.*encrypted.*\): get it again"):
        read_lists(tmp_path, "ni", 0)
    (tmp_path / "a.zip").unlink()
    link = tarfile.TarInfo("NI_inc/run0/train_batch_00_filelist.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "nowhere"
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.addfile(link)
    with pytest.raises(UserError, match=r"b\.tar\.gz cannot be read \(.*nowhere.*\): get it again"):
        read_lists(tmp_path, "ni", 0)


def test_a_list_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(core50_lists, "_LARGEST_LIST", 2_000_000)
    name = "NI_inc/run0/train_batch_00_filelist.txt"
    files = {name: "a" * 3_000_000}
    for archive in (tmp_path / "lists.zip", tmp_path / "lists.tar.xz"):
        zipped(tmp_path, files, archive.name) if archive.suffix == ".zip" else tarred(tmp_path, files, "xz")
        with pytest.raises(UserError, match=r"cannot be read \(it has 3 MB, and at most 2 are read\): get it again"):
            read_lists(tmp_path, "ni", 0)
        archive.unlink()


def test_hidden_files_and_the_images_archive_are_not_looked_at(tmp_path: Path):
    for name in (".lists.zip", "core50_128x128.zip", "._lists.tar.xz"):
        (tmp_path / name).write_bytes(b"no archive")
    unpacked(tmp_path, files_of("ni", 0))
    zipped(tmp_path, {"__MACOSX/NI_inc/run0/._train_batch_00_filelist.txt": "resource fork"}, "other.zip")
    assert len(read_lists(tmp_path, "ni", 0)) == 8


@given(number=st.integers(0, 49), label=st.integers(0, 49))
def test_a_label_is_the_number_of_the_object_less_one(
    tmp_path_factory: pytest.TempPathFactory, number: int, label: int
):
    root = tmp_path_factory.mktemp("lists")
    files = files_of("ni", 0)
    name = "NI_inc/run0/train_batch_03_filelist.txt"
    unpacked(root, files | {name: f"{files[name]}s4/o{number + 1}/C_04_01_000.png {label}\n"})
    if number == label:
        assert len(read_lists(root, "ni", 0)[3]) == 101
    else:
        with pytest.raises(UserError, match=r"line 101 of train_batch_03_filelist\.txt, 's4/o.* is no image with"):
            read_lists(root, "ni", 0)


@pytest.mark.parametrize("line", ["", "s1/o1/C_01_01_000.png", "../../secret.png 0", "s1/o1/C_01_01_000.png 0 0"])
def test_a_line_that_is_no_image_is_named(tmp_path: Path, line: str):
    name = "NI_inc/run0/train_batch_00_filelist.txt"
    unpacked(tmp_path, files_of("ni", 0) | {name: f"{line}\n"})
    with pytest.raises(UserError, match=r"line 1 of train_batch_00_filelist\.txt"):
        read_lists(tmp_path, "ni", 0)


def test_pickles_of_another_form_are_one_sentence(tmp_path: Path):
    pickled(tmp_path, "ni", 0)
    for lists, run in (("nic", 0), ("ni", 1)):
        with pytest.raises(UserError, match=f"do not hold {lists}, run {run}, in the official form"):
            read_lists(tmp_path, lists, run)


def test_a_missing_pickle_is_named(tmp_path: Path):
    pickled(tmp_path, "ni", 0)
    (tmp_path / "labels.pkl").unlink()
    with pytest.raises(UserError, match=r"labels\.pkl cannot be read \(No such file"):
        read_lists(tmp_path, "ni", 0)


def test_pickled_lists_within_lists_are_not_written_out(tmp_path: Path):
    pickled(tmp_path, "ni", 0)
    within: object = "s1/o1/C_01_01_000.png"
    for _ in range(100):  # as a text it would have 2^100 paths
        within = [within, within]
    (tmp_path / "paths.pkl").write_bytes(pickle.dumps([within] * 10_000))
    with pytest.raises(UserError, match=r"\(there is something else than a path and a number\)"):
        read_lists(tmp_path, "ni", 0)
