"""CORe50 beside the official lists of runs 0 to 2, without images: paths, labels and their order."""

import re
import tarfile
from pathlib import Path

import pytest
import torch
from core50_tree import written

from negreplay.data.containers import Folder
from negreplay.data.core50 import CATEGORIES, IMAGES, OBJECTS, SESSIONS, objects_of
from negreplay.data.core50_files import frames
from negreplay.data.core50_lists import read_lists
from negreplay.data.images import Images
from negreplay.data.selected import every
from negreplay.recipe import ImageRecipe
from negreplay.streams.official import NC_GROUPS, core50_stream
from negreplay.streams.scenarios import is_new_both, is_new_classes


@pytest.fixture(scope="module")
def official(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    with tarfile.open(shared / "core50" / "nicv2_filelists_runs0-2.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def lines_of(official: Path, lists: str, run: int) -> list[list[str]]:
    """The lines of each experience, read here in a way of our own."""
    folder = official / f"sIII_v2_{lists.removeprefix('nicv2_')}" / f"run{run}"
    files = {int(re.findall(r"\d+", path.name)[0]): path for path in folder.glob("train_*")}
    return [files[k].read_text().splitlines() for k in range(len(files))]


def lines_of_test(official: Path) -> list[str]:
    return (official / "sIII_v2_391" / "run0" / "test_filelist.txt").read_text().splitlines()


def images_of(root: Path, lines: list[str]) -> Images:
    """The images of these lines in the order in which `load_core50` has them; nothing decodes them."""
    paths = [f"{IMAGES}/{line.split(' ')[0]}" for line in lines]
    paths.sort(key=lambda path: (int(path.split("/")[1][1:]), path))
    return Images(Folder(root), tuple(paths), objects_of(paths), OBJECTS, "official", (128, 128), ImageRecipe())


@pytest.fixture(scope="module")
def whole(shared: Path, official: Path) -> tuple[Images, Images]:
    """All training and test images, with the official archive beside them."""
    train = [line for lines in lines_of(official, "nicv2_79", 1) for line in lines]
    return images_of(shared / "core50", train), images_of(shared / "core50", lines_of_test(official))


@pytest.mark.parametrize("run", [0, 1, 2])
@pytest.mark.parametrize(
    ("lists", "all_seen"), [("nicv2_79", (66, 68)), ("nicv2_196", (157, 164)), ("nicv2_391", (321, 340))]
)
def test_nicv2_equals_the_official_lists_line_by_line(
    official: Path, whole: tuple[Images, Images], lists: str, all_seen: tuple[int, int], run: int
):
    stream = core50_stream(*whole, lists, run)
    assert len(stream) == int(lists.removeprefix("nicv2_"))
    for ours, theirs in zip(written(stream), lines_of(official, lists, run), strict=True):
        assert ours == theirs
    rows = torch.cat([experience.data.rows for experience in stream])
    assert len(rows) == 119_894 and torch.equal(rows.sort().values, torch.arange(119_894))
    assert len(stream[0].data) == 2_999 and stream[0].classes == tuple(range(0, 50, 5))
    assert is_new_both(stream)
    assert all_seen[0] <= next(k for k in range(len(stream)) if len(stream.seen(k)) == 50) <= all_seen[1]


@pytest.mark.parametrize("run", [0, 1, 2])
def test_later_experiences_are_videos(official: Path, whole: tuple[Images, Images], run: int):
    """One of an object in a session in NICv2-391, two in NICv2-196, five in NICv2-79."""
    for lists, videos in (("nicv2_391", 1), ("nicv2_196", 2), ("nicv2_79", 5)):
        for images in read_lists(whole[0].files.path, lists, run)[1:]:
            assert len({path.rsplit("/", 1)[0] for path in images}) == videos
            assert 293 * videos <= len(images) <= 300 * videos


def test_the_test_set_equals_the_official_lists_line_by_line(official: Path, whole: tuple[Images, Images]):
    _, test = whole
    ours = [f"{path.removeprefix(f'{IMAGES}/')} {c}" for path, c in zip(test.paths, test.labels.tolist(), strict=True)]
    assert len(ours) == 44_972 and ours == lines_of_test(official)
    reduced = (official / "test_filelist_20.txt").read_text().split("\n")
    assert ours[::20] == [line for line in reduced if line]
    assert len(every(test, 20).labels) == 2_249
    assert {path.read_text() for path in official.glob("*/run*/test_filelist.txt")} == {"\n".join(ours) + "\n"}


def test_frames_are_those_of_the_official_lists(official: Path, whole: tuple[Images, Images]):
    counts = {session: dict.fromkeys([f"o{n}" for n in range(1, 51)], 0) for session in SESSIONS}
    for path in whole[0].paths + whole[1].paths:
        session, name = path.split("/")[1:3]
        counts[int(session[1:])][name] += 1
    assert counts == frames()
    assert sum(sum(of.values()) for of in counts.values()) == 164_866


GROUPS = {  # facts.md 2.2, typed once more
    0: ([0, 5, 10, 15, 20, 25, 30, 35, 40, 45], 23_980),
    1: ([1, 6, 11, 16, 21], 11_979),
    2: ([26, 31, 36, 41, 46], 11_993),
    3: ([2, 7, 12, 17, 22], 11_990),
    4: ([27, 32, 37, 42, 47], 11_987),
    5: ([3, 8, 13, 18, 23], 11_990),
    6: ([28, 33, 38, 43, 48], 11_993),
    7: ([4, 9, 14, 19, 24], 11_989),
    8: ([29, 34, 39, 44, 49], 11_993),
}
ORDERS = [
    [0, 8, 3, 2, 7, 1, 5, 4, 6],
    [0, 2, 7, 1, 6, 3, 4, 8, 5],
    [0, 6, 2, 5, 4, 3, 1, 7, 8],
    [0, 1, 7, 2, 6, 5, 8, 4, 3],
    [0, 4, 1, 3, 6, 8, 7, 5, 2],
    [0, 3, 4, 8, 6, 2, 1, 7, 5],
    [0, 6, 8, 1, 7, 2, 3, 5, 4],
    [0, 5, 2, 4, 6, 8, 1, 7, 3],
    [0, 3, 4, 5, 8, 2, 1, 7, 6],
    [0, 1, 6, 7, 3, 5, 2, 8, 4],
]


@pytest.mark.parametrize("run", range(10))
def test_nc_has_the_groups_sizes_and_order_of_every_run(whole: tuple[Images, Images], run: int):
    stream = core50_stream(*whole, "nc", run)
    objects = objects_of(whole[0].paths)
    expected = [GROUPS[group] for group in ORDERS[run]]
    assert [len(experience.data) for experience in stream] == [size for _, size in expected]
    assert [objects[experience.data.rows].unique().tolist() for experience in stream] == [
        group for group, _ in expected
    ]
    assert [experience.classes for experience in stream] == [
        tuple(range(10)) if k == 0 else tuple(range(5 * k + 5, 5 * k + 10)) for k in range(9)
    ]
    assert stream.names == stream.test.names == tuple(OBJECTS[number] for group, _ in expected for number in group)
    for data, images in ((stream.train, whole[0]), (stream.test, whole[1])):
        assert [data.names[c] for c in data.labels[::997]] == [OBJECTS[c] for c in images.labels[::997]]
    rows = torch.cat([experience.data.rows for experience in stream])
    assert torch.equal(rows.sort().values, torch.arange(119_894))
    assert is_new_classes(stream)


def test_nc_keeps_the_order_of_sessions_objects_and_frames(whole: tuple[Images, Images]):
    first = core50_stream(*whole, "nc", 0)[0].data.rows.tolist()
    videos = list(dict.fromkeys(whole[0].paths[row].split("/", 1)[1].rsplit("/", 1)[0] for row in first))
    objects = ["o1", "o11", "o16", "o21", "o26", "o31", "o36", "o41", "o46", "o6"]
    assert videos == [f"s{session}/{name}" for session in (1, 2, 4, 5, 6, 8, 9, 11) for name in objects]


def test_names_are_the_official_ones(shared: Path):
    assert list(OBJECTS) == (shared / "core50" / "core50_labels.txt").read_text().split()
    assert [name.rstrip("12345") for name in OBJECTS[::5]] == list(CATEGORIES)


def test_groups_cover_the_objects():
    assert {group: objects for group, (objects, _) in GROUPS.items()} == dict(enumerate(map(list, NC_GROUPS)))
    assert sorted(number for group in NC_GROUPS for number in group) == list(range(50))
