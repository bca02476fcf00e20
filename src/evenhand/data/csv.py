"""Any table of one's own, described by a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evenhand.data._base import Data, DataSet, Kind, digest
from evenhand.data._columns import MISSING, Table, as_codes, check_type, encoded, read_table
from evenhand.data._dealing import dealt
from evenhand.data._description import TRAINING, Description, read_description
from evenhand.data._table import PARTS, Codes, Labelled, in_parts
from evenhand.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

MOST_CLASSES = 1000
MOST_ATTRIBUTE_VALUES = 100


@dataclass(frozen=True)
class Csv(DataSet):
    """A CSV, TSV or Parquet table and the TOML file that says what is what in it (see `Description`).

    Attributes:
        path: the TOML file.
    """

    kind: ClassVar[Kind] = "own"
    title: ClassVar[str] = "Your own table, described by a TOML file"
    licence: ClassVar[str] = "your own"
    recommended: ClassVar[Mapping[str, Any]] = TRAINING

    path: str = ""

    def load(self, root: Path | None) -> Data:
        """Read the table beside the TOML file; the root plays no part.

        Raises:
            BadInput: TOML file or table are missing or wrong; the message says where and what was wanted.
        """
        description = self._description()
        table = read_table(description)
        features = columns_by_role(table, description)
        table = without_missing(table, description, features)
        labelled = label(table, description)
        part_N = parts(table, description, labelled)
        check_every_class_in_train(table, description, labelled, part_N)
        encoded_columns = [encoded(table, name, part_N == 0, description) for name in features]
        return in_parts(
            Path(self.path).stem,
            [inputs for inputs, _ in encoded_columns],
            labelled,
            part_N,
            fingerprint=digest(Path(description.path).read_bytes(), reading(description)),
            recommended=description.training,
            feature_names=[name for _, names in encoded_columns for name in names],
        )

    def check(self, root: Path | None) -> list[str]:
        """What is wrong with the table, in one sentence; empty when it can be read."""
        self._description()
        return super().check(root)

    def _description(self) -> Description:
        if not self.path:
            raise BadInput("csv stands for a table of your own: give the path of the TOML file that describes it")
        return read_description(Path(self.path))


def reading(description: Description) -> list[tuple[str, object]]:
    """What of the description decides how the table is read: all but where it lies and how it is trained on."""
    return [(key, value) for key, value in vars(description).items() if key not in ("path", "training")]


def columns_by_role(table: Table, description: Description) -> list[str]:
    """The feature columns, after every column named anywhere is found to be there."""
    named = [
        description.label,
        *description.attributes,
        *description.exclude,
        *([description.split] * bool(description.split)),
    ]
    table.require([*named, *description.features, *description.categorical])
    features = list(description.features) or [column for column in table.columns if column not in named]
    if not features:
        raise BadInput(f"{table.path} has no column left to be a feature beside {', '.join(dict.fromkeys(named))}")
    return features


def without_missing(table: Table, description: Description, features: list[str]) -> Table:
    """The table as `missing` wants it; a missing label or split is always an error."""
    import polars as pl

    always = [description.label, *([description.split] * bool(description.split))]
    optional = list(dict.fromkeys([*description.attributes, *features]))
    if description.missing == "drop":
        kept = table.frame.filter(~pl.any_horizontal(pl.col(optional).is_null()))
        if kept.is_empty():
            raise BadInput(f"{table.path} has no row without a missing value")
        table = Table(kept, table.path, table.separator)
    for column in [*always, *(optional if description.missing == "error" else ())]:
        absent = table.frame[column].is_null()
        if absent.any():
            choices = "; choose missing = 'drop', 'indicate' or 'unknown', or leave the column out"
            choice = "" if column in always else choices
            raise BadInput(f"{table.where(absent)}: {column} is missing ({absent.sum()} of {len(absent)} rows){choice}")
    return table


def label(table: Table, description: Description) -> Labelled:
    """Classes and attributes of every row, their values sorted, `positive` last."""
    for name in (description.label, *description.attributes):
        check_type(table, table.frame[name])
    y, classes = as_codes(table.frame[description.label], text_file=bool(table.separator))
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise BadInput(
            f"the label {description.label!r} of {table.path} has {len(classes)} different value(s); wanted 2 to "
            f"{MOST_CLASSES} classes"
        )
    if description.positive:
        # Also by the same letters: TOML writes true where a table may say True.
        wanted = description.positive
        chosen = [wanted] if wanted in classes else [name for name in classes if name.lower() == wanted.lower()]
        if len(chosen) != 1 or len(classes) != 2:
            raise BadInput(
                f"positive must be one of the two values of {description.label!r}, got {description.positive!r}; "
                f"the values are {', '.join(classes[:10])}{', …' * (len(classes) > 10)}"
            )
        if classes[0] == chosen[0]:
            y, classes = 1 - y, classes[::-1]
    unknown = description.missing == "unknown"
    pairs = [attribute(table, name, unknown=unknown) for name in description.attributes]
    return Labelled(
        y=y,
        classes=classes,
        attributes=np.stack([codes for codes, _ in pairs], axis=1) if pairs else np.zeros((len(y), 0), dtype=np.int64),
        attribute_names=description.attributes,
        attribute_values=tuple(values for _, values in pairs),
        label_name=description.label,
    )


def attribute(table: Table, name: str, *, unknown: bool = False) -> tuple[Codes, tuple[str, ...]]:
    """Codes and values of one attribute; a missing value is the last value, or -1 if it is to stay `unknown`."""
    codes, values = as_codes(table.frame[name], text_file=bool(table.separator))
    if (codes < 0).any() and not unknown:
        codes, values = np.where(codes < 0, len(values), codes), (*values, MISSING)
    if len(values) < 2:
        raise BadInput(
            f"the attribute {name!r} of {table.path} has only one value, {values[0]!r}: no groups to compare"
        )
    if len(values) > MOST_ATTRIBUTE_VALUES:
        raise BadInput(
            f"the attribute {name!r} of {table.path} has {len(values)} different values, more than "
            f"{MOST_ATTRIBUTE_VALUES}; groups so small cannot be judged: bring it into a few ranges first"
        )
    return codes, values


def parts(table: Table, description: Description, labelled: Labelled) -> Codes:
    """(N,) index into `PARTS` of each row, from the split column or dealt within each group."""
    if description.split:
        part_N = parts_from_column(table, table.frame[description.split])
    else:
        columns = [labelled.y, *labelled.attributes.T]
        group_N = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        part_N = dealt(group_N, description.fractions, description.seed)
    for index, part in enumerate(PARTS):
        if not (part_N == index).any():
            raise BadInput(f"the part {part!r} of {table.path} has no rows")
    return part_N


def parts_from_column(table: Table, column: pl.Series) -> Codes:
    """(N,) index into `PARTS` of each value, which must be one of their names."""
    import polars as pl

    index = {part: number for number, part in enumerate(PARTS)}
    found = column.cast(pl.String).replace_strict(index, default=None, return_dtype=pl.Int64)
    if (strange := found.is_null()).any():
        got = column.filter(strange)[0]
        raise BadInput(f"{table.where(strange)}: {column.name} must be one of {', '.join(PARTS)}, got {got!r}")
    codes: Codes = found.to_numpy().astype(np.int64)
    return codes


def check_every_class_in_train(table: Table, description: Description, labelled: Labelled, part_N: Codes) -> None:
    """Raise BadInput if a class of val or test has no row in train."""
    count = np.bincount(labelled.y[part_N == 0], minlength=len(labelled.classes))
    if count.min() == 0:
        lost = int(count.argmin())
        where = " and ".join(part for index, part in enumerate(PARTS) if (labelled.y[part_N == index] == lost).any())
        raise BadInput(
            f"the label {labelled.classes[lost]!r} of {description.label!r} in {table.path} appears only in {where}, "
            "never in train; nothing can be learned of it"
        )
