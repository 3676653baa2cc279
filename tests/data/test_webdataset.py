"""Images in tar shards: what webdataset writes is read, and what its reader yields is read equally."""

import io
import json
import os
import re
import tarfile
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from shards import CLASSES, png, sample, shard, two_splits, written
from torch import Tensor

from negreplay.builders.streams import build_data, build_stream
from negreplay.data import data as rows_in_order
from negreplay.data.data import View
from negreplay.data.overview import overview
from negreplay.data.selected import every
from negreplay.data.webdataset import ShardImages, are_shards, load_shards
from negreplay.errors import UserError
from negreplay.recipe import Augment, ImageRecipe, Scenario, StreamRecipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports, on every import
    from webdataset.tariterators import group_by_keys, tar_file_iterator

PLAIN = ImageRecipe()


def read_by_webdataset(folder: Path, split: str) -> list[dict[str, Any]]:
    """What webdataset makes of shards that are open, for it leaves open those that it opens."""
    samples = []
    for path in sorted(folder.glob(f"{split}-*.tar")):
        with path.open("rb") as file:
            files = ({**of, "__url__": str(path)} for of in tar_file_iterator(cast("Any", file)))
            samples += group_by_keys(files)
    return samples


def pixels(content: bytes) -> Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB"))).movedim(-1, 0) / 255


@pytest.mark.parametrize("label", ["cls", "txt", "json"])
def test_what_webdataset_writes_and_reads_is_read(tmp_path: Path, label: str):
    folder = written(tmp_path / "wds", label=label)
    train, test = load_shards(folder, PLAIN)
    assert train.names == test.names == (("0", "1", "2") if label == "cls" else CLASSES)
    for split, data in (("train", train), ("test", test)):
        theirs = read_by_webdataset(folder, split)
        assert [f"{of['__key__']}.png" for of in theirs] == list(data.members) and len(theirs) == 20
        expected = {"cls": lambda of: of["cls"].decode(), "txt": lambda of: of["txt"].decode()}.get(
            label, lambda of: json.loads(of["json"])["label"]
        )
        assert [expected(of) for of in theirs] == [data.names[c] for c in data.labels.tolist()]
        rows = torch.tensor([19, 0, 7, 7])
        assert torch.equal(data.read(rows), torch.stack([pixels(theirs[row]["png"]) for row in rows.tolist()]))


def test_the_grouping_into_samples_is_that_of_webdataset(tmp_path: Path):
    """Long names, folders, several dots, capitals, files of no use, and one key in two places."""
    long = "folder/" * 30 + "image"
    files = [
        *sample("a", "cat"), ("a.seg.png", png(9)), ("a.JSON", b"{}"), ("__meta__", b"x"), ("./b.PNG", png(1)),
        ("./b.cls", b"dog\n"), *sample(long, "cat", 2), ("c.d/e.png", png(3)), ("c.d/e.txt", b" eel "),
        *sample("a", "dog", 4),
    ]  # fmt: skip
    folder = two_splits(tmp_path, files)
    train, _ = load_shards(folder, PLAIN)
    theirs = [of for of in read_by_webdataset(folder, "train") if "png" in of]
    assert [path.lower() for path in train.members] == [f"{of['__key__']}.png".lower() for of in theirs]
    ours = train.read(torch.arange(len(train.labels)))
    assert torch.equal(ours, torch.stack([pixels(of["png"]) for of in theirs]))
    assert [train.names[c] for c in train.labels] == ["cat", "dog", "cat", "eel", "dog"]


@pytest.mark.parametrize("folders", [True, False])
def test_a_split_is_a_folder_or_a_word_in_the_name(tmp_path: Path, folders: bool):
    train, test = (
        ("train/b.tar", "validation/a.tar") if folders else ("imagenet1k-train-07.tar", "imagenet1k-validation-0.tar")
    )
    shard(tmp_path / "set" / train, *sample("a", "cat"))
    shard(tmp_path / "set" / test, *sample("b", "cat", 1), *sample("c", "cat", 2))
    recipe = StreamRecipe("set", Scenario.NC)
    for place in (tmp_path, tmp_path / "set"):
        data = build_data(recipe, place)
        assert [len(of.labels) for of in data] == [1, 2] and isinstance(data[0], ShardImages)


