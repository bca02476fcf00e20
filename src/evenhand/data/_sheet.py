"""The first sheet of an Excel workbook as texts, for metadata that is published in no other form."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from evenhand.data._columns import ROW, Table
from evenhand.data._metadata import Metadata
from evenhand.errors import BadInput

SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
LARGEST = 1 << 29  # bytes of an unpacked sheet


def read_sheet(path: Path, columns: Sequence[str]) -> Metadata:
    """The rows of the first sheet below the last row that holds all of `columns`; values are texts.

    Titles may stand above, also in the same words. The first column is called `ID` where it has no name.

    Raises:
        BadInput: no such file, no workbook, or no row that names the columns.
    """
    import polars as pl

    rows = list(_cells(path))
    heads = max((number for number, (_, cells) in enumerate(rows) if set(columns) <= set(cells.values())), default=-1)
    if heads < 0:
        raise BadInput(f"the first sheet of {path} has no row with the columns {', '.join(columns)}")
    place_of = {name: place for place, name in reversed(({0: "ID"} | rows[heads][1]).items())}
    frame = pl.DataFrame(
        [(number - 1, *map(cells.get, place_of.values())) for number, cells in rows[heads + 1 :] if cells],
        schema={ROW: pl.Int64} | dict.fromkeys(place_of, pl.String),
        orient="row",
    )
    return Metadata(Table(frame, path, ""))


def _cells(path: Path) -> Iterator[tuple[int, dict[int, str]]]:
    """The number of each row of the sheet, from 1, and its values by their column, from 0."""
    try:
        with zipfile.ZipFile(path) as book:
            texts = []
            if TEXTS in book.namelist():
                texts = [_text(entry) for entry in _parsed(book, TEXTS, path).iter(f"{SPACE}si")]
            for row in _parsed(book, SHEET, path).iter(f"{SPACE}row"):
                values = {_place(cell.get("r", "")): _value(cell, texts) for cell in row.iter(f"{SPACE}c")}
                yield int(row.get("r", "0")), {place: value.strip() for place, value in values.items() if value.strip()}
    except FileNotFoundError:
        raise BadInput(f"there is no table {path}") from None
    except (OSError, zipfile.BadZipFile, KeyError, IndexError, ValueError, ElementTree.ParseError) as error:
        raise BadInput(f"{path} is not an Excel workbook that can be read: {error}") from error


def _parsed(book: zipfile.ZipFile, name: str, path: Path) -> ElementTree.Element:
    if book.getinfo(name).file_size > LARGEST:
        raise BadInput(f"the sheet {name} of {path} is larger than {LARGEST >> 20} MiB")
    content = book.read(name)
    if b"<!DOCTYPE" in content:
        raise BadInput(f"the sheet {name} of {path} declares a document type, which no workbook does")
    return ElementTree.fromstring(content)


def _text(entry: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in entry.iter(f"{SPACE}t"))


def _value(cell: ElementTree.Element, texts: Sequence[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{SPACE}v") or ""
    return texts[int(value)] if cell.get("t") == "s" else value


def _place(reference: str) -> int:
    """The column of a cell such as `C7`, from 0."""
    letters = re.match(r"[A-Z]+", reference)
    if letters is None:
        raise ValueError(f"a cell without a place, {reference!r}")
    place = 0
    for letter in letters.group():
        place = 26 * place + ord(letter) - ord("A") + 1
    return place - 1
