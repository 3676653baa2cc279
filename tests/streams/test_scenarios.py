"""New Instances, New Classes and both, over every kind of data set, as the recipes ask for them."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from archives import cifar_files, noise, write_cifar, write_imagenet, write_mnist, write_tiny_imagenet, zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import save
from PIL import Image

from negreplay.builders.streams import build_data, build_stream
from negreplay.data.selected import every
from negreplay.recipe import Augment, ImageRecipe, Scenario, StreamRecipe
from negreplay.streams.scenarios import is_new_both, is_new_classes, is_new_instances
from negreplay.streams.stream import Stream

DATA = ("mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet", "imagenet", "folder", "zip", "table")
PREDICATES = {Scenario.NI: is_new_instances, Scenario.NC: is_new_classes, Scenario.NIC: is_new_both}


def write_folder(place: Path, name: str) -> Path:
    for split, count in (("train", 4), ("test", 1)):
        for c in range(3):
            for i in range(count):
                image = Image.fromarray(noise(8, 8, 3, seed=100 * c + 10 * i + count))
                save(image, place / name / split / f"class {c}" / f"{i}.png")
    return place / name


def write_table(place: Path, name: str) -> None:
    folder = write_folder(place, "elsewhere")
    files = sorted(folder.rglob("*.png"))
    rows = [f"{file.relative_to(place)},{file.parent.name},{file.parent.parent.name}" for file in files]
    random.Random(0).shuffle(rows)
    (place / f"{name}.csv").write_text("\n".join(["path,label,split", *rows]))


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with one of each."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        labels = [c for _ in range(4) for c in range(10)]
        write_mnist(place / "mnist", labels, labels)
        write_mnist(place / "FashionMNIST" / "raw", labels, labels)
        write_cifar(place, "cifar10", cifar_files("cifar10"), archive=True)
        write_cifar(place, "cifar100", cifar_files("cifar100"), archive=False)
        write_tiny_imagenet(place)
        write_imagenet(place, classes=3)
        write_folder(place, "folder")
        shutil.rmtree(zipped(write_folder(place, "zip")).with_suffix(""))
        write_table(place, "table")
        yield place


@st.composite
def scenarios(draw: st.DrawFn, classes: int) -> dict[str, Any]:
    """Fields of a `StreamRecipe`: any scenario of the paper's, some classes first and some later, and parts."""
    scenario = draw(st.sampled_from(list(PREDICATES)))
    first = draw(st.integers(1, classes - 1))
    step = draw(st.integers(1, classes - first))
    parts = 1 if scenario is Scenario.NC else draw(st.integers(2, 3))
    return {"scenario": scenario, "first_classes": first, "classes": step, "parts": parts}


def rows_of(stream: Stream) -> list[list[int]]:
    return [experience.data.rows.tolist() for experience in stream]


@pytest.mark.parametrize("name", DATA)
@settings(deadline=None, max_examples=8)
@given(drawn=st.data(), augment=st.sampled_from(Augment), seed=st.integers(0, 2**32 - 1))
def test_every_image_once_no_class_lost_and_the_same_again(
    place: Path, name: str, drawn: st.DataObject, augment: Augment, seed: int
):
    classes = len(build_data(StreamRecipe(name, Scenario.NC), place)[0].names)
    recipe = StreamRecipe(name, images=ImageRecipe(8, augment=augment), **drawn.draw(scenarios(classes)))
    train, test = build_data(recipe, place)
    stream = build_stream(recipe, train, test, seed)
    rows = rows_of(stream)
    assert sorted(row for some in rows for row in some) == list(range(len(train.labels)))
    assert stream.seen(len(stream) - 1).tolist() == list(range(classes))
    assert [scenario for scenario, holds in PREDICATES.items() if holds(stream)] == [recipe.scenario]
    assert rows_of(build_stream(recipe, *build_data(recipe, place), seed)) == rows
    rng = torch.Generator().manual_seed(seed)
    batches = [batch for experience in stream for batch in experience.batches(7, rng)]
    assert sum(len(batch.y) for batch in batches) == len(train.labels)
    assert all(batch.x.shape[2:] == (8, 8) and 0 <= batch.x.min() <= batch.x.max() <= 1 for batch in batches)
    assert len(stream.growing_test(len(stream) - 1)) == len(stream.whole_test) == len(test.labels)


@pytest.mark.parametrize("name", DATA)
def test_of_the_test_images_every_third_is_read(place: Path, name: str):
    """Of any data set; `build_data` refuses where a class would be left without (tests/data/test_build_data.py)."""
    _, whole = build_data(StreamRecipe(name, Scenario.NC, images=ImageRecipe(8)), place)
    few = every(whole, 3)
    assert few.fingerprint != whole.fingerprint
    assert torch.equal(few.labels, whole.labels[::3]) and few.names == whole.names
    rows = torch.arange(len(few.labels))
    assert torch.equal(few.read(rows), whole.read(3 * rows))


@pytest.mark.parametrize("name", ["cifar100", "tiny-imagenet", "imagenet", "folder", "table"])
@pytest.mark.parametrize("order", [sorted, lambda entries: sorted(entries, reverse=True)])
def test_the_file_system_s_order_does_not_matter(
    place: Path, name: str, order: Callable[[list[str]], list[str]], monkeypatch: pytest.MonkeyPatch
):
    recipe = StreamRecipe(name, Scenario.NIC, 1, parts=2, images=ImageRecipe(8))
    expected = [batch for e in build_stream(recipe, *build_data(recipe, place), 3) for batch in e.batches(50)]
    scandir = os.scandir

    class Ordered:
        def __init__(self, path: Path) -> None:
            with scandir(path) as entries:
                by_name = {entry.name: entry for entry in entries}
            self.entries = [by_name[entry] for entry in order(list(by_name))]

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Ordered)
    found = [batch for e in build_stream(recipe, *build_data(recipe, place), 3) for batch in e.batches(50)]
    assert all(torch.equal(x.x, y.x) and torch.equal(x.y, y.y) for x, y in zip(found, expected, strict=True))


def test_classes_arrive_in_the_order_that_a_recipe_gives(place: Path):
    names = ("class 2", "class 0", "class 1")
    recipe = StreamRecipe("cifar10", Scenario.NC, 1, 1, order=names)
    train, test = build_data(recipe, place)
    stream = build_stream(recipe, train, test, seed=0)
    assert [stream.names[experience.classes[0]] for experience in stream] == list(names)


def test_domains_have_as_many_labels_as_an_experience_has_classes(place: Path):
    names = tuple("3091254867")
    recipe = StreamRecipe("mnist", Scenario.DOMAINS, 5, 5, order=names)
    train, test = build_data(recipe, place)
    stream = build_stream(recipe, train, test, seed=0)
    assert [experience.classes for experience in stream] == [(0, 1, 2, 3, 4)] * 2
    assert len(stream.growing_test(0)) == len(test.labels)
    for labels, placed in ((train.labels, stream.train.labels), (test.labels, stream.test.labels)):
        assert placed.tolist() == [names.index(train.names[c]) % 5 for c in labels.tolist()]
