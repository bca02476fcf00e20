"""The documentation site: it builds, loads nothing from elsewhere, and the Python on its pages runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, check=True, env=environment, timeout=120,
    )  # fmt: skip
    return folder


def test_every_page_is_in_the_menu_and_is_built(site: Path) -> None:
    menu = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES:
        name = str(page.relative_to(ROOT / "docs"))
        assert f" {name}\n" in menu, name
        assert (site / name).with_suffix(".html").is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="(https?:[^"]*)"', page.read_text())
        loaded += re.findall(r'<link[^>]* rel="stylesheet"[^>]* href="(https?:[^"]*)"', page.read_text())
        assert not loaded, page


def test_the_reference_has_every_command_method_and_metric(site: Path) -> None:
    from evenhand import methods, metrics

    pages = {name: (site / "reference" / f"{name}.html").read_text() for name in ("commands", "methods", "metrics")}
    for path in (ROOT / "src" / "evenhand" / "cli").glob("[!_]*.py"):
        assert f"evenhand {path.stem}" in pages["commands"], path.stem
    for name in methods.names():
        assert f'id="{name}"' in pages["methods"], name
    for name in metrics.METRICS:
        assert f"<code>{name}</code>" in pages["metrics"], name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page in their order, in one space, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page")  # dataclasses look for the module that they are in
    monkeypatch.setitem(sys.modules, "page", module)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        exec(compile(block, str(page), "exec", dont_inherit=True), vars(module))
