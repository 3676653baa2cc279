"""Builds the documentation site into site/: `make docs`.

Its pages are plain Markdown, and their links lead from file to file, so that they can be read in the repository too.
They are gathered in build/pages with the measurements, the examples and every public name; Zensical builds them. Any
word of warning is an error, and so are a link that leads nowhere and anything that a page asks of another host.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
SITE = ROOT / "site"
LIBRARY = ROOT / "docs" / "library.md"
USUAL = re.compile(r"Build started|Build finished in .*|No issues found|\s*")
"""What Zensical prints when nothing is wrong. It does not count warnings of docstrings, so every other line counts."""
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
INDENT = re.compile(r"(?<=\n)( +)(?=\S)")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")

UNREAD = ("code", "pre", "script", "style")
"""What holds text that is not to be read as prose."""
MARKDOWN = re.compile(r"^ *(?:-|\d+\.) .*|^\|.*|^ *```.*|.*\]\(.*", re.MULTILINE)
"""Lists, tables, fences and links that were not understood, as readers of Markdown differ in what they want."""


def place(source: Path) -> str | None:
    """Where a file of the repository lies on the site; None if it does not."""
    name = source.relative_to(ROOT).as_posix()
    special = {"README.md": "index.md", "benchmarks/README.md": "benchmarks/index.md", "CHANGELOG.md": "changes.md"}
    if name in special:
        return special[name]
    folder, _, file = name.rpartition("/")
    match folder, source.suffix:
        case "docs", ".md" | ".png":
            return file
        case "benchmarks", ".md" | ".png":
            return name
        case "examples" | "benchmarks", ".py" | ".ipynb":
            return f"{folder}/{source.stem}.md"
        case "", ".md":
            return file.lower()
    return None


def relinked(text: str, source: Path) -> str:
    """A page's text as the site wants it: links lead to where files lie on the site. Code is left as it is."""
    here = place(source)
    assert here is not None

    def link(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ""
        if not path:
            return match[0]
        target = (source.parent / path).resolve()
        there = place(target) if target.is_file() else None
        if there is None:
            raise SystemExit(f"{source.relative_to(ROOT)} links to {path}, which is not on the site.")
        return f"]({os.path.relpath(there, Path(here).parent)}{anchor})"

    pieces, end = [], 0
    for code in CODE.finditer(text):
        # A name in code may be the text of a link: only the link's address, after it, is looked at.
        pieces += [text[end : code.start()], code[0]]
        end = code.end()
    pieces.append(text[end:])
    # What belongs to a point of a list is indented by two in the repository, and Zensical wants four.
    prose = (INDENT.sub(r"\1\1", LINK.sub(link, piece)) for piece in pieces[::2])
    return "".join(text for pair in zip_longest(prose, pieces[1::2], fillvalue="") for text in pair)


def notebook(source: Path) -> str:
    """A notebook as a page: its texts, and its code as code."""
    cells = json.loads(source.read_text())["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in texts) + "\n"


def program(source: Path) -> str:
    """An example as a page: its name, and all of it as code."""
    return f"# {source.name}\n\n```python\n{source.read_text()}```\n"


def rooms() -> dict[str, str]:
    """Where each public name comes from."""
    from negreplay import PUBLIC

    return {name: f"negreplay.{room}.{name}" for room, names in PUBLIC.items() for name in names}


def api() -> str:
    """A page with the docstring of every public name, in the order and under the headings of docs/library.md."""
    known = rooms()
    lines = ["# API", "Every public name, `import negreplay as nr`, from its docstring."]
    for line in LIBRARY.read_text().splitlines():
        if line.startswith("## "):
            lines.append(line)
        elif line.startswith("| `"):
            names = re.findall(r"`(\w+)`", line.split("|")[1])
            lines += [f"::: {known[name]}\n    options:\n      heading: nr.{name}" for name in names]
    return "\n\n".join(lines) + "\n"


def with_api(text: str) -> str:
    """The page of public names, each of which leads to its docstring."""
    known = rooms()

    def link(cell: re.Match[str]) -> str:
        return re.sub(r"`(\w+)`", lambda name: f"[{name[0]}](api.md#{known[name[1]]})", cell[0])

    return re.sub(r"^\| `[^|]+\|", link, text, flags=re.MULTILINE)


def gather() -> None:
    """Puts all pages into build/pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    folders = (ROOT, ROOT / "docs", ROOT / "benchmarks", ROOT / "examples")
    for source in sorted(path for folder in folders for path in folder.iterdir() if path.is_file()):
        there = place(source)
        if there is None or source == ROOT / "README.md":
            continue
        target = PAGES / there
        target.parent.mkdir(parents=True, exist_ok=True)
        match source.suffix:
            case ".md":
                text = relinked(source.read_text(), source)
                target.write_text(with_api(text) if source == LIBRARY else text)
            case ".ipynb":
                target.write_text(relinked(notebook(source), source))
            case ".py":
                target.write_text(program(source))
            case _:
                shutil.copy(source, target)
    (PAGES / "api.md").write_text(api())
    measurements = sorted(path for path in (ROOT / "benchmarks").glob("*.md") if path.name != "README.md")
    titles = {path.name: path.read_text().splitlines()[0].removeprefix("# ") for path in measurements}
    listed = "\n".join(f"- [{title}]({name})" for name, title in titles.items())
    with (PAGES / "benchmarks" / "index.md").open("a") as index:
        index.write(f"\n## Pages\n\n{listed}\n")


class Page(HTMLParser):
    """What a built page asks for, where it leads, and where in it one can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.anchors: set[str] = set()
        self.left_over: list[str] = []
        self.code = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.code += tag in UNREAD
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link":
            self.assets.append(values.get("href", ""))
        self.assets += [values[name] for name in ("src", "data", "poster") if name in values]
        self.assets += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in UNREAD

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.left_over += MARKDOWN.findall(data)


def faults(site: Path) -> list[str]:
    """What is wrong with a built site: links and pictures that lead nowhere, and what is asked of another host."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        found += [f"{path.relative_to(site)} shows its Markdown: {line}" for line in page.left_over]
        for address in (*page.links, *page.assets):
            parts = urlsplit(address)
            if parts.scheme in ("data", "mailto"):
                continue
            if parts.scheme or parts.netloc:
                if address in page.assets:
                    found.append(f"{path.relative_to(site)} asks another host for {address}")
                continue
            root = site if parts.path.startswith("/") else path.parent
            target = (root / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else None
            if not target.exists() or (known is not None and parts.fragment and unquote(parts.fragment) not in known):
                found.append(f"{path.relative_to(site)} leads to {address}, which is not there")
    return found


def main() -> None:
    """Gathers, builds and checks; ends with what is wrong, if anything is."""
    gather()
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    words = [line for line in done.stdout.splitlines() if not USUAL.fullmatch(line)]
    wrong = words or faults(SITE)
    if done.returncode or wrong:
        raise SystemExit("\n".join(wrong) or f"Zensical ended with {done.returncode}.")
    print(f"{len(list(SITE.rglob('*.html')))} pages: {SITE.relative_to(ROOT)}/index.html")


if __name__ == "__main__":
    main()
