"""Imports go down only, and the light modules stay light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import negreplay

PACKAGE = Path(negreplay.__file__).parent
BOTTOM = frozenset({"errors", "files", "ranks", "recipe", "sealed", "slow_paths"})
RESULTS = BOTTOM | {"results"}
DATA = BOTTOM | {"patterns", "data"}
NETS = BOTTOM | {"patterns", "nets"}
REPLAY = DATA | NETS | {"streams", "devices", "journal", "optimize", "statistics", "replay"}
LEARNERS = REPLAY | {"learners"}
RUN = (
    LEARNERS
    | RESULTS
    | {
        "builders",
        "positions",
        "checkpoint",
        "interrupts",
        "evaluation",
        "prepare",
        "cell",
        "launch",
        "engines",
        "identity",
        "run",
        "starting",
        "learn",
    }
)

MAY_IMPORT = {
    "errors": frozenset[str](),
    "slow_paths": frozenset[str](),
    "files": frozenset({"errors"}),
    "sealed": frozenset[str](),
    "recipe": frozenset({"recipe"}),
    "studies": frozenset({"errors", "recipe", "studies"}),
    "ranks": frozenset({"errors"}),
    "patterns": BOTTOM,
    "results": RESULTS,
    "data": DATA,
    "streams": DATA | {"streams"},
    "devices": BOTTOM | {"patterns"},
    "journal": frozenset({"patterns"}),
    "interrupts": frozenset[str](),
    "optimize": BOTTOM | {"patterns", "devices", "journal"},
    "nets": NETS,
    "statistics": frozenset({"nets", "statistics"}),
    "replay": REPLAY,
    "learners": LEARNERS,
    "positions": RESULTS,
    "checkpoint": RESULTS | {"journal", "positions"},
    "builders": LEARNERS | {"builders"},
    "evaluation": LEARNERS | {"results"},
    "prepare": LEARNERS | RESULTS | {"builders"},
    "search": LEARNERS | RESULTS | {"builders", "evaluation", "prepare"},
    "photographs": LEARNERS | {"builders", "photographs"},
    "bridges": LEARNERS | RESULTS | {"builders", "prepare", "photographs", "bridges"},
    "cell": RUN - {"builders", "cell", "engines", "launch", "identity", "run", "starting", "learn"},
    "engines": RUN - {"launch", "identity", "run", "starting", "learn"},
    "launch": frozenset({"cell", "devices", "errors", "prepare", "ranks"}),
    "identity": BOTTOM | {"builders", "data", "prepare"},
    "run": RUN - {"run", "starting", "learn"},
    "starting": RUN - {"starting", "learn"},
    "learn": RUN - {"starting", "learn"},
    "display": RUN | {"bridges"},
    "page": BOTTOM | {"data", "photographs", "page"},
    "cli": RUN | {"studies", "display", "search", "photographs", "bridges", "page", "cli"},
    "__main__": frozenset({"cli"}),
}
"""For each room (a module or a folder of modules) the rooms from which it may import."""

VERSION = "negreplay.__version__"
"""Stands below all rooms."""

FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]


def room(name: str) -> str:
    """`negreplay.nets.heads` is in `nets`."""
    return name.split(".")[1] if "." in name else ""


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that a piece of code imports, also within functions, but for types' sake only."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            for other in node.orelse:
                yield from imported(other)
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            assert node.level == 0 and node.module, "modules are imported by their whole names"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from imported(child)


def imports_of(path: Path) -> set[str]:
    return set(imported(ast.parse(path.read_text())))


def test_the_table_knows_every_room():
    paths = [path for path in PACKAGE.iterdir() if path.name[0] not in "._" and path.name != "py.typed"]
    rooms = {path.name if path.is_dir() else path.stem for path in paths}
    assert rooms | {"__main__"} == MAY_IMPORT.keys()


def test_the_face_imports_nothing_of_the_library_before_it_is_asked_for():
    assert not [name for name in imports_of(PACKAGE / "__init__.py") if name.startswith("negreplay")]


def test_the_table_has_no_circle():
    order = list(MAY_IMPORT)
    for name, below in MAY_IMPORT.items():
        above = [other for other in below if order.index(other) > order.index(name)]
        assert not above, f"{name} may import {above}, which may import it"


@pytest.mark.parametrize("path", [path for path in FILES if path != PACKAGE / "__init__.py"], ids=str)
def test_imports_go_down_only(path: Path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    here = parts[0]
    for name in sorted(imports_of(path)):
        if name.split(".")[0] == "negreplay" and name != VERSION:
            assert room(name) in MAY_IMPORT[here], f"{path.name} in {here} imports {name}"


@pytest.mark.parametrize("path", [f for f, name in zip(FILES, NAMES, strict=True) if name.startswith("recipe")])
def test_recipes_need_nothing_but_the_standard_library(path: Path):
    for name in imports_of(path):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or room(name) in ("recipe", "studies"), name


def test_what_is_for_types_only_does_not_count():
    code = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c import d"
    assert set(imported(ast.parse(code))) == {"b", "c.d"}


@pytest.mark.parametrize("module", ["negreplay", "negreplay.cli.main", "negreplay.studies", "negreplay.__main__"])
def test_heavy_libraries_wait_until_they_are_needed(module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    heavy = {
        "torch",
        "numpy",
        "pydantic",
        "matplotlib",
        "PIL",
        "sklearn",
        "safetensors",
        "jinja2",
        "fastapi",
        "uvicorn",
        "tensorboard",
        "wandb",
        "huggingface_hub",
        "ray",
        "submitit",
        "optuna",
    }
    assert not heavy & set(loaded)
