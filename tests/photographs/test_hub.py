"""Models that are pushed to a Hub and pulled from it; what comes from there is not trusted."""

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
import yaml
from albums import COLOURS, album, new, picture, teach
from hub_site import TOKEN, Hub, commit_name, serve_hub
from pages import ROOT, Page
from safetensors import safe_open
from safetensors.torch import load_file, save
from tiny import Negreplay

from negreplay.bridges.card import card, escaped, is_untouched
from negreplay.bridges.hub import FILE, from_pretrained, pull, push
from negreplay.errors import UserError
from negreplay.photographs.changes import forget, rename
from negreplay.photographs.files import before, change, read_model, write_model
from negreplay.photographs.predictions import files_to_predict, predict
from negreplay.sealed import seal

MODEL, REPO = Path("shop.safetensors"), "ann/shop"
# The package sends large files without Xet in a way that its own library for HTTP advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ODD = "<script>alert(1)</script>|\n---\n[a](b) `c` \x1b[31m"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub where somebody is logged in, and a cache of its own."""
    from huggingface_hub import constants

    home = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serve_hub() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        yield site


@pytest.fixture
def shop(negreplay: Negreplay) -> Negreplay:
    """A model of two classes in shop.safetensors."""
    model = new()
    teach(model, album(Path("monday"), "red", "blue", numbers=range(40)))
    write_model(model, MODEL)
    return negreplay


def test_the_program_of_the_page_names_a_picture(shop: Negreplay, hub: Hub):
    (program,) = Page(ROOT / "docs" / "sharing.md").code("python")
    assert shop("push", REPO, "--model", MODEL).code == 0
    picture(COLOURS["red"], 900).save("new.jpg")
    with redirect_stdout(StringIO()) as printed:
        exec(program, {})
    assert printed.getvalue().startswith("red (('red', ")


def lesson(path: Path, name: str) -> None:
    """Teaches the model in a file another class."""
    model = read_model(path)
    teach(model, album(Path("more"), name, numbers=range(20)))
    write_model(model, path)


def test_a_model_is_pushed_and_pulled_and_goes_on(shop: Negreplay, hub: Hub):
    done = shop("push", REPO, "--model", MODEL)
    assert done.code == 0 and f"pushed {MODEL}: {hub.address}/{REPO}/commit/{commit_name(1)}" in done.out
    assert hub.newest(REPO).keys() == {FILE, "README.md"} and hub.newest(REPO)[FILE] == MODEL.read_bytes()
    done = shop("pull", REPO, "--model", "mine.safetensors")
    assert done.code == 0 and done.out == "mine.safetensors: 2 classes of 80 pictures\n"
    assert Path("mine.safetensors").read_bytes() == MODEL.read_bytes()
    lesson(MODEL, "green")
    assert shop("push", REPO, "--model", MODEL).code == 0
    older = Path("mine.safetensors").read_bytes()
    assert shop("pull", REPO, "--model", "mine.safetensors").code == 0
    assert Path("mine.safetensors").read_bytes() == MODEL.read_bytes()
    assert before(Path("mine.safetensors")).read_bytes() == older
    assert shop("pull", REPO, "--model", "old.safetensors", "--revision", commit_name(1)).code == 0
    assert Path("old.safetensors").read_bytes() == older


def test_what_was_pushed_predicts(shop: Negreplay, hub: Hub):
    push(REPO, MODEL)
    model = from_pretrained(REPO)
    picture(COLOURS["red"], 500).save("new.png")
    (said,) = (of for pictures in files_to_predict([Path("new.png")]) for of in predict(model, pictures, 0.0))
    assert said.best[0][0] == "red"
    hub.repos.clear()
    with pytest.raises(UserError, match=r"^ann/none is not on the Hub, or it is private"):
        from_pretrained("ann/none")


