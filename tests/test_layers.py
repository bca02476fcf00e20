"""The structure that design rests on: imports point down, the light parts stay light, the test split stays sealed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import evenhand

ROOT = Path(evenhand.__file__).parent

# Imports go to a lower layer, or within one. A module that is not listed here belongs to no layer: put it in one.
LAYERS = [
    {"errors", "files", "options", "records", "batch", "by_name"},
    {"groups", "sampling", "losses", "model", "metrics", "settings", "inputs", "collapse", "plots", "projection"},
    {"data", "encoders"},
    {"methods"},
    {
        "checkpoint",
        "evaluation",
        "optimizers",
        "randomness",
        "seen",
        "train",
        "runs",
        "plan",
        "execute",
        "regrouped",
        "features",
        "pretraining",
        "zeroshot",
        "tracking",
        "loggers",
    },
    {"study", "auditing", "discovery", "diagnosis", "explanations", "report"},
    {"cli", "sklearn"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
MODULES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    """The top-level module or package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Absolute names of what a file imports; with `at_import` only what runs when the module is imported."""
    tree, found = ast.parse(path.read_text()), set()
    package = ["evenhand", *path.relative_to(ROOT).with_suffix("").parts[:-1]]
    for node in _top_level(tree) if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return found


def _top_level(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run on import, without the bodies of functions and of `if TYPE_CHECKING`."""
    return [node for node in tree.body if not isinstance(node, ast.If)]


def file_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split(".")[1:])
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    if path == ROOT / "__init__.py":
        return
    mine = room(path)
    assert mine in LAYER, f"{mine} is in no layer"
    for name in imports(path):
        if name.startswith("evenhand.") and (file := file_of(name)) is not None and file != ROOT / "__init__.py":
            theirs = room(file)
            assert LAYER[theirs] <= LAYER[mine], f"{path.name} (layer {LAYER[mine]}) imports {theirs} ({LAYER[theirs]})"


@pytest.mark.parametrize("path", sorted((ROOT / "methods").glob("*.py")), ids=lambda path: path.name)
def test_methods_are_given_splits_and_models_and_fetch_nothing(path: Path) -> None:
    rooms = {room(file) for name in imports(path) if name.startswith("evenhand") and (file := file_of(name))}
    assert not rooms & {"data", "encoders", "train", "runs", "execute"}


def test_there_is_no_import_cycle() -> None:
    graph = {
        path: {file for name in imports(path, at_import=True) if (file := file_of(name)) and file != path}
        for path in MODULES
        if path != ROOT / "__init__.py"
    }
    done: set[Path] = set()

    def visit(path: Path, trail: list[Path]) -> None:
        assert path not in trail, " → ".join(str(p.relative_to(ROOT)) for p in [*trail[trail.index(path) :], path])
        if path not in done:
            # A package's __init__ gathers its own modules, which may not import it back for more than its folder.
            for other in graph.get(path, ()):
                if not (other.name == "__init__.py" and other.parent in path.parents):
                    visit(other, [*trail, path])
            done.add(path)

    for path in graph:
        visit(path, [])


EVERY_SECTION = """
from importlib import import_module
from evenhand.report.summarize import ORDER
for name in ORDER: import_module(f"evenhand.report.sections.{name}")
"""


def loaded(statement: str) -> set[str]:
    """Top-level modules in memory after a statement, in a fresh interpreter."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import evenhand", {"torch", "numpy", "polars", "scipy", "sklearn"}),
        ("import evenhand.cli", {"torch", "numpy", "polars", "scipy", "sklearn"}),
        ("import evenhand.metrics", {"torch", "polars", "scipy", "sklearn"}),
        ("import evenhand.runs", {"torch", "numpy", "polars", "scipy", "sklearn"}),
        ("import evenhand.auditing", {"torch", "scipy", "sklearn"}),
        ("import evenhand.report.summarize, evenhand.report.render", {"torch", "polars", "scipy", "sklearn"}),
        (EVERY_SECTION, {"torch", "polars", "scipy", "sklearn"}),
        ("import evenhand.plots", {"torch", "polars", "scipy", "sklearn"}),
        ("import evenhand; evenhand.methods.names(); evenhand.data.names()", {"torch", "polars"}),
    ],
)
def test_what_is_light_stays_light(statement: str, absent: set[str]) -> None:
    assert not loaded(statement) & absent


def test_only_the_execution_of_a_run_opens_the_test_split() -> None:
    """`fit` and the methods have no way to the test rows; `data` commands count its groups.

    `features` writes what an encoder makes of them to a file, whose test part is sealed again when it is read as data.
    """
    opening = {room(path) for path in MODULES if ".unseal()" in path.read_text()}
    assert opening <= {"execute", "features", "cli"}
    assert not any(".unseal()" in path.read_text() for path in (ROOT / "cli").glob("*.py") if path.name != "data.py")


def test_every_module_says_what_it_is() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_public_things_are_documented() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not missing
