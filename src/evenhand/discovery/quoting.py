"""The texts behind token ids, which a split does not keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from evenhand import data as data_sets
from evenhand.batch import RowsOf
from evenhand.data import CHANGES
from evenhand.data._base import Data, default_root
from evenhand.inputs.text import TextInputs


def texts_of(data: Data, name: str, root: str | Path | None, options: dict[str, Any]) -> Callable[[str], Sequence[str]]:
    """For train and val, the text of each row; pairs are joined by ` | `.

    Args:
        name, root, options: by which `data` were loaded.
    """
    from evenhand.data._text_set import TextSet

    own = {key: value for key, value in options.items() if key not in CHANGES}
    data_set = data_sets.open_set(name, **own)
    assert isinstance(data_set, TextSet)
    listing = data_set.listing(default_root(root))
    first, second = listing.texts, listing.pairs

    def texts(part: str) -> list[str]:
        inputs = {"train": data.train, "val": data.val}[part].inputs
        rows = torch.arange(len(inputs))
        while isinstance(inputs, RowsOf):
            rows, inputs = inputs.index[rows], inputs.inputs
        if isinstance(inputs, TextInputs) and inputs.index is not None:
            rows = inputs.index[rows]
        return [first[row] if second is None else f"{first[row]} | {second[row]}" for row in rows.tolist()]

    return texts


def are_texts(data: Data) -> bool:
    """Whether inputs are token ids."""
    inputs = data.train.inputs
    while isinstance(inputs, RowsOf):
        inputs = inputs.inputs
    return isinstance(inputs, TextInputs)
