"""Any table of one's own that has a column of texts, described by a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evenhand.data._base import Data, Kind
from evenhand.data._columns import Table, read_table
from evenhand.data._dealing import dealt_by_id, group_of
from evenhand.data._description import Description, read_as
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.data._text_set import FROM_SCRATCH, Listing, TextSet, as_data, settings, texts_of
from evenhand.data.csv import check_every_class_in_train, label, parts, without_missing
from evenhand.errors import BadInput

DEFAULT = {each.name: each.default for each in fields(TextSet)}


@dataclass(frozen=True)
class TextDescription(Description):
    """What is what in a table of texts; the fields are the keys of the TOML file, beside those of `Description`.

    Attributes:
        text: the column of texts.
        text_pair: the column of second texts, where inputs are pairs.
        id: a column whose value is the same in rows that must stay in one part, such as a text's author.
        tokenizer: see `TextSet`, as the following ones.
        max_length: most tokens of a text.
        vocabulary: most tokens that `words` learns.
    """

    text: str = ""
    text_pair: str = ""
    id: str = ""
    tokenizer: str = "words"
    max_length: int = 128
    vocabulary: int = 30_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.text:
            raise BadInput("a table of texts needs 'text': the column of texts")
        for key in ("features", "categorical", "exclude"):
            if getattr(self, key):
                raise BadInput(f"{key} has no meaning beside 'text': the texts are the only inputs")
        if self.text == self.text_pair or {*self.columns} & {self.label, self.split, *self.attributes}:
            raise BadInput("text and text_pair must be columns of their own, not the label, split or an attribute")

    @property
    def columns(self) -> list[str]:
        """The columns of texts."""
        return [self.text, *([self.text_pair] * bool(self.text_pair))]


@dataclass(frozen=True)
class Text(TextSet):
    """A CSV, TSV or Parquet table with a column of texts, and the TOML file that says what is what in it.

    Options that are given here go before those of the TOML file.

    Attributes:
        path: the TOML file, see `TextDescription`.
    """

    kind: ClassVar[Kind] = "own"
    title: ClassVar[str] = "Your own texts, described by a TOML file"
    licence: ClassVar[str] = "your own"
    recommended: ClassVar[Mapping[str, Any]] = FROM_SCRATCH

    path: str = ""

    def load(self, root: Path | None) -> Data:
        """Read the table beside the TOML file; the root plays no part.

        Raises:
            BadInput: TOML file or table are missing or wrong; the message says where and what was wanted.
        """
        description = self._description()
        how = {name: getattr(description, name) for name in DEFAULT if getattr(self, name) == DEFAULT[name]}
        chosen = replace(self, **how)
        recommended = {**settings(chosen.tokenizer), **description.training}
        data = as_data(self.listing(root), chosen.tokenizing(), Path(self.path).stem, recommended)
        return replace(data, options={name: value for name, value in self.chosen_options().items() if name != "path"})

    def check(self, root: Path | None) -> list[str]:
        """What is wrong with the table, in one sentence; empty when it can be read."""
        self._description()
        return super().check(root)

    def listing(self, root: Path | None) -> Listing:
        """Read the table."""
        description = self._description()
        table = read_table(description)
        table.require([description.label, *description.attributes, *description.columns])
        table.require([name for name in (description.split, description.id) if name])
        table = without_missing(table, description, description.columns)
        texts = [texts_of(table, column) for column in description.columns]
        labelled = label(table, description)
        part_N = _parts(table, description, labelled)
        check_every_class_in_train(table, description, labelled, part_N)
        pairs = texts[1] if description.text_pair else None
        return Listing(texts[0], labelled, part_N, pairs=pairs, source=str(table.path))

    def _description(self) -> TextDescription:
        if not self.path:
            raise BadInput("text stands for texts of your own: give the path of the TOML file that describes them")
        return read_as(TextDescription, Path(self.path), {})


def _parts(table: Table, description: TextDescription, labelled: Labelled) -> Codes:
    """(N,) index into `PARTS`; no id is in two of them."""
    if not description.id:
        return parts(table, description, labelled)
    ids = table.frame[description.id]
    if (absent := ids.is_null()).any():
        raise BadInput(f"{table.where(absent)}: {description.id} is missing ({absent.sum()} of {len(absent)} rows)")
    id_N = np.unique(ids.cast(str).to_numpy().astype(str), return_inverse=True)[1].reshape(-1)
    if not description.split:
        part_N = dealt_by_id(group_of(labelled), id_N, description.fractions, description.seed)
        for index, part in enumerate(PARTS):
            if not (part_N == index).any():
                raise BadInput(f"the part {part!r} of {table.path} has no rows: too few different {description.id}")
        return part_N
    part_N = parts(table, description, labelled)
    first_I = np.full(id_N.max() + 1, len(PARTS))
    np.minimum.at(first_I, id_N, part_N)
    if (torn_N := first_I[id_N] != part_N).any():
        import polars as pl

        row = int(np.flatnonzero(torn_N)[0])
        raise BadInput(
            f"{table.where(pl.Series(torn_N))}: {description.id} {ids[row]!r} is in {PARTS[part_N[row]]} here and in "
            f"{PARTS[first_I[id_N[row]]]} elsewhere"
        )
    return part_N
