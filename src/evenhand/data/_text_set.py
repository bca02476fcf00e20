"""Data sets of texts: a reader lists texts, labels and parts; the rest is the same for all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evenhand.data._base import Data, DataSet, Sealed, digest
from evenhand.data._dealing import group_of
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from evenhand.batch import Split
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
        return self.of_texts(self.listing(root), self.name())

    def check(self, root: Path | None) -> list[str]:
        """Where the files cannot be read, or groups have other sizes than published, one sentence each."""
        self.locate(root)
        try:
            listing = self.listing(root)
        except BadInput as error:
            return [str(error)]
        common = {field.name for field in fields(TextSet)}
        published = {} if set(self.chosen_options()) - common else self.published
        return [text for part, counts in published.items() for text in _differences(listing, part, counts)]

    def of_texts(self, listing: Listing, name: str, training: Mapping[str, Any] | None = None) -> Data:
        """The texts as a data set called `name`, with settings that go before those recommended for the tokenizer."""
        how = self.tokenizing()
        train, val, test = in_splits(listing, how)
        return Data(
            name, train, val, Sealed(test), fingerprint(listing, how), {**self.settings(), **(training or {})},
            options=self.chosen_options(), notes=listing.notes,
        )  # fmt: skip

    def tokenizing(self) -> Tokenizing:
        """How texts become tokens; BadInput where an option is out of range."""
        from evenhand.inputs.tokenizing import Tokenizing

        return Tokenizing(self.tokenizer, self.max_length, self.vocabulary)

    def settings(self) -> dict[str, Any]:
        """What is recommended: a light encoder for `words`, else to fine-tune the tokenizer's own model."""
        if self.tokenizer == "words":
            return dict(self.recommended)
        return {"encoder": f"hf:{self.tokenizer}", **FINE_TUNED}


def in_splits(listing: Listing, how: Tokenizing) -> list[Split]:
    """Train, val and test of tokenised texts.

    Raises:
        BadInput: a part has no texts, or see `tokenised`.
    """
    import torch

    from evenhand.inputs.text import TextInputs
    from evenhand.inputs.tokenizing import tokenised

    rows = [np.flatnonzero(listing.parts == part) for part in range(len(PARTS))]
    for name, rows_M in zip(PARTS, rows, strict=True):
        if not len(rows_M):
            raise BadInput(f"the part {name!r} of {listing.source or 'the data'} has no texts")
    tokens = tokenised(listing.texts, listing.parts == 0, how, pairs=listing.pairs)
    return [
        listing.labelled.part(TextInputs(tokens, torch.from_numpy(rows_M)), listing.parts == part)
        for part, rows_M in enumerate(rows)
    ]


def fingerprint(listing: Listing, how: Tokenizing) -> str:
    """Hash of texts, labels, parts and how texts are tokenised."""
    labelled = listing.labelled
    return digest(
        "\0".join(listing.texts).encode(), "\0".join(listing.pairs or ()).encode(), labelled.y.tobytes(),
        labelled.attributes.tobytes(), listing.parts.tobytes(), labelled.classes, labelled.attribute_values, how,
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
