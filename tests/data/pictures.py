"""Tiny image files and tables for data sets in their official layouts."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

from evenhand.data._dealing import group_of
from evenhand.data._image_set import Listing


def draw(folder: Path, paths: Iterable[str], size: tuple[int, int] = (12, 12)) -> None:
    """An image of one colour, one of 64 in turn, at each path below `folder`."""
    for number, path in enumerate(paths):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(number % 64, size, "PNG" if file.suffix.lower() == ".png" else "JPEG"))


@cache
def encoded(number: int, size: tuple[int, int], kind: str) -> bytes:
    """The bytes of an image file."""
    content = io.BytesIO()
    Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 128)).save(content, kind)
    return content.getvalue()


def table(file: Path, head: str, rows: Iterable[str]) -> Path:
    """A text table with a header line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return file


def workbook(file: Path, rows: Sequence[Sequence[str | int | None]], *, shared: bool = True) -> Path:
    """An Excel workbook of one sheet, texts in the table of texts or (`shared=False`) in the cells."""
    texts: list[str] = []
    lines = []
    for number, row in enumerate(rows, 1):
        cells = []
        for place, value in enumerate(row):
            name = f"{chr(ord('A') + place)}{number}"
            if isinstance(value, str) and shared:
                texts.append(value)
                cells.append(f'<c r="{name}" t="s"><v>{len(texts) - 1}</v></c>')
            elif isinstance(value, str):
                cells.append(f'<c r="{name}" t="inlineStr"><is><t>{value}</t></is></c>')
            elif value is not None:
                cells.append(f'<c r="{name}"><v>{value}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    file.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(file, "w") as book:
        book.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{''.join(lines)}</sheetData></worksheet>"
        )
        if shared:
            entries = "".join(f"<si><t>{text}</t></si>" for text in texts)
            book.writestr("xl/sharedStrings.xml", f"<sst {space}>{entries}</sst>")
    return file


def group_counts(listing: Listing) -> list[list[int]]:
    """Rows of each group in train, val and test."""
    sizes = [len(listing.labelled.classes), *map(len, listing.labelled.attribute_values)]
    group_N = group_of(listing.labelled)
    return [np.bincount(group_N[listing.parts == part], minlength=int(np.prod(sizes))).tolist() for part in range(3)]


def assert_apart(listing: Listing, ids: Sequence[str]) -> None:
    """No id is in two parts."""
    pairs = {*zip(ids, listing.parts.tolist(), strict=True)}
    assert len(pairs) == len(set(ids))
