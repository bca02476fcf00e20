"""A user's table: read with every row accounted for, its columns turned into inputs and labels."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evenhand.data._description import Description, as_text
from evenhand.data._table import Codes, Floats, one_hot, standardised
from evenhand.errors import BadInput, unknown
from evenhand.records import check_widths, numbered

if TYPE_CHECKING:
    import polars as pl

ROW = "\0row"  # the row's number in the file, kept while rows are dropped; no column can have this name
MISSING = "(missing)"
MOST_CATEGORIES = 1000
SEPARATORS = {".csv": ",", ".txt": ",", ".tsv": "\t", ".tab": "\t"}


@dataclass(frozen=True)
class Table:
    """The rows of a file, and what is needed to say where in it something is wrong."""

    frame: pl.DataFrame
    path: Path
    separator: str  # empty for Parquet

    @property
    def columns(self) -> list[str]:
        return [column for column in self.frame.columns if column != ROW]

    def require(self, columns: Sequence[str]) -> None:
        """Raise BadInput for a column that is not there, suggesting the nearest."""
        for column in columns:
            if column not in self.columns:
                raise unknown(f"column of {self.path}", column, self.columns)

    def where(self, bad: pl.Series) -> str:
        """File and line (row of Parquet) of the first true value of `bad`."""
        index = bad.arg_true()[0]
        row = int(self.frame[ROW][index])
        if not self.separator:
            return f"{self.path}, row {row + 1}"
        for number, (line, _) in enumerate(records(self.path, self.separator)):
            if number == row + 1:
                return f"{self.path}, line {line}"
        return f"{self.path}, row {row + 1}"


def read_table(description: Description, *, repeated: bool = False) -> Table:
    """The table as described, texts stripped of blanks, with null for what is missing.

    Raises:
        BadInput: the file is missing, of an unknown kind, empty, has a broken row (the message names the line), or a
            column twice, unless it may be `repeated`: the first counts then.
    """
    import polars as pl

    path = Path(description.path)
    if not path.is_file():
        raise BadInput(f"there is no table {path}")
    separator = description.separator or SEPARATORS.get(path.suffix.lower(), "")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            separator, frame = "", pl.read_parquet(path)
        elif separator:
            frame = _read_text_table(path, separator, repeated=repeated)
        else:
            kinds = ", ".join([*SEPARATORS, ".parquet"])
            raise BadInput(f"{path} must end in one of {kinds}, or give `separator` for a text file")
    except (pl.exceptions.PolarsError, OSError) as error:
        if separator:
            _check_records(path, separator)
        raise BadInput(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    frame = _with_nulls(frame.with_row_index(ROW), description, text_file=bool(separator))
    if frame.is_empty():
        raise BadInput(f"{path} has no rows of data")
    return Table(frame, path, separator)


def _with_nulls(frame: pl.DataFrame, description: Description, *, text_file: bool) -> pl.DataFrame:
    """Null wherever a value is missing; blank lines left out."""
    import polars as pl

    texts = pl.col(pl.String).str.strip_chars()
    frame = frame.with_columns(
        pl.when(texts.is_in(["", *description.missing_values])).then(None).otherwise(texts).name.keep()
    )
    frame = frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    if not text_file:
        return frame
    kept = {ROW, *description.categorical}
    frame = frame.filter(~pl.all_horizontal(pl.exclude(ROW).is_null()))
    return frame.with_columns(without_nan(frame[name]) for name in frame.columns if name not in kept)


def _read_text_table(path: Path, separator: str, *, repeated: bool) -> pl.DataFrame:
    import polars as pl

    if len(separator.encode()) != 1:
        raise BadInput(f"separator must be a single character, got {separator!r}")
    frame = pl.read_csv(path, separator=separator, infer_schema=False)
    names = [name.strip() for name in _header(path, separator)]
    twice = [name for place, name in enumerate(names) if name and name in names[:place]]
    if twice and not repeated:
        raise BadInput(f"{path}, line 1: the header has {twice[0]!r} twice")
    frame = frame.rename({column: column.strip() for column in frame.columns})
    # A row with too few fields is padded, so the last column tells when it is worth looking.
    if frame.width > 1 and frame[:, -1].null_count():
        _check_records(path, separator)
    return frame


def _header(path: Path, separator: str) -> list[str]:
    """The names of the columns as the file has them."""
    try:
        return next(records(path, separator), (1, []))[1]
    except (UnicodeDecodeError, csv.Error):
        _check_records(path, separator)  # which says what is wrong
        return []


def records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each record of a text table, the header included, with the line that it starts in."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from numbered(file, separator)


def _check_records(path: Path, separator: str) -> None:
    """Raise BadInput for the first record that has not as many fields as the header, or is not text."""
    try:
        check_widths(path, records(path, separator))
    except UnicodeDecodeError:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        line = next(number for number, text in enumerate(content.split(b"\n"), 1) if not _is_text(text))
        raise BadInput(f"{path}, line {line}: not UTF-8 text") from None
    except csv.Error as error:
        raise BadInput(f"{path} is not a table of text: {error}") from None


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_numbers(column: pl.Series, *, text_file: bool) -> pl.Series | None:
    """The column as Float64, or None if it holds categories.

    In a text file a column whose every value is a number is one of numbers; in Parquet its type decides. Booleans are
    0 and 1, in a text file as `true` and `false`.
    """
    import polars as pl

    if column.dtype == pl.Boolean or column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_nan(None)
    if column.dtype != pl.String or not text_file:
        return None
    words = column.str.to_lowercase().replace_strict({"true": 1.0, "false": 0.0}, default=None, return_dtype=pl.Float64)
    for numbers in (words, column.cast(pl.Float64, strict=False)):
        if numbers.null_count() == column.null_count():
            return numbers.fill_nan(None)
    return None


def without_nan(column: pl.Series) -> pl.Series:
    """The texts with null for `nan` if they are numbers otherwise."""
    numbers = as_numbers(column, text_file=True)
    if numbers is None or numbers.null_count() == column.null_count():
        return column
    return column.set(numbers.is_null(), None)


def as_codes(column: pl.Series, *, text_file: bool) -> tuple[Codes, tuple[str, ...]]:
    """(N,) position of each value among the sorted values, -1 where missing, and the values as text.

    Numbers sort as numbers, texts as texts.
    """
    import polars as pl

    if text_file and column.dtype == pl.String:
        numbers = as_numbers(column, text_file=True)
        is_words = column.str.contains("(?i)^(true|false)$").all()
        if numbers is not None and not is_words and not column.str.contains(r"^[+-]?0\d").any():
            column = numbers
    values = column.drop_nulls().unique().sort()
    positions = pl.int_range(len(values), eager=True, dtype=pl.Int64)
    codes = column.replace_strict(values, positions, default=-1, return_dtype=pl.Int64).fill_null(-1)
    return codes.to_numpy().astype(np.int64), tuple(as_text(value) for value in values.to_list())


def encoded(table: Table, name: str, train_N: NDArray[np.bool_], description: Description) -> tuple[Floats, list[str]]:
    """The inputs that one column becomes, with their names; everything learned is learned on the training rows.

    Numbers are standardised. Categories are one-hot over the values that occur in train: any other is all zeros.

    Raises:
        BadInput: an infinite number, a type that is neither number nor text, text among numbers, more than 1000
            categories, or no value at all in train.
    """
    import polars as pl

    column = table.frame[name]
    check_type(table, column)
    if not column.is_not_null().filter(pl.Series(train_N)).any():
        raise BadInput(f"the column {name!r} of {table.path} has no value in train")
    numbers = None if name in description.categorical else as_numbers(column, text_file=bool(table.separator))
    if numbers is None:
        return _categories(table, column, train_N, name in description.categorical)
    if (infinite := numbers.is_infinite().fill_null(value=False)).any():
        raise BadInput(f"{table.where(infinite)}: {name} must be a finite number, got {numbers.filter(infinite)[0]}")
    absent_N = numbers.is_null().to_numpy()
    median = numbers.filter(pl.Series(train_N)).median()
    values_N1 = numbers.fill_null(median).to_numpy()[:, None]
    inputs = [standardised(values_N1, train_N)]
    if absent_N[train_N].any():
        inputs.append(absent_N[:, None].astype(np.float32))
    return np.concatenate(inputs, axis=1), [name, f"{name}={MISSING}"][: len(inputs)]


def check_type(table: Table, column: pl.Series) -> None:
    """Raise BadInput for a column of lists, dates or other things that are neither numbers, texts nor booleans."""
    import polars as pl

    kind = column.dtype
    if not (kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null)):
        raise BadInput(
            f"the column {column.name!r} of {table.path} is of type {kind}; wanted numbers, texts or booleans "
            "(convert it, or leave it out with `exclude`)"
        )


def _categories(
    table: Table, column: pl.Series, train_N: NDArray[np.bool_], declared: bool
) -> tuple[Floats, list[str]]:
    import polars as pl

    texts = column.cast(pl.String)
    if texts.n_unique() > MOST_CATEGORIES:
        raise BadInput(
            f"the column {column.name!r} of {table.path} has {texts.n_unique()} different values, more than the "
            f"{MOST_CATEGORIES} that fit as categories; if it is an id or free text, leave it out with `exclude`"
        )
    stray = texts.is_not_null() & texts.cast(pl.Float64, strict=False).is_null()
    if table.separator and not declared and 0 < stray.sum() < 0.1 * (len(texts) - texts.null_count()):
        raise BadInput(
            f"{table.where(stray)}: {texts.filter(stray)[0]!r} among the numbers of the column {column.name!r}; "
            "correct it, list it in `missing_values`, or name the column in `categorical`"
        )
    seen = texts.fill_null(MISSING).filter(pl.Series(train_N)).unique().sort()
    positions = pl.int_range(len(seen), eager=True, dtype=pl.Int64)
    codes = texts.fill_null(MISSING).replace_strict(seen, positions, default=-1, return_dtype=pl.Int64)
    return one_hot(codes.to_numpy(), len(seen)), [f"{column.name}={value}" for value in seen]
