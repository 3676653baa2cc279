"""Where the images of a study are looked for, and test sets that lack classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import write_mnist
from pictures import plain, save

from negreplay.builders.streams import build_data
from negreplay.errors import NotThereError, UserError
from negreplay.files import find
from negreplay.recipe import ImageRecipe, Scenario, StreamRecipe

PETS = StreamRecipe("pets", Scenario.NC, images=ImageRecipe(8))


def images(root: Path, test: int = 1) -> Path:
    for split, count in (("train", 1), ("test", test)):
        for name in "abc":
            for k in range(count):
                save(plain(), root / split / name / f"{k}.png")
    return root


def test_test_every_leaves_each_class_an_image_or_is_refused(tmp_path: Path):
    images(tmp_path / "pets", test=4)
    assert build_data(replace(PETS, test_every=4), tmp_path)[1].labels.tolist() == [0, 1, 2]
    sentence = (
        r"stream\.test_every is 7, which leaves no test images of some classes \(c\): lower it, for example to 5\."
    )
    with pytest.raises(UserError, match=sentence):
        build_data(replace(PETS, test_every=7), tmp_path)
    assert set(build_data(replace(PETS, test_every=5), tmp_path)[1].labels.tolist()) == {0, 1, 2}
    with pytest.raises(
        UserError, match=r"leaves no test images of some classes \(b, c\): lower it, for example to 5\."
    ):
        build_data(replace(PETS, test_every=10**5), tmp_path)


def test_a_class_without_test_images_is_refused_in_every_data_set(tmp_path: Path):
    write_mnist(tmp_path / "mnist", [*range(10)], [0, 1, 2, 3, 4, 5, 6, 8])
    with pytest.raises(UserError, match=r"the test set has no images of some classes \(7, 9\): add some of each"):
        build_data(StreamRecipe("mnist", Scenario.NC), tmp_path)


def test_a_folder_with_a_dot_is_a_folder_like_others(tmp_path: Path):
    images(tmp_path / "data-1.0" / "birds")
    with pytest.raises(
        NotThereError, match=r"the images 'pets' are not in .*data-1\.0.*\(it holds the folder birds\)\.$"
    ):
        build_data(PETS, tmp_path / "data-1.0")
    assert build_data(replace(PETS, data="birds"), tmp_path / "data-1.0")[0].names == ("a", "b", "c")
    (tmp_path / "weights-1.0").mkdir()
    (tmp_path / "weights-1.0" / "w").write_bytes(b"")
    assert find("w", tmp_path / "weights-1.0", "weights") == tmp_path / "weights-1.0" / "w"
    assert find("w", tmp_path / "weights-1.0" / "w", "weights") == tmp_path / "weights-1.0" / "w"


LAYOUT = r"arrange the images as train/<class>/<image> and test/<class>/<image> in .*\.$"


def test_a_flat_folder_is_described(tmp_path: Path):
    save(plain(), tmp_path / "0.png")
    save(plain(), tmp_path / "1.jpg")
    with pytest.raises(NotThereError, match=rf"\(it holds 2 images that lie in no folder\), or {LAYOUT}"):
        build_data(PETS, tmp_path)


def test_a_folder_of_classes_is_described(tmp_path: Path):
    for name in ("cat", "dog"):
        save(plain(), tmp_path / "pets" / name / "0.png")
    with pytest.raises(NotThereError, match=rf"\(it holds the folders cat, dog\), or {LAYOUT}"):
        build_data(PETS, tmp_path / "pets")
    with pytest.raises(UserError, match=r"has no train folder .*; it holds the folders cat, dog: arrange the images"):
        build_data(PETS, tmp_path)


def test_cifar50_is_told_how_it_is_made(tmp_path: Path):
    cifar50 = replace(PETS, data="cifar50")
    command = rf"make them there with `negreplay data cifar50 --root {tmp_path}/data/cifar50 --from ARCHIVE`\.$"
    with pytest.raises(NotThereError, match=rf"which is no folder: put cifar50 or .* there, or {command}"):
        build_data(cifar50, tmp_path / "data")
    (tmp_path / "data" / "core50").mkdir(parents=True)
    with pytest.raises(NotThereError, match=rf"\(it holds the folder core50\), or {command}"):
        build_data(cifar50, tmp_path / "data")


def test_one_class_and_a_huge_step(tmp_path: Path):
    save(plain(), tmp_path / "pets" / "train" / "a" / "0.png")
    for k in range(3):
        save(plain(), tmp_path / "pets" / "test" / "a" / f"{k}.png")
    _, test = build_data(replace(PETS, test_every=10**5), tmp_path)
    assert test.labels.tolist() == [0] and np.asarray(test.read(torch.arange(1))).shape == (1, 3, 8, 8)
