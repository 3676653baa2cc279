"""How the site is made: where pages lie, where links lead, what is documented, and what ends a build."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from pages import ROOT

import negreplay as nr


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / "docs" / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = loaded()
CONFIG = (ROOT / "zensical.toml").read_text()
ENTRIES = [page for part in tomllib.loads(CONFIG)["project"]["nav"] for (pages,) in [part.values()] for page in pages]


def test_every_page_has_one_entry_and_every_entry_a_page():
    """An entry of a page that is not written yet is a comment in zensical.toml."""
    listed = [address for entry in ENTRIES for address in entry.values()]
    made = {"api.md"} | {
        BUILD.place(path) for folder in ("docs", "benchmarks", "examples", ".") for path in (ROOT / folder).iterdir()
    }
    assert len(listed) == len(set(listed)) and set(listed) <= made
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(listed)


def test_every_public_name_is_documented_once():
    objects = re.findall(r"^::: negreplay\.([\w.]+)\.(\w+)$", BUILD.api(), re.MULTILINE)
    assert sorted(objects) == sorted((room, name) for room, names in nr.PUBLIC.items() for name in names)


def test_public_names_lead_to_their_docstrings():
    page = BUILD.with_api(BUILD.LIBRARY.read_text())
    links = re.findall(r"\[`(\w+)`\]\(api\.md#negreplay\.[\w.]+\.(\w+)\)", page)
    assert sorted(links) == sorted((name, name) for names in nr.PUBLIC.values() for name in names)


def test_links_lead_to_where_files_lie_on_the_site():
    text = (
        "[a](which.md#x) [b](../benchmarks/README.md) [`c`](../examples/own_loop.py) ![d](idea.png) [e](#here)\n"
        "[f](../README.md) [g](https://example.org) `[h](nowhere.md)`\n"
    )
    assert BUILD.relinked(text, ROOT / "docs" / "systems.md") == (
        "[a](which.md#x) [b](benchmarks/index.md) [`c`](examples/own_loop.md) ![d](idea.png) [e](#here)\n"
        "[f](index.md) [g](https://example.org) `[h](nowhere.md)`\n"
    )
    assert BUILD.relinked("- a\n  - b `c`\n    d\n", ROOT / "docs" / "systems.md") == "- a\n    - b `c`\n        d\n"
    assert BUILD.relinked("[a](../docs/which.md)", ROOT / "benchmarks" / "README.md") == "[a](../which.md)"
    assert BUILD.relinked("[a](docs/which.md)", ROOT / "CHANGELOG.md") == "[a](which.md)"


@pytest.mark.parametrize("link", ["nowhere.md", "../pyproject.toml", "../negreplay/errors.py", "../tests"])
def test_a_link_to_what_is_not_on_the_site_ends_the_build(link: str):
    with pytest.raises(SystemExit, match=rf"^docs/which\.md links to {link}, which is not on the site\.$"):
        BUILD.relinked(f"[a]({link})", ROOT / "docs" / "which.md")


SOUND = '<a href="b.html#x"></a><a href="#y"></a><p id="y">a - b</p><img src="c.png"><a href="https://example.org"></a>'


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (SOUND, None),
        ('<a href="none.html">', "leads to none.html, which is not there"),
        ('<a href="b.html#none">', "leads to b.html#none, which is not there"),
        ('<a href="#none">', "leads to #none, which is not there"),
        ('<img src="none.png">', "leads to none.png, which is not there"),
        ('<script src="https://example.org/a.js"></script>', "asks another host for https://example.org/a.js"),
        ('<link href="//example.org/a.css">', "asks another host for //example.org/a.css"),
        ('<img srcset="c.png 1x, https://example.org/c.png 2x">', "asks another host for https://example.org/c.png"),
        ("<p>A list:\n- one</p>", "shows its Markdown: - one"),
        ("<p>| a | b |</p>", "shows its Markdown: | a | b |"),
        ("<pre>- one\n[a](b)</pre>", None),
    ],
)
def test_faults_of_a_built_site_are_found(tmp_path: Path, body: str, fault: str | None):
    (tmp_path / "b.html").write_text('<p id="x">')
    (tmp_path / "c.png").touch()
    (tmp_path / "a.html").write_text(body)
    assert BUILD.faults(tmp_path) == ([f"a.html {fault}"] if fault else [])


@pytest.mark.parametrize(
    "word", ["griffe: a.py:3: Parameter 'x' does not appear", "Warning: page does not exist", "1 issues found"]
)
def test_a_word_of_warning_is_unusual(word: str):
    assert BUILD.USUAL.fullmatch("Build finished in 2.21s") and BUILD.USUAL.fullmatch("No issues found")
    assert not BUILD.USUAL.fullmatch(word)
