import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from core50_tree import TRAIN_SESSIONS, files_of, make_images, make_lists, unpacked
from pictures import plain, save

from negreplay.builders.streams import build_data, build_stream
from negreplay.data.containers import Folder
from negreplay.data.core50 import (
    CATEGORIES,
    IMAGES,
    OBJECTS,
    SESSIONS,
    TEST_SESSIONS,
    load_core50,
    objects_of,
    session_images,
)
from negreplay.data.core50_files import frames
from negreplay.data.core50_lists import read_lists
from negreplay.data.images import Images
from negreplay.data.selected import every
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe, Scenario, StreamRecipe
from negreplay.recipe.stream import CORE50_LISTS
from negreplay.streams.official import NC_GROUPS, core50_stream
from negreplay.streams.scenarios import is_new_both, is_new_classes, is_new_instances
from negreplay.streams.stream import Stream

PREDICATES = {Scenario.NI: is_new_instances, Scenario.NC: is_new_classes, Scenario.NIC: is_new_both}


# The official lists of runs 0 to 2, without images: paths, labels and their order


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


def written(stream: Stream) -> Iterator[list[str]]:
    """The stream as the lines of the lists it came from."""
    assert isinstance(stream.train, Images)
    paths, labels = stream.train.paths, stream.train.labels.tolist()
    for experience in stream:
        yield [f"{paths[row].removeprefix(f'{IMAGES}/')} {labels[row]}" for row in experience.data.rows.tolist()]


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