def test_folders_of_classes_stay_what_they_are(tmp_path: Path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    shard(tmp_path / "train" / "cat.tar", *sample("a", "cat"))
    shard(tmp_path / "archive.tar", *sample("a", "cat"))
    assert not are_shards(tmp_path)


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path):
    train, test = load_shards(two_splits(tmp_path, [*sample("a", "10"), *sample("b", "9")], sample("c", "11")), PLAIN)
    assert train.names == ("9", "10", "11")
    assert (train.labels.tolist(), test.labels.tolist()) == ([1, 0], [2])


def test_what_is_not_used_is_told(tmp_path: Path):
    link, hard = tarfile.TarInfo("link.png"), tarfile.TarInfo("hard.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "a.png"
    folder = two_splits(tmp_path, [*sample("a", "cat"), link, hard, ("notes.md", b"x"), ("README", b"x")])
    shard(folder / "val-0.tar", *sample("z", "cat"))
    shard(folder / "other.tar", *sample("z", "cat"))
    train, test = load_shards(folder, PLAIN)
    assert len(train.labels) == len(test.labels) == 1
    assert dict(train.left_out) == {
        "other.tar": "its name tells no split",
        "the shards of val": "test is the test set",
        "train-000000.tar/link.png": "it is no regular file",
        "train-000000.tar/hard.png": "it is no regular file",
        "train-000000.tar/notes.md": "its sample has no image",
        "train-000000.tar/README": "its name has no ending",
    }
    assert overview(train, test)[2].startswith("6 files or folders are left out: other.tar (its name tells no split), ")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([("a.png", png(0))], "sample 'a' has no class: give it one in a.cls or a.txt, or as label in a.json."),
        ([("a.png", png(0)), ("a.cls", b" \n")], "sample 'a' has no class: give it one"),
        ([("a.png", png(0)), ("a.json", b'{"label": [1]}')], "sample 'a' has no class: give it one"),
        ([("a.png", png(0)), ("a.json", b"[" * 100_000)], "a.json is no JSON"),
        ([("a.png", png(0)), ("a.cls", bytes(2**20 + 1))], "a.cls has 1048577 bytes: give it the name of a class."),
        ([("a.png", png(0)), ("a.cls", b"\xff")], "cannot be read ('utf-8' codec can't decode"),
        ([*sample("a", "cat"), ("a.jpg", b"x")], "sample 'a' has several images (png, jpg): leave one of them."),
        ([*sample("a", "cat"), ("a.CLS", b"x")], "holds a.CLS twice in a sample: make it again, with each file once."),
        ([("notes.txt", b"x")], "holds no images: make shards with samples of an image and its class."),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, files: list[tuple[str, bytes]], sentence: str):
    with pytest.raises(UserError, match=r"train-000000\.tar.*" + re.escape(sentence)):
        load_shards(two_splits(tmp_path, files), PLAIN)


def test_a_missing_split_is_told(tmp_path: Path):
    shard(tmp_path / "train-0.tar", *sample("a", "cat"))
    with pytest.raises(UserError, match=r"has no shards of test images: name shards train-000000\.tar and test-"):
        load_shards(tmp_path, PLAIN)


def damaged(content: bytes, how: str) -> bytes:
    match how:
        case "cut in an image":
            return content[:700]
        case "cut between files":
            return content[:1024]
        case "a header":
            return content[:1030] + b"\xff" + content[1031:]
        case "the first header":
            return b"\xff" + content[1:]
        case "a long name":
            name = tarfile.TarInfo("x")
            name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**33
            return name.tobuf(tarfile.GNU_FORMAT) + content
        case _:
            return b"no tar at all"


@pytest.mark.parametrize(
    "how", ["cut in an image", "cut between files", "a header", "the first header", "a long name", "none"]
)
def test_a_damaged_shard_is_refused(tmp_path: Path, how: str):
    folder = two_splits(tmp_path, [*sample("a", "cat"), *sample("b", "cat")])
    path = folder / "train-000000.tar"
    path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(UserError, match=r"train-000000\.tar cannot be read \(.*\): copy it again\."):
        load_shards(folder, PLAIN)


