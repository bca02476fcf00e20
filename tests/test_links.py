"""Every relative link and picture in the README and in docs leads to something that is there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
LARGEST = 150_000  # bytes of a picture


def links(page: Path) -> list[str]:
    """The targets of links and pictures, outside code and without those to other sites."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    return [unquote(target) for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    found = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and "{{" not in file.read_text():  # the rest of the reference is made when the site is built
            assert anchor in headings(file), f"{page.name}: {target}"


def test_every_picture_is_shown_somewhere_and_small() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for target in links(page) if "#" not in target}
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    assert pictures
    for picture in pictures:
        assert picture in shown, picture.name
        assert picture.stat().st_size <= LARGEST, picture.name


def test_links_are_found() -> None:
    page = ROOT / "docs" / "index.md"
    assert "audit.md" in links(page)
    assert "own-loop.md" in links(page)


def test_every_table_and_figure_that_is_named_can_be_reproduced() -> None:
    from evenhand.study.papers import names

    text = (ROOT / "docs" / "papers.md").read_text()
    named = set(re.findall(r"\b(?:kdd24|clusterfix|gbmix|medical|classes)-[a-z]+\d*[a-z]?\b", text))
    assert named <= set(names())
    assert {name.partition("-")[0] for name in named} == {name.partition("-")[0] for name in names()}