def test_other_contents_are_never_replaced(shop: Negreplay, hub: Hub):
    push(REPO, MODEL)
    lesson(MODEL, "green")
    push(REPO, MODEL)
    refusal = "holds something else than an older version of ann/shop: give another --model."
    for name, edit in (("forgot", lambda m: forget(m, "red")), ("renamed", lambda m: rename(m, "red", "rose"))):
        path = Path(f"{name}.safetensors")
        pull(REPO, path, commit_name(1))
        change(path, edit)
        content = path.read_bytes()
        assert shop("pull", REPO, "--model", path).sentence() == f"{path} {refusal}"
        assert path.read_bytes() == content
    lesson(MODEL, "white")
    content = MODEL.read_bytes()
    assert shop("pull", REPO, "--model", MODEL).sentence() == f"{MODEL} {refusal}", "it is newer than the Hub's"
    assert MODEL.read_bytes() == content


def test_a_page_that_somebody_has_edited_stays(shop: Negreplay, hub: Hub):
    push(REPO, MODEL)
    first = hub.newest(REPO)["README.md"]
    lesson(MODEL, "green")
    push(REPO, MODEL)
    assert b"| green | 20 |" in hub.newest(REPO)["README.md"] and b"green" not in first
    edited = hub.newest(REPO)["README.md"].replace(b"---\nlibrary", b"---\nlicense: mit\nlibrary")
    hub.repos[REPO].append(hub.newest(REPO) | {"README.md": edited})
    lesson(MODEL, "white")
    done = shop("push", REPO, "--model", MODEL)
    assert "somebody has edited the README.md of ann/shop: it stays as it is\n" in done.out
    assert hub.newest(REPO) == {FILE: MODEL.read_bytes(), "README.md": edited}