def test_a_damaged_image_is_named(tmp_path: Path):
    folder = two_splits(tmp_path, [*sample("a", "cat"), ("x/b.png", b"no image"), ("x/b.cls", b"cat")])
    train, _ = load_shards(folder, PLAIN)
    with pytest.raises(UserError, match=r"train-000000\.tar/x/b\.png is no readable image \(its content is no image"):
        train.read(torch.tensor([1]))


def test_a_shard_that_is_cut_off_later_is_named(tmp_path: Path):
    train, _ = load_shards(two_splits(tmp_path, sample("a", "cat")), PLAIN)
    os.truncate(tmp_path / "train-000000.tar", 600)
    with pytest.raises(UserError, match=r"a\.png is no readable image \(it is cut off\)"):
        train.read(torch.tensor([0]))


def test_another_image_of_equal_name_size_and_time_is_other_data(tmp_path: Path):
    """And shards that were copied elsewhere, or cut otherwise, are the same data."""
    bitmaps = []
    for place in (0, 1000, 3000):  # bytes at the beginning, or near the end, where the first ones are equal
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels.reshape(-1)[place] = 255
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "BMP")
        bitmaps.append(file.getvalue())
    fingerprints = []
    for number, bitmap in enumerate([*bitmaps, bitmaps[0]]):
        folder = two_splits(tmp_path / str(number), [("a.bmp", bitmap), ("a.cls", b"cat")])
        os.utime(folder / "train-000000.tar", ns=(number, 7))
        fingerprints.append(load_shards(folder, PLAIN)[0].fingerprint)
    assert len(set(fingerprints)) == 3 and fingerprints[0] == fingerprints[3]
    assert load_shards(tmp_path / "0", ImageRecipe(16))[0].fingerprint not in fingerprints


def test_a_million_images_need_little_memory(tmp_path: Path):
    train, _ = load_shards(two_splits(tmp_path, [of for i in range(300) for of in sample(f"{i:09d}", "cat")]), PLAIN)
    numbers = (train.labels.numpy(), train.shard, train.start, train.length, train.members.ends)
    assert sum(of.nbytes for of in numbers) + len(train.members.content) <= 60 * 300
    assert train.members[299] == train.members[-1] == "000000299.png" and train.members[1:3] == [
        "000000001.png",
        "000000002.png",
    ]


def test_an_epoch_reads_one_shard_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows_in_order, "WINDOW", 4)
    train, _ = load_shards(written(tmp_path / "wds", images=60, at_once=12), PLAIN)
    orders = []
    for seed in (0, 1, 0):
        order = View(train, torch.arange(60)).order(torch.Generator().manual_seed(seed))
        assert sorted(order.rows.tolist()) == list(range(60)) and order.draws is None
        shards = train.files_of(order.rows).tolist()
        assert [len(set(shards[i : i + 12])) for i in range(0, 60, 12)] == [1] * 5
        assert sorted(set(shards)) == list(range(5))
        for i in range(0, 60, 4):  # a window
            window = order.rows[i : i + 4]
            assert int(window.max() - window.min()) == 3
        orders.append(order.rows)
    assert torch.equal(orders[0], orders[2]) and not torch.equal(orders[0], orders[1])
    assert orders[0].tolist() != sorted(orders[0].tolist(), key=lambda row: (shards[0], row))


def test_some_rows_of_shards_are_read_in_sequence_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows_in_order, "WINDOW", 1)
    train, test = load_shards(written(tmp_path / "wds", images=30, at_once=10), ImageRecipe(8, augment=Augment.FLIP))
    stream = build_stream(StreamRecipe("wds", Scenario.NC), train, test, seed=0)
    third = View(every(train, 3), torch.tensor([9, 5, 2, 0]))
    rows = third.order(torch.Generator().manual_seed(3)).rows
    shards = train.files_of(3 * rows).tolist()
    assert sorted(rows.tolist()) == [0, 2, 5, 9] and len(set(shards)) == 3
    assert abs(rows.tolist().index(0) - rows.tolist().index(2)) == 1, "they lie in one shard"
    order = View(stream.train, stream[0].data.rows).order(torch.Generator().manual_seed(0))
    assert order.draws is not None and len(order.draws) == 10
    assert View(train, third.rows[:0]).order(torch.Generator()).rows.tolist() == []