# A small tree of images, and lists in the form of the official ones


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames of each object and session, and the lists of runs 0 and 9."""
    root = make_images(tmp_path_factory.mktemp("data") / "core50")
    for lists in set(CORE50_LISTS) - {"nc"}:
        for run in (0, 9):
            unpacked(root, files_of(lists, run))
    return root


@pytest.fixture
def tree(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(made, tmp_path / "core50")


def recipe(lists: str, **changes: object) -> StreamRecipe:
    return StreamRecipe("core50", CORE50_LISTS[lists], lists=lists, **changes)  # type: ignore[arg-type]


def streamed(place: Path, run: int, spec: StreamRecipe) -> Stream:
    return build_stream(spec, *build_data(spec, place), run)


@pytest.mark.parametrize("run", [0, 9])
@pytest.mark.parametrize("lists", CORE50_LISTS)
def test_every_list_is_its_scenario_with_each_image_once(made: Path, lists: str, run: int):
    stream = streamed(made, run, recipe(lists))
    assert len(stream) == {"ni": 8, "nc": 9, "nic": 79, "nicv2_79": 79, "nicv2_196": 196, "nicv2_391": 391}[lists]
    rows = [row for experience in stream for row in experience.data.rows.tolist()]
    assert sorted(rows) == list(range(8 * 50 * 2))
    assert rows == [row for e in streamed(made.parent, run, recipe(lists)) for row in e.data.rows.tolist()]
    assert PREDICATES[CORE50_LISTS[lists]](stream)
    assert stream.seen(len(stream) - 1).tolist() == list(range(50))
    if lists != "nc":
        assert list(written(stream)) == make_lists(lists, run)[:-1]


@pytest.mark.parametrize("lists", CORE50_LISTS)
def test_categories_are_all_in_the_first_experience(made: Path, lists: str):
    stream = streamed(made, 9, recipe(lists, categories=True))
    assert stream.names == stream.test.names == CATEGORIES
    assert stream[0].classes == tuple(range(10)) and is_new_instances(stream)
    assert torch.bincount(stream.train.labels).tolist() == [8 * 5 * 2] * 10
    assert torch.bincount(stream.test.labels).tolist() == [3 * 5 * 2] * 10


def test_runs_differ(made: Path):
    for lists in CORE50_LISTS:
        first, second = (streamed(made, run, recipe(lists)) for run in (0, 9))
        assert any(a.data.rows.tolist() != b.data.rows.tolist() for a, b in zip(first, second, strict=True))


def test_images_are_decoded_as_in_a_folder(made: Path):
    train, test = build_data(recipe("ni", images=ImageRecipe(8), test_every=6), made)
    assert train.read(torch.tensor([0, 799])).shape == (2, 3, 8, 8)
    assert len(test.labels) == 3 * 50 * 2 / 6
    assert len({split.fingerprint for split in (train, test, *load_core50(made, ImageRecipe(), categories=False))}) == 4


def test_lists_and_runs_share_what_is_stored_of_the_images(made: Path):
    fingerprints = {streamed(made, run, recipe(lists)).train.fingerprint for lists in ("nc", "ni") for run in (0, 9)}
    assert len(fingerprints) == 1


def test_sessions_are_those_of_the_protocol(made: Path):
    train, test = load_core50(made, ImageRecipe(), categories=False)
    assert list(dict.fromkeys(int(path.split("/")[1][1:]) for path in train.paths)) == TRAIN_SESSIONS
    assert 11 in TRAIN_SESSIONS
    assert list(dict.fromkeys(int(path.split("/")[1][1:]) for path in test.paths)) == list(TEST_SESSIONS)


def test_other_files_are_ignored(tree: Path):
    before = session_images(tree, 1)
    for name in (".DS_Store", "Thumbs.db", "D_01_01_000.png", "._C_01_01_000.png"):
        (tree / IMAGES / "s1" / "o1" / name).write_bytes(b"")
    assert session_images(tree, 1) == before


# Mistakes


@pytest.mark.parametrize("run", [10, -1, 1993])
@pytest.mark.parametrize("lists", ["nc", "nicv2_391"])
def test_a_seed_that_is_no_run(made: Path, lists: str, run: int):
    with pytest.raises(UserError, match=rf"seed {run} is no run of CORe50, whose lists are those of runs 0 to 9"):
        streamed(made, run, recipe(lists))


def test_a_run_without_lists(made: Path):
    with pytest.raises(UserError, match=r"core50 holds no list of nic for run 4 \(the run's seed\): get them with"):
        streamed(made, 4, recipe("nic"))


def test_no_images(tmp_path: Path):
    with pytest.raises(UserError, match=rf"there is no {IMAGES} in {tmp_path}: get CORe50 with `negreplay data core50"):
        load_core50(tmp_path, ImageRecipe(), categories=False)


@pytest.mark.parametrize("missing", ["s11", "s3/o50", "s1/o1/*"])
def test_a_missing_session_or_object(tree: Path, missing: str):
    for path in list((tree / IMAGES).glob(missing)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder = {"s11": "s11/o1", "s1/o1/*": "s1/o1"}.get(missing, missing)
    with pytest.raises(UserError, match=rf"{IMAGES}/{folder} holds no images: CORe50 has 50 objects in each of 11"):
        load_core50(tree, ImageRecipe(), categories=False)


def test_an_image_that_is_listed_and_missing(tree: Path):
    (tree / IMAGES / "s6" / "o7" / "C_06_07_001.png").unlink()
    with pytest.raises(UserError, match=r"C_06_07_001\.png, which the list of nicv2_79, run 0 names, is missing"):
        streamed(tree, 0, recipe("nicv2_79"))


def test_an_image_that_is_there_and_not_listed(tree: Path):
    save(plain(), tree / IMAGES / "s6" / "o7" / "C_06_07_299.png")
    with pytest.raises(UserError, match=r"C_06_07_299\.png is in no list of ni, run 9: copy images and lists again"):
        streamed(tree, 9, recipe("ni"))


def test_an_image_that_is_listed_twice(tree: Path):
    path = tree / "NI_inc" / "run0" / "train_batch_05_filelist.txt"
    path.write_text("s1/o1/C_01_01_000.png 0\n" + path.read_text())
    with pytest.raises(UserError, match=r"C_01_01_000\.png, which the list of ni, run 0 names twice"):
        streamed(tree, 0, recipe("ni"))