def test_private_stays_private(shop: Negreplay, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    assert shop("push", "ann/secret", "--model", MODEL, "--private").code == 0
    assert hub.private == {"ann/secret"}
    monkeypatch.delenv("HF_TOKEN")
    assert "is not on the Hub, or it is private" in shop("pull", "ann/secret", "--model", "x.safetensors").sentence()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push(REPO, MODEL)
    lesson(MODEL, "green")
    sentence = shop("push", REPO, "--model", MODEL, "--private").sentence()
    assert sentence == "ann/shop is public already: make it private on the Hub first, or give another name."
    assert hub.newest(REPO)[FILE] != MODEL.read_bytes()


def test_mistakes_are_one_sentence(shop: Negreplay, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.repos["ann/empty"] = [{"notes.txt": b""}]
    cases = {
        "pull shop": "'shop' is no name of a repository: give USER/NAME.",
        "pull ../shop": "'../shop' is no name of a repository: give USER/NAME.",
        "pull ann/none": "ann/none is not on the Hub, or it is private and your token does not open it: check the name",
        "pull ann/empty": f"ann/empty has no {FILE}: give a repository that `negreplay push` has made.",
        "pull ann/empty --revision v9": "ann/empty has no revision 'v9': leave it out to take the newest.",
    }
    for command, sentence in cases.items():
        assert sentence in shop(*command.split(), "--model", "x.safetensors").sentence()
    assert (
        "give it a name that ends in .safetensors, such as shop.safetensors."
        in shop("pull", "ann/empty", "--model", "x").sentence()
    )
    assert shop("push", REPO, "--model", "y.safetensors").sentence().startswith("there is no model y.safetensors:")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    sentence = "the Hub does not let you write to ann/shop: type `hf auth login` with a token that may write there."
    assert shop("push", REPO, "--model", MODEL).sentence() == sentence
    monkeypatch.delenv("HF_TOKEN")
    sentence = "nobody is logged in to the Hub: type `hf auth login`, or set HF_TOKEN."
    assert shop("push", REPO, "--model", MODEL).sentence() == sentence
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    sentence = "the Hub needs huggingface_hub: pip install 'negreplay[hub]'."
    assert shop("pull", REPO, "--model", "x.safetensors").sentence() == sentence
    assert not Path("x.safetensors").exists() and REPO not in hub.repos


def test_without_a_network_a_copy_predicts_and_nothing_is_pulled(
    shop: Negreplay, hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    push(REPO, MODEL)
    assert from_pretrained(REPO).names == ["blue", "red"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert from_pretrained(REPO).names == ["blue", "red"]
    for command in ("push", "pull"):
        sentence = shop(command, REPO, "--model", MODEL).sentence()
        assert sentence.startswith("the Hub cannot be used for ann/shop (")
        assert sentence.endswith("): check the network, and try again.")


def test_a_download_cut_short_leaves_no_file(shop: Negreplay, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.sleep", lambda _: None)  # the package tries several times
    push(REPO, MODEL)
    hub.cut = 100
    sentence = shop("pull", REPO, "--model", "x.safetensors").sentence()
    assert sentence.startswith("the Hub cannot be used for ann/shop (") and not Path("x.safetensors").exists()
    hub.cut = 0
    assert shop("pull", REPO, "--model", "x.safetensors").code == 0


def hostile(change: dict[str, object]) -> bytes:
    """A model that is whole by its digest, and whose recipe or size is changed."""
    with safe_open(MODEL, "pt") as content:
        raw = json.loads(content.metadata()["negreplay"])
    raw["recipe"]["classifier"] |= change.get("classifier", {})
    raw |= {"size": change.get("size", raw["size"])}
    text = json.dumps(raw)
    return seal(text, load_file(MODEL))


@pytest.mark.parametrize(
    "change",
    [
        {"classifier": {"pretrained": True, "backbone": "timm/resnet18"}},
        {"classifier": {"backbone": "mobilenet_v1", "weights": {"file": "../secret.safetensors"}}},
        {"size": 100_000},
    ],
)
def test_a_model_can_neither_download_nor_read_other_files(shop: Negreplay, hub: Hub, change: dict[str, object]):
    hub.repos[REPO] = [{FILE: hostile(change)}]
    assert shop("pull", REPO, "--model", "x.safetensors").sentence() == (
        f"{FILE} of ann/shop is damaged (its network is not described as that of a model): "
        "ask its owner to push it again, or take an earlier revision."
    )
    assert not Path("x.safetensors").exists()


def test_what_is_no_model_is_refused(shop: Negreplay, hub: Hub):
    hub.repos[REPO] = [{FILE: b"\x80\x04pickle"}]
    assert shop("pull", REPO, "--model", "x.safetensors").sentence().startswith(f"{FILE} of ann/shop is no model, or")
    hub.repos[REPO].append({FILE: save({"x": torch.ones(2)})})
    sentence = shop("pull", REPO, "--model", "x.safetensors").sentence()
    assert sentence.startswith(f"{FILE} of ann/shop is no model of negreplay:")


def test_the_page_tells_what_the_model_is_and_names_are_only_text(tmp_path: Path):
    model = new()
    teach(model, album(tmp_path / "monday", "red", "blue", numbers=range(40)))
    first = model.accuracy()
    teach(model, album(tmp_path / "tuesday", "green", numbers=range(30)))
    model.names[model.number("blue")] = ODD  # as a folder may be called
    page, now = card(model, REPO), model.accuracy()
    _, header, body = page.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "library_name": "negreplay",
        "pipeline_tag": "image-classification",
        "tags": ["continual-learning", "image-classification"],
    }
    rows = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("| ")]
    (red,) = (row for row in rows if row[0] == "red")
    assert red[1] == "40"
    assert red[2] == f"{first['red'][0] / first['red'][1]:.0%} of {first['red'][1]}"
    assert red[3] == f"{now['red'][0] / now['red'][1]:.0%} of {now['red'][1]}"
    assert [row[0] for row in rows if len(row) == 4][2:] == [escaped(ODD), "red", "green"]
    assert not any(mark in escaped(ODD) for mark in ("<", "|", "\n", "`", "[", "\x1b"))
    assert "<script>" not in page and "110 pictures in 2 lessons" in page and "smallest class here has 30" in page
    assert f"negreplay pull {REPO} --model model.safetensors" in body and f'from_pretrained("{REPO}")' in body
    assert is_untouched(page) and not is_untouched(page.replace("110", "111")) and not is_untouched("# My page\n")
