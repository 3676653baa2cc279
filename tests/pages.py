"""What the pages say to type: README, CONTRIBUTING and everything in docs/."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from tiny import environment

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
PLACEHOLDERS = {"STUDY": "digits", "...": "digits", "NAME": "small"}
"""What stands in a command for what the reader puts there."""


class Program(NamedTuple):
    """The Python of a page, block after block, and what the page says that each block prints (None: it does not)."""

    blocks: list[str]
    printed: list[str | None]


class Page:
    """A page, its blocks of code, and the texts between single backticks."""

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.text = path, path.relative_to(ROOT).as_posix(), path.read_text()
        found = FENCE.findall(self.text)
        self.blocks = [
            (language, re.sub(f"^{margin}", "", code, flags=re.MULTILINE)) for margin, language, code in found
        ]
        mentions = (re.findall(r"`([^`]+)`", part) for part in FENCE.sub("", self.text).split("\n\n"))
        self.mentions = [" ".join(mention.split()) for part in mentions for mention in part]

    def code(self, language: str) -> list[str]:
        """The blocks in a language; those of the shell have none."""
        return [code for name, code in self.blocks if name == language]

    @property
    def program(self) -> Program:
        """Its Python; a block of text that follows a block of Python is what that prints."""
        after = [*self.blocks[1:], ("", "")][: len(self.blocks)]
        pairs = zip(self.blocks, after, strict=True)
        told = [(code, text if then == "text" else None) for (name, code), (then, text) in pairs if name == "python"]
        return Program([code for code, _ in told], [text for _, text in told])

    def in_turn(self, first: str) -> list[list[str]]:
        """The words of the commands in its shell blocks that begin with this one, in their order."""
        return typed([line for block in self.code("") for line in block.splitlines()], first)

    def typed(self, first: str) -> list[list[str]]:
        """The same with the commands that it mentions."""
        return self.in_turn(first) + typed(self.mentions, first)


def typed(phrases: list[str], first: str) -> list[list[str]]:
    """The words of each command that begins with this one, without comments and placeholders."""
    lines = (shlex.split(phrase, comments=True) for phrase in phrases if first in phrase)
    return [[PLACEHOLDERS.get(word, word) for word in line] for line in lines if line[:1] == [first] and len(line) > 1]


def arguments(line: list[str]) -> list[str]:
    """What the command itself is given: nothing from `>` on, which is the shell's."""
    return line[1 : line.index(">")] if ">" in line else line[1:]


README, CONTRIBUTING = Page(ROOT / "README.md"), Page(ROOT / "CONTRIBUTING.md")
PAGES = [README, CONTRIBUTING, *map(Page, sorted((ROOT / "docs").glob("*.md")))]
EXAMPLES = [path.read_text() for path in sorted((ROOT / "examples").glob("*.py"))]


def as_a_reader() -> dict[str, str]:
    """The environment of a process that shows the warnings which a reader sees, and takes none for an error."""
    return {name: value for name, value in environment().items() if name != "PYTHONWARNINGS"} | {
        "PYTHONPATH": str(ROOT)
    }


def everywhere(first: str) -> list[list[str]]:
    """Each command that some page says to type, once."""
    lines = {tuple(line): None for page in PAGES for line in page.typed(first)}
    return [list(line) for line in lines]
