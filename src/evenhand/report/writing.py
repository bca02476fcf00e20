"""A page on the disk: the HTML, and the plain values that it was rendered from beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.files import without_nan, write_atomically
from evenhand.report.found import STORED, find
from evenhand.report.render import render
from evenhand.report.summarize import page_of


@dataclass(frozen=True)
class Written:
    """A page that was written.

    Attributes:
        page, stored: the files.
        values: of the page, as in `stored`.
        problems: what is there and could not be shown, a sentence each.
        failed: whether a part of the page could not be made.
    """

    page: Path
    stored: Path
    values: dict[str, Any]
    problems: tuple[str, ...]
    failed: bool


def write(path: Path, out: Path | None = None) -> Written:
    """Write the page of a folder or file, by default beside what it shows.

    Raises:
        BadInput: there is nothing that a page could show.
        RunFailed: the page cannot be written.
    """
    found = find(path)
    values: dict[str, Any] = without_nan(page_of(found).as_dict())
    page = default_out(path) if out is None else out
    stored = stored_beside(page)
    html = render(values)
    content = json.dumps(values, allow_nan=False).encode()
    write_atomically(page, html.encode())  # the larger first: a full disk leaves neither
    write_atomically(stored, content)
    return Written(page, stored, values, tuple(found.problems), found.failed)


def default_out(path: Path) -> Path:
    """`DIR/report.html`, or `FILE.report.html` beside a file."""
    return path / "report.html" if path.is_dir() else path.with_suffix(".report.html")


def stored_beside(page: Path) -> Path:
    """`report.json` beside `report.html`; of pages of other names with the name, so that no other file is hit."""
    name = page.name.removesuffix(page.suffix)
    return page.with_name(STORED if name == "report" else f"{name.removesuffix('.report')}.{STORED}")
