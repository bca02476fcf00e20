"""The TOML file that describes a user's own table, read and checked."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from evenhand.data._base import read_text
from evenhand.errors import BadInput
from evenhand.options import checked
from evenhand.settings import Settings

TRAINING = {"encoder": "mlp", "epochs": 50, "batch_size": 256, "optimizer": "adam", "lr": 1e-3}


@dataclass(frozen=True)
class Description:
    """What is what in a table; the fields are the keys of the TOML file.

    Attributes:
        path: the table (`.csv`, `.tsv`, `.txt` or `.parquet`), relative to the TOML file.
        label: the column to predict.
        positive: the label's value that becomes class 1; classes are sorted otherwise. For two classes only.
        attributes: sensitive or spurious columns, crossed into groups; may be empty.
        features: the columns that are inputs; default all that are not named by another key.
        exclude: columns to leave out, such as an id.
        categorical: columns of numbers that are names of categories; columns of text always are.
        split: a column that says train, val or test; without it, rows are dealt by `fractions`.
        fractions: shares of train, val and test, within each group; must add up to 1.
        seed: of that dealing.
        missing: what a missing value in an attribute or feature does: `error`; `drop` the row; `indicate`: a number
            becomes the median of train beside an indicator column, a category a category of its own; or `unknown`: the
            same for features, but a row without an attribute belongs to no group.
        missing_values: texts that mean missing, beside an empty field.
        separator: between the fields of a text file; default `,`, for `.tsv` a tab.
        training: settings used where a command gives none.
    """

    path: str
    label: str
    positive: str = ""
    attributes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    split: str = ""
    fractions: tuple[float, ...] = (0.6, 0.2, 0.2)
    seed: int = 0
    missing: Literal["error", "drop", "indicate", "unknown"] = "error"
    missing_values: tuple[str, ...] = ()
    separator: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shares = self.fractions
        if len(shares) != 3 or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise BadInput(f"fractions must be three positive shares that add up to 1, got {list(shares)}")
        if self.seed < 0:
            raise BadInput(f"seed must not be negative, got {self.seed}")
        for key in ("attributes", "features"):
            clash = {self.label, self.split} & set(getattr(self, key))
            if clash:
                raise BadInput(f"{key} must not name the label or the split column, but names {clash.pop()!r}")
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise BadInput(f"{key} names a column twice: {', '.join(getattr(self, key))}")
        if self.label == self.split:
            raise BadInput(f"label and split are the same column {self.label!r}")


D = TypeVar("D", bound=Description)


def read_description(path: Path) -> Description:
    """The description in the TOML file `path`, with the table's path made absolute.

    Raises:
        BadInput: no such file, a syntax error (the message names the line), an unknown key, or a wrong value.
    """
    return read_as(Description, path, TRAINING)


def read_as(kind: type[D], path: Path, recommended: Mapping[str, Any]) -> D:
    """The description of this kind in the TOML file `path`, with the table's path made absolute.

    Args:
        recommended: settings where the file gives none.

    Raises:
        BadInput: no such file, a syntax error (the message names the line), an unknown key, or a wrong value.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}; a TOML file describes your own table")
    try:
        entries = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from error
    for key in ("path", "label"):
        if not entries.get(key):
            raise BadInput(
                f"{path} must give {key!r}: " + ("the table's file" if key == "path" else "a column to predict")
            )
    training = entries.pop("training", {})
    if not isinstance(training, dict):
        raise BadInput(f"{path}: training must be a table of settings, got {training!r}")
    if "positive" in entries:
        entries["positive"] = as_text(entries["positive"])
    try:
        plain = checked(kind, {key: _listed(key, value) for key, value in entries.items()}, "the description")
        settings = checked(Settings, training, "the table [training]")
        Settings(**settings)  # checks the ranges
        description = kind(**{**plain, "path": str(path.parent / plain["path"])}, training={**recommended, **settings})
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return description


def as_text(value: object) -> str:
    """A value of a TOML file or a table as it is shown: `true`, `1` (also for 1.0), `yes`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


LISTS = ("attributes", "features", "exclude", "categorical", "missing_values")


def _listed(key: str, value: Any) -> Any:
    """A single name where a list is wanted stands for a list of one, even if it holds a comma."""
    if key in LISTS and isinstance(value, str):
        return [value]
    if key in (*LISTS, "fractions") and not isinstance(value, list):
        raise BadInput(f"{key} must be a list, got {value!r}")
    return value
