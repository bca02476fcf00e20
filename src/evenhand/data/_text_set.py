"""Data sets of texts: a reader lists texts, labels and parts; the rest is the same for all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evenhand.data._base import Data, DataSet, Kind, Sealed, digest
from evenhand.data._columns import Table
from evenhand.data._dealing import group_of
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from evenhand.batch import Split
    from evenhand.inputs.text import Tokens
    from evenhand.inputs.tokenizing import Tokenizing

FROM_SCRATCH: Mapping[str, Any] = {
    "encoder": "text_mean",
    "epochs": 10,
    "batch_size": 128,
    "optimizer": "adam",
    "lr": 1e-3,
}
FINE_TUNED: Mapping[str, Any] = {
    "weights": "pretrained",
    "epochs": 3,
    "batch_size": 32,
    "optimizer": "adamw",
    "lr": 2e-5,
    "clip": 1.0,
}
# Where all classes begin with the same mean features, a classifier frozen at their directions cannot be learned for.
WARM_START: Mapping[str, Mapping[str, Any]] = {"ncdebias": {"warm_start": 1}}


@dataclass(frozen=True)
class Listing:
    """What a reader found: N texts (or pairs of them) with their labels, each in one part.

    Attributes:
        texts: N texts.
        labelled: classes and attributes of the N texts.
        parts: (N,) index into `PARTS` (train, val, test); -1 leaves a text out.
        pairs: N second texts, or None where there are none.
        source: the file, for messages.
        notes: what the user should know of the reading, one sentence each.
    """

    texts: list[str]
    labelled: Labelled
    parts: Codes
    pairs: list[str] | None = None
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextSet(DataSet):
    """A data set of texts.

    Attributes:
        tokenizer: `words` learns lower-case words on the training texts and needs no download; any other is a
            tokenizer of the Hugging Face hub by its name, or a local folder. The pretrained model of that name is then
            the recommended encoder.
        max_length: most tokens of a text, with the special ones; of a pair the longer text is cut first.
        vocabulary: most tokens that `words` learns.
    """

    kind: ClassVar[Kind] = "text"
    recommended: ClassVar[Mapping[str, Any]] = FROM_SCRATCH
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {}  # rows of each group by part or `all`, default options

    tokenizer: str = "words"
    max_length: int = 128
    vocabulary: int = 30_000

    @abstractmethod
    def listing(self, root: Path | None) -> Listing:
        """Every text of the data set, labelled.

        Raises:
            BadInput: files are missing or wrong; the message names file, line and column.
        """

    def load(self, root: Path | None) -> Data:
        """List, tokenise (or find the tokens in the cache) and split.

        Raises:
            BadInput: files are missing or wrong, the extra `text` is not installed, or the tokenizer is not found.
        """
        data = as_data(self.listing(root), self.tokenizing(), self.name(), settings(self.tokenizer, self.recommended))
        return replace(data, options=self.chosen_options())

    def check(self, root: Path | None) -> list[str]:
        """Where the files cannot be read, or groups have other sizes than published, one sentence each."""
        if self.folder:
            self.locate(root)
        try:
            listing = self.listing(root)
        except BadInput as error:
            return [str(error)]
        common = {field.name for field in fields(TextSet)}
        published = {} if set(self.chosen_options()) - common else self.published
        return [text for part, counts in published.items() for text in _differences(listing, part, counts)]

    def tokenizing(self) -> Tokenizing:
        """How texts become tokens; BadInput where an option is out of range."""
        from evenhand.inputs.tokenizing import Tokenizing

        return Tokenizing(self.tokenizer, self.max_length, self.vocabulary)


def settings(tokenizer: str, light: Mapping[str, Any] = FROM_SCRATCH) -> dict[str, Any]:
    """What is recommended: the `light` settings for `words`, else to fine-tune the tokenizer's own model."""
    return dict(light) if tokenizer == "words" else {"encoder": f"hf:{tokenizer}", **FINE_TUNED}


def as_data(listing: Listing, how: Tokenizing, name: str, recommended: Mapping[str, Any]) -> Data:
    """The texts, tokenised, as a data set called `name`.

    Raises:
        BadInput: a part has no texts, or see `tokenised`.
    """
    tokens = tokens_of(listing, how)
    train, val, test = in_splits(listing, tokens)
    return Data(
        name, train, val, Sealed(test), fingerprint(listing, tokens), recommended,
        recommended_options=WARM_START, notes=listing.notes,
    )  # fmt: skip


def tokens_of(listing: Listing, how: Tokenizing) -> Tokens:
    """The tokens of all texts.

    Raises:
        BadInput: a part has no texts, or see `tokenised`.
    """
    from evenhand.inputs.tokenizing import tokenised

    for part, name in enumerate(PARTS):
        if not (listing.parts == part).any():
            raise BadInput(f"the part {name!r} of {listing.source or 'the data'} has no texts")
    return tokenised(listing.texts, listing.parts == 0, how, pairs=listing.pairs)


def in_splits(listing: Listing, tokens: Tokens) -> list[Split]:
    """Train, val and test."""
    import torch

    from evenhand.inputs.text import TextInputs

    parts = [listing.parts == part for part in range(len(PARTS))]
    indices = [torch.from_numpy(np.flatnonzero(rows_N)) for rows_N in parts]
    return [
        listing.labelled.part(TextInputs(tokens, index), rows_N) for index, rows_N in zip(indices, parts, strict=True)
    ]


def fingerprint(listing: Listing, tokens: Tokens) -> str:
    """Hash of texts, tokens, labels and parts."""
    labelled = listing.labelled
    return digest(
        "\0".join(listing.texts).encode(), "\0".join(listing.pairs or ()).encode(), tokens.ids.numpy().data.cast("B"),
        tokens.offsets.numpy().tobytes(), tokens.vocabulary, tokens.max_length, labelled.y.tobytes(),
        labelled.attributes.tobytes(), listing.parts.tobytes(), labelled.classes, labelled.attribute_values,
    )  # fmt: skip


def _differences(listing: Listing, part: str, published: tuple[int, ...]) -> list[str]:
    """Groups whose rows in the part (or in `all` of them) are not as many as published."""
    labelled, rows_N = listing.labelled, listing.parts == PARTS.index(part) if part in PARTS else slice(None)
    values = list(product(labelled.classes, *labelled.attribute_values))
    if len(values) != len(published):
        return [f"{listing.source} has {len(values)} groups, published are {len(published)}"]
    heads = (labelled.label_name, *labelled.attribute_names)
    names = [", ".join(f"{head}={value}" for head, value in zip(heads, each, strict=True)) for each in values]
    count_G = np.bincount(group_of(labelled)[rows_N], minlength=len(names)).tolist()
    where = f"{part} has" if part in PARTS else "there are"
    return [
        f"{where} {got} texts of {name}, published are {count}"
        for name, got, count in zip(names, count_G, published, strict=True)
        if got != count
    ]


def texts_of(table: Table, column: str) -> list[str]:
    """The texts of a column; BadInput for another type, or where one is missing."""
    import polars as pl

    values = table.frame[column]
    if values.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise BadInput(f"the column {column!r} of {table.path} must hold texts, but is of type {values.dtype}")
    if (absent := values.is_null()).any():
        raise BadInput(
            f"{table.where(absent)}: {column} is missing ({absent.sum()} of {len(absent)} rows); choose "
            "missing = 'drop', or leave such rows out"
        )
    found: list[str] = values.cast(pl.String).to_list()
    return found
