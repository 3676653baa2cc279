"""Model files: whole or not at all, refused where they are damaged, with the version before beside them."""

import json
import resource
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from albums import album, new, teach
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from negreplay import files
from negreplay.errors import UserError
from negreplay.photographs.files import before, change, read_model, undo, write_model
from negreplay.photographs.model import Model
from negreplay.recipe import (
    FeCAMRecipe,
    KLDARecipe,
    LearnerRecipe,
    NearestMeanRecipe,
    RanPACRecipe,
    RDARecipe,
    RidgeRecipe,
    SLDARecipe,
)
from negreplay.sealed import seal

SPECS = [
    *(RDARecipe(rank=4), SLDARecipe(), NearestMeanRecipe(), FeCAMRecipe()),
    *(KLDARecipe(units=100), RidgeRecipe(), RanPACRecipe(units=100)),
]


def scores(model: Model) -> Tensor:
    x = torch.rand(6, 3, model.size, model.size, generator=torch.Generator().manual_seed(0))
    return model.judge.score(model.judge.features(x, encoded=False))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model of two classes that was changed once."""
    model, path = new(), tmp_path / "shop.safetensors"
    teach(model, album(tmp_path / "one", "red", "blue"))
    write_model(model, path)
    teach(model, album(tmp_path / "two", "green"))
    write_model(model, path)
    return path


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_what_is_written_is_read(tmp_path: Path, spec: LearnerRecipe):
    model = new(spec)
    teach(model, album(tmp_path / "one", "red", "blue", numbers=range(30)))
    write_model(model, tmp_path / "m.safetensors")
    again = read_model(tmp_path / "m.safetensors")
    assert torch.equal(scores(model), scores(again))
    for name in ("names", "pictures", "lessons", "size", "origin", "recipe", "holds_back"):
        assert getattr(model, name) == getattr(again, name), name
    assert torch.equal(model.features, again.features) and torch.equal(model.labels, again.labels)
    for one in (model, again):
        teach(one, album(tmp_path / "two", "green", "red", numbers=range(30, 40)))
    assert torch.equal(scores(model), scores(again))


def test_a_file_holds_numbers_and_no_picture(file: Path):
    with safe_open(file, "pt") as content:
        metadata = content.metadata()
    assert set(metadata) == {"negreplay", "text", "digest"}
    assert json.loads(metadata["negreplay"])["names"] == ["blue", "red", "green"]
    sizes = {name: tensor.nbytes for name, tensor in load_file(file).items()}
    assert sum(read_model(file).kept().values()) == sum(sizes.values())
    picture = 32 * 32 * 3
    assert sizes["held.features"] % (256 * 2) == 0 and sizes["pictures.fingerprints"] == 36 * 8 < picture


def test_the_version_before_lies_beside_and_undo_swaps_them(file: Path):
    now, earlier = file.read_bytes(), before(file).read_bytes()
    assert read_model(before(file)).names == ["blue", "red"]
    undo(file)
    assert (file.read_bytes(), before(file).read_bytes()) == (earlier, now)
    undo(file)
    assert (file.read_bytes(), before(file).read_bytes()) == (now, earlier)
    before(file).unlink()
    with pytest.raises(UserError, match=r"^there is no version before "):
        undo(file)


def test_a_full_disk_takes_no_version_away(file: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, content: bytes) -> None:
        raise UserError(f"{path} cannot be written (No space left on device): free some space.")

    contents = file.read_bytes(), before(file).read_bytes()
    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(UserError, match=r"No space left"):
        write_model(read_model(file), file)
    assert (file.read_bytes(), before(file).read_bytes()) == contents


def test_a_model_cut_short_is_refused_and_undo_helps(file: Path):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"is no model, or only a part of one .*: `negreplay undo --model .*` takes"):
        read_model(file)
    undo(file)
    assert read_model(file).names == ["blue", "red"]


def rewritten(path: Path, description: str, tensors: dict[str, Tensor]) -> None:
    """Writes a model that is whole by its digest."""
    path.write_bytes(seal(description, tensors))


def edited(path: Path, **changes: object) -> None:
    """Changes a model's description."""
    rewritten(path, json.dumps(json.loads(described(path)) | changes), load_file(path))


def described(path: Path) -> str:
    with safe_open(path, "pt") as content:
        return content.metadata()["negreplay"]


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7, 0.99])
def test_a_flipped_bit_is_noticed(file: Path, place: float):
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged \(its bits are not those that were written\): `negreplay undo"):
        read_model(file)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, r"was made by negreplay 0\.1\.0, a newer one: upgrade negreplay to read it\.$"),
        ({"names": ["blue"]}, r"is damaged \("),
        ({"names": "blue"}, r"is damaged \("),
        ({"size": "large"}, r"is damaged \("),
        ({"recipe": {}}, r"is damaged \("),
        ({"format": "one"}, r"is damaged \("),
    ],
)
def test_odd_descriptions_are_refused(file: Path, changes: dict[str, object], sentence: str):
    edited(file, **changes)
    with pytest.raises(UserError, match=sentence):
        read_model(file)


@pytest.mark.parametrize(
    "name", ["learner.means.counts", "network.conv1.conv.weight", "held.labels", "pictures.classes", "learner.seen"]
)
def test_missing_tensors_are_refused(file: Path, name: str):
    tensors = load_file(file)
    del tensors[name]
    rewritten(file, described(file), tensors)
    with pytest.raises(UserError, match=r"is damaged \("):
        read_model(file)


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed: it is the extra `vision`")
def test_a_small_file_makes_no_huge_network(file: Path):
    """One of a billion weights is described in no memory, and never built."""
    huge = "timm/vit_giant_patch14_224"
    rewritten(file, described(file).replace('"backbone": "small"', f'"backbone": "{huge}"'), load_file(file))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=rf"is damaged \(its weights are not those of {huge}\)"):
        read_model(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 500_000, "kilobytes"


def test_numbers_that_are_not_finite_are_refused(file: Path):
    tensors = load_file(file)
    tensors["network.conv1.conv.weight"][0, 0, 0, 0] = torch.nan
    rewritten(file, described(file), tensors)
    with pytest.raises(UserError, match=r"network\.conv1\.conv\.weight holds values that are not finite"):
        read_model(file)


def test_other_files_are_no_models(tmp_path: Path):
    with pytest.raises(UserError, match=r"^there is no model .*: `negreplay learn FOLDER --model .*` makes one\.$"):
        read_model(tmp_path / "m.safetensors")
    save_file({"x": torch.ones(2)}, tmp_path / "m.safetensors")
    with pytest.raises(UserError, match=r"is no model of negreplay: give one that `negreplay learn` has made\.$"):
        read_model(tmp_path / "m.safetensors")


def test_a_damaged_version_before_is_not_brought_back(file: Path):
    before(file).write_bytes(b"nothing")
    content = file.read_bytes()
    with pytest.raises(UserError, match=r"before\.safetensors is no model"):
        undo(file)
    assert file.read_bytes() == content


def test_the_next_writer_removes_what_a_killed_one_has_left(file: Path):
    left = file.with_name(f"..{file.name}.new.negreplay-123")
    left.write_bytes(b"half")
    change(file, lambda model: "nothing has changed")
    assert not left.exists()
