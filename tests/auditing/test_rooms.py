"""The folders of the audit stay small, and import each other in one direction."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import evenhand.auditing

ROOT = Path(evenhand.auditing.__file__).parent
NAME = "evenhand.auditing"
ROOMS = sorted(path.parent for path in ROOT.rglob("__init__.py"))
MOST_MODULES = 9


def imported_rooms(path: Path) -> set[str]:
    """The folders (of the audit) that a module imports something from; its own and the top level are left out."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    parts = {(node.module or "").removeprefix(NAME).strip(".").partition(".")[0] for node in nodes if _ours(node)}
    return {part for part in parts if (ROOT / part).is_dir()} - {"", path.parent.name}


def _ours(node: ast.ImportFrom) -> bool:
    return (node.module or "").startswith(NAME) and not node.level


def test_no_folder_is_crowded() -> None:
    for room in ROOMS:
        assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES, room.name


def test_folders_import_each_other_in_one_direction_and_never_the_top_level() -> None:
    graph: dict[str, set[str]] = {}
    for room in set(ROOMS) - {ROOT}:
        for path in room.glob("*.py"):
            graph.setdefault(room.name, set()).update(imported_rooms(path))
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and _ours(node):
                    first = (node.module or "").removeprefix(NAME).strip(".").partition(".")[0]
                    found = [first] if first else [alias.name for alias in node.names]
                    assert all((ROOT / name).is_dir() for name in found), f"{path.name} imports {found}"
    assert set(TopologicalSorter(graph).static_order()) == {"reading", "figures", "counting", "searching", "output"}
