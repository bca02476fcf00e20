"""Records of text tables, with the line that each starts in, so that an error can name it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from evenhand.errors import BadInput

Record = tuple[int, list[str]]


def numbered(lines: Iterable[str], separator: str) -> Iterator[Record]:
    """Each record of a delimited text, the header included, with the line that it starts in, from 1."""
    reader = csv.reader(lines, delimiter=separator)
    start = 1
    for fields in reader:
        yield start, fields
        start = reader.line_num + 1


def check_widths(path: Path, records: Iterable[Record]) -> None:
    """Raise BadInput for the first record, blank lines aside, that has not as many fields as the header."""
    wanted = 0
    for line, fields in records:
        wanted = wanted or len(fields)
        if fields and len(fields) != wanted:
            raise BadInput(f"{path}, line {line}: {len(fields)} fields, but the header has {wanted}")
