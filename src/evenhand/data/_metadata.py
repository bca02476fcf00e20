"""The table beside a data set's images or texts: columns as codes, numbers and paths, each row accounted for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evenhand.data._columns import Table, read_table
from evenhand.data._description import Description
from evenhand.data._table import Codes
from evenhand.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

IMAGE_ENDING = r"(?i)\.(jpg|jpeg|png)$"


@dataclass(frozen=True)
class Metadata:
    """Rows of a metadata file, of which every value is still a text, or null where it is missing.

    Attributes:
        table: with the file's path and the number of each row in it, for errors that say where.
    """

    table: Table

    @classmethod
    def read(
        cls,
        path: Path,
        columns: Sequence[str],
        *,
        separator: str = "",
        missing: Sequence[str] = (),
        repeated: bool = False,
    ) -> Metadata:
        """The file (`.csv`, `.tsv`, `.txt` or `.parquet`), which must have these columns.

        Args:
            missing: texts that mean a missing value, beside an empty field.
            repeated: whether a column may be there twice; the first counts.

        Raises:
            BadInput: no such file or column, a broken row (the message names the line), or text that is not UTF-8.
        """
        described = Description(str(path), label=columns[0], separator=separator, missing_values=tuple(missing))
        table = read_table(described, repeated=repeated)
        table.require(columns)
        return cls(table)

    def __len__(self) -> int:
        return self.table.frame.height

    def filtered(self, keep_N: NDArray[np.bool_]) -> Metadata:
        """The chosen rows; errors still name their place in the file."""
        import polars as pl

        return Metadata(replace(self.table, frame=self.table.frame.filter(pl.Series(keep_N, dtype=pl.Boolean))))

    def texts(self, column: str, *, optional: bool = False) -> list[str | None]:
        """The values of a column as texts, None where missing.

        Raises:
            BadInput: a value is missing and not `optional`; the message names the line.
        """
        import polars as pl

        values = self.table.frame[column].cast(pl.String)
        if not optional:
            self._refuse(values.is_null(), values, column, "a value")
        return values.to_list()

    def codes(self, column: str, values: Sequence[str], *, optional: bool = False) -> Codes:
        """(N,) position of each value in `values`; whole numbers compare as numbers (`1.0` is `1`).

        Raises:
            BadInput: another value, or a missing one (-1 if `optional`); the message names line and column.
        """
        import polars as pl

        texts = self.table.frame[column].cast(pl.String).str.replace(r"^([+-]?\d+)\.0+$", "${1}")
        positions = {value: code for code, value in enumerate(values)}
        codes = texts.replace_strict(positions, default=None, return_dtype=pl.Int64)
        strange = codes.is_null() & texts.is_not_null() if optional else codes.is_null()
        self._refuse(strange, texts, column, f"one of {', '.join(values)}")
        found: Codes = codes.fill_null(-1).to_numpy().astype(np.int64)
        return found

    def numbers(self, column: str, *, optional: bool = False) -> NDArray[np.float64]:
        """(N,) a column of finite numbers, NaN where missing.

        Raises:
            BadInput: no number, or a missing one that is not `optional`; the message names line and column.
        """
        import polars as pl

        texts = self.table.frame[column].cast(pl.String)
        values = texts.cast(pl.Float64, strict=False)
        values = pl.select(pl.when(values.is_finite()).then(values).otherwise(None)).to_series()
        strange = values.is_null() & texts.is_not_null() if optional else values.is_null()
        self._refuse(strange, texts, column, "a number")
        found: NDArray[np.float64] = values.fill_null(float("nan")).to_numpy()
        return found

    def image_paths(
        self,
        column: str,
        folder: Path,
        *,
        suffix: str = "",
        inside: Sequence[str] = ("",),
        endings: Sequence[str] = (),
        unlisted: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """The files that a column names (with `suffix` after each), as POSIX paths relative to `folder`.

        Args:
            inside: folders below `folder`, each with a `/` at its end, in one of which each file is.
            endings: (such as `.jpg`) one of which each file has in place of that of the column, if it has any there.
            unlisted: endings (such as `.jpg`): files of `folder` that end so and have no row are an error.

        Raises:
            BadInput: a path that leaves the folder, a file named twice, there twice or not at all, or a file without a
                row; the message names file, line and column.
        """
        import polars as pl

        names = self.table.frame[column].cast(pl.String)
        self._refuse(names.is_null(), names, column, "the path of an image")
        self._refuse(
            pl.Series([leaves(name) for name in names]),
            names,
            column,
            f"a path inside {_shown(folder)}, relative to it",
        )
        plain = pl.Series([plain_path(name) for name in names], dtype=pl.String)
        stems = plain.str.replace(IMAGE_ENDING, "") if endings else plain + suffix
        self._refuse(stems.is_duplicated() & ~stems.is_first_distinct(), names, column, "each image once")
        there = files_below(folder)
        paths = pl.Series([None] * len(names), dtype=pl.String)
        for place, ending in product(inside, endings or ("",)):
            path = pl.select(place + stems + ending).to_series()
            hit = path.is_in(list(there))
            self._refuse(
                hit & paths.is_not_null(), names, column, f"one file of {_shown(folder)}, not two of that name"
            )
            paths = paths.zip_with(~hit, path)
        self._refuse(
            paths.is_null(), inside[0] + stems + (*endings, "")[0], column, f"a file in {_shown(folder)} that is there"
        )
        if unlisted:
            extra = sorted(file for file in there - set(paths) if file.lower().endswith(tuple(unlisted)))
            if extra:
                raise BadInput(
                    f"{folder / extra[0]} has no row in {self.table.path}"
                    + (f" (nor have {len(extra) - 1} other files)" if len(extra) > 1 else "")
                )
        return tuple(paths)

    def with_texts(self, column: str, values: pl.Expr) -> Metadata:
        """The table with one more column, made of others, or with another in its place."""
        return Metadata(replace(self.table, frame=self.table.frame.with_columns(values.alias(column))))

    def rows_of(self, column: str, key: str, names: Metadata, *, optional: bool = False) -> Codes:
        """(N,) the row of `names` whose `key` is this row's value of the column.

        Raises:
            BadInput: a value that has no row there (-1 if `optional`), or a key that has two; the message names file
                and line.
        """
        import polars as pl

        keys, values = (table.table.frame[name].cast(pl.String) for table, name in ((names, key), (self, column)))
        names._refuse(keys.is_duplicated() & ~keys.is_first_distinct(), keys, key, "different in every row")
        rows = values.replace_strict(keys, pl.int_range(len(keys), eager=True), default=None, return_dtype=pl.Int64)
        if not optional:
            self._refuse(rows.is_null(), values, column, f"one that has a row in {names.table.path}")
        found: Codes = rows.fill_null(-1).to_numpy().astype(np.int64)
        return found

    def _refuse(self, strange: pl.Series, values: pl.Series, column: str, wanted: str) -> None:
        """Raise BadInput for the first true value of `strange`."""
        if strange.any():
            got = values.filter(strange)[0]
            others = f" (and {strange.sum() - 1} more)" if strange.sum() > 1 else ""
            raise BadInput(
                f"{self.table.where(strange)}: {column} must be {wanted}, got "
                f"{'nothing' if got is None else repr(got)}{others}"
            )


def _shown(folder: Path) -> str:
    return "the current folder" if folder == Path() else str(folder)


def plain_path(path: str) -> str:
    """A relative path without `.` and empty parts: `./a//b.png` is `a/b.png`."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def leaves(path: str) -> bool:
    """Whether a path of a metadata file is absolute, or could leave its folder."""
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) > 1 and parts[0][1] == ":")


def files_below(folder: Path) -> set[str]:
    """Every file below `folder` as a relative POSIX path, without those behind links to folders.

    Raises:
        BadInput: a link that leads out of the folder, or a folder that cannot be read.
    """
    inside = os.path.realpath(folder)
    found: set[str] = set()
    waiting = [("", inside)]
    while waiting:
        prefix, where = waiting.pop()
        try:
            with os.scandir(where) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        _check_link(entry.path, inside, folder)
                    if entry.is_file():
                        found.add(prefix + entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append((f"{prefix}{entry.name}/", entry.path))
        except OSError as error:
            raise BadInput(f"cannot read the folder {where}: {error.strerror}") from error
    return found


def _check_link(link: str, inside: str, folder: Path) -> None:
    target = os.path.realpath(link)
    if os.path.commonpath([inside, target]) != inside:
        raise BadInput(f"{link} is a link to {target}, which is outside of {folder}")
