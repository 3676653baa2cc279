"""CORe50 as a small tree of images, with lists in the form of the official ones."""

import shutil
from pathlib import Path

import pytest
import torch
from core50_tree import TRAIN_SESSIONS, files_of, make_images, make_lists, unpacked, written
from pictures import plain, save

from negreplay.builders.streams import build_data, build_stream
from negreplay.data.core50 import CATEGORIES, IMAGES, TEST_SESSIONS, load_core50, session_images
from negreplay.errors import UserError
from negreplay.recipe import ImageRecipe, Scenario, StreamRecipe
from negreplay.recipe.stream import CORE50_LISTS
from negreplay.streams.scenarios import is_new_both, is_new_classes, is_new_instances
from negreplay.streams.stream import Stream

PREDICATES = {Scenario.NI: is_new_instances, Scenario.NC: is_new_classes, Scenario.NIC: is_new_both}


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
