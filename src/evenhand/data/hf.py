"""Data sets of the Hugging Face hub, or local ones that the library datasets reads: `hf:NAME` or `hf:FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evenhand.data._arrays import Arrays
from evenhand.data._arrays import as_data as as_image_data
from evenhand.data._base import Data, Kind, digest
from evenhand.data._columns import Table, encoded
from evenhand.data._dealing import dealt, group_of
from evenhand.data._description import TRAINING, Description
from evenhand.data._hub import LEFT_OUT, as_table, decoded, in_parts, opened
from evenhand.data._image_set import FROM_SCRATCH as IMAGES
from evenhand.data._image_set import ImageOptions
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.data._table import in_parts as table_in_parts
from evenhand.data._text_set import Listing, settings, texts_of
from evenhand.data._text_set import as_data as as_text_data
from evenhand.data.csv import check_every_class_in_train, label, without_missing
from evenhand.errors import BadInput


@dataclass(frozen=True)
class Hf(ImageOptions):
    """A data set `hf:ITEM` with texts, images or a table as inputs.

    Of texts the options of `TextSet` count, of images those of `ImageOptions` (they are decoded once, into the cache
    folder); numbers are standardised and categories one-hot, as in any table.

    Attributes:
        item: name on the hub; a folder that `save_to_disk` wrote; or a folder of parquet, CSV or JSON files. Folders
            are looked for below the root, too.
        config: which configuration of a data set that has several.
        label: the column to predict.
        positive: the label's value that becomes class 1, of two classes.
        attributes: sensitive or spurious columns, crossed into groups.
        text: a column of texts that are the inputs.
        text_pair: a column of second texts.
        image: a column of images that are the inputs; without `text`, `image` and `features` the only one there is.
        features: columns of a table that are the inputs; without any of these options all columns of numbers.
        parts: the splits for train, val and test; of a name left empty (`train,,test`) rows are dealt out of train. By
            default those that are called so; validation is the test where there is no test.
        fractions: shares of train, val and test; where test is a split of its own, val has its share of the other two.
        split_seed: of dealing rows, alike in every group.
        tokenizer: see `TextSet`, as the following ones.
        max_length: most tokens of a text.
        vocabulary: most tokens that `words` learns.
    """

    kind: ClassVar[Kind] = "own"
    title: ClassVar[str] = "Data sets of the Hugging Face hub: hf:NAME or hf:FOLDER"
    homepage: ClassVar[str] = "https://huggingface.co/datasets"
    licence: ClassVar[str] = "see the data set's card"
    recommended: ClassVar[Mapping[str, Any]] = TRAINING
    recommended_options: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    item: str = ""
    config: str = ""
    label: str = "label"
    positive: str = ""
    attributes: tuple[str, ...] = ()
    text: str = ""
    text_pair: str = ""
    image: str = ""
    features: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    fractions: tuple[float, ...] = (0.6, 0.2, 0.2)
    split_seed: int = 0
    tokenizer: str = "words"
    max_length: int = 128
    vocabulary: int = 30_000

    def load(self, root: Path | None) -> Data:
        """Open, label and split; of texts and images the tokens or bytes are cached.

        Raises:
            BadInput: there is no such data set, or a column is missing or of another kind than wanted.
        """
        if not self.item:
            raise BadInput("hf needs the name of a data set or a folder: hf:NAME or hf:FOLDER")
        if sum(map(bool, (self.text, self.image, self.features))) > 1:
            raise BadInput("inputs are texts, images or the columns of a table: choose one of text, image and features")
        rows, given_N = in_parts(opened(self.item, self.config, root), self.parts, self.item)
        image = self.image or self._only_image(rows)
        inputs = [] if image else self._columns(rows)
        described = Description(
            f"hf:{self.item}", self.label, self.positive, self.attributes, tuple(inputs),
            fractions=self.fractions, seed=self.split_seed,
        )  # fmt: skip
        table = as_table(rows, [self.label, *self.attributes, *inputs], self.item)
        table = without_missing(table, described, inputs)
        labelled = label(table, described)
        part_N = self._parts(given_N, labelled)
        check_every_class_in_train(table, described, labelled, part_N)
        if image:
            data = self._of_images(rows, image, labelled, part_N)
        elif self.text:
            data = self._of_texts(table, labelled, part_N)
        else:
            data = _of_table(table, described, labelled, part_N)
        options = {name: value for name, value in self.chosen_options().items() if name != "item"}
        return replace(data, name=f"hf:{self.item}", options=options)

    def _only_image(self, rows: Any) -> str:
        """The column of images, where no inputs are named and there is one such column."""
        from datasets import Image

        found = [name for name, feature in rows.features.items() if isinstance(feature, Image)]
        return found[0] if len(found) == 1 and not self.text and not self.features else ""

    def _columns(self, rows: Any) -> list[str]:
        """The columns of texts or of the table; BadInput if none is named and none is of numbers."""
        if self.text:
            return [self.text, *([self.text_pair] * bool(self.text_pair))]
        named = (self.label, *self.attributes)
        numbers = [
            name
            for name, feature in rows.features.items()
            if name not in named and getattr(feature, "dtype", "").startswith(("int", "uint", "float", "bool"))
        ]
        if not self.features and not numbers:
            raise BadInput(
                f"hf:{self.item} has no columns of numbers to be features; choose text, image or features among "
                f"{', '.join(rows.column_names)}"
            )
        return list(self.features) or numbers

    def _parts(self, given_N: Codes, labelled: Labelled) -> Codes:
        """(N,) index into `PARTS`: parts without a split of their own are dealt out of train."""
        train_N = given_N == 0
        share = np.array(
            [share if part == 0 or not (given_N == part).any() else 0.0 for part, share in enumerate(self.fractions)]
        )
        if share[1:].any():
            given_N[train_N] = dealt(group_of(labelled)[train_N], share / share.sum(), self.split_seed)
        for part, name in enumerate(PARTS):
            if not (given_N == part).any():
                raise BadInput(f"the part {name!r} of hf:{self.item} has no rows")
        return given_N

    def _of_texts(self, table: Table, labelled: Labelled, part_N: Codes) -> Data:
        from evenhand.inputs.tokenizing import Tokenizing

        texts = [texts_of(table, column) for column in self._columns(None)]
        pairs = texts[1] if self.text_pair else None
        how = Tokenizing(self.tokenizer, self.max_length, self.vocabulary)
        listing = Listing(texts[0], labelled, part_N, pairs=pairs, source=f"hf:{self.item}")
        return as_text_data(listing, how, self.name(), settings(self.tokenizer))

    def _of_images(self, rows: Any, column: str, labelled: Labelled, part_N: Codes) -> Data:
        pixels, bad = decoded(rows, column, self.stored or self.size, self.fit, self.item)
        if bad and not self.skip_bad:
            raise BadInput(f"{next(iter(bad.values()))}; skip_bad=true leaves such rows out ({len(bad)})")
        part_N[list(bad)] = LEFT_OUT
        notes = tuple(f"left out: {text}" for text in bad.values())
        data = as_image_data(self, Arrays(pixels, labelled, part_N, f"hf:{self.item}", notes), self.name())
        return replace(data, recommended=IMAGES, recommended_options=ImageOptions.recommended_options)


def _of_table(table: Table, described: Description, labelled: Labelled, part_N: Codes) -> Data:
    columns = [encoded(table, name, part_N == 0, described) for name in described.features]
    values = [inputs for inputs, _ in columns]
    return table_in_parts(
        "", values, labelled, part_N, recommended=TRAINING,
        fingerprint=digest(*(each.tobytes() for each in values), labelled.y.tobytes(), labelled.attributes.tobytes(),
                           labelled.classes, labelled.attribute_values, part_N.tobytes()),
        feature_names=[name for _, names in columns for name in names],
    )  # fmt: skip
