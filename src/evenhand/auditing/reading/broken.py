"""What is wrong with a file that cannot be read, and in which line."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO

from evenhand.errors import BadInput
from evenhand.records import check_widths, numbered

csv.field_size_limit(2**31 - 1)


@contextmanager
def explained(files: Sequence[Path], separator: str | None, name: str) -> Iterator[None]:
    """Turn whatever the reader raises into a BadInput that says where the file is broken."""
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror or first_line(error)}") from error
    except BaseException as error:
        # A panic of the reader is a BaseException of its own; anything else of that kind is not about the file.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        _find(files, separator)
        raise BadInput(f"cannot read {name}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The error's text without the reader's own advice."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def check_fields(files: Sequence[Path], separator: str) -> None:
    """Look at every row of CSV files.

    Raises:
        BadInput: a row has more or fewer fields than the header, or is no text; the message names file and line.
    """
    for file in files:
        if _is_regular(file, separator):
            continue
        try:
            check_widths(file, records(file, separator))
        except UnicodeDecodeError:
            raise BadInput(f"{file}, line {_undecodable(file)}: not UTF-8 text") from None
        except (csv.Error, OSError, EOFError) as error:
            raise BadInput(f"{file} cannot be read to its end: {first_line(error)}") from None


def records(file: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each record of a CSV file, header included, with the line that it starts in; none of a file packed by zstd."""
    if file.suffix.lower() == ".zst":
        return
    with opened(file) as binary:
        lines = (line.decode("utf-8-sig" if not number else "utf-8") for number, line in enumerate(binary))
        yield from numbered(lines, separator)


def line_of(files: Sequence[Path], separator: str | None, row: int) -> str:
    """Where row `row` (from 0, over all files) is: file and line if that can be told, else the row's number."""
    if separator is not None:
        rows = chain.from_iterable(_rows(file, separator) for file in files)
        found = next(islice(rows, row, None), None)
        if found is not None:
            return f"{found[0]}, line {found[1]}"
    if len(files) == 1:
        return f"{files[0]}, row {row + 1}"
    return f"row {row + 1}"


def _rows(file: Path, separator: str) -> Iterator[tuple[Path, int]]:
    """File and line of each record below the header."""
    return ((file, line) for line, _ in islice(records(file, separator), 1, None))


def opened(file: Path) -> IO[bytes]:
    """The bytes of a text file, unpacked if it ends in .gz."""
    return gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb")  # type: ignore[return-value]


def _is_regular(file: Path, separator: str) -> bool:
    """Whether every line surely has as many fields as the first: a fast look, which quotation marks make unsure."""
    import polars as pl

    line = pl.col("line")
    count = line.str.count_matches(separator, literal=True)
    try:
        lines = pl.scan_csv(file, has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String})
        wanted = lines.head(1).select(count).collect().item()
        if wanted is None:  # a blank line where the header should be
            return False
        odd = line.is_not_null() & (line.str.contains('"', literal=True) | (count != wanted))
        return not lines.select(odd.any()).collect(engine="streaming").item()
    except (pl.exceptions.PolarsError, OSError):
        return False


def _find(files: Sequence[Path], separator: str | None) -> None:
    if separator is not None:
        check_fields(files, separator)
    for file in files:
        if any(suffix in (".jsonl", ".ndjson") for suffix in file.suffixes) and file.suffix != ".zst":
            _check_json(file)


def _check_json(file: Path) -> None:
    try:
        with opened(file) as binary:
            for number, line in enumerate(binary, 1):
                try:
                    found = json.loads(line) if line.strip() else {}
                except (ValueError, RecursionError) as error:
                    raise BadInput(f"{file}, line {number}: not JSON ({first_line(error)})") from None
                if not isinstance(found, dict):
                    raise BadInput(f"{file}, line {number}: wanted a JSON object, got {line.decode()[:40].strip()}")
    except (OSError, EOFError) as error:
        raise BadInput(f"{file} cannot be read to its end: {first_line(error)}") from None


def _undecodable(file: Path) -> int:
    with opened(file) as binary:
        for number, line in enumerate(binary, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
