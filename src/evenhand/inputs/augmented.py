"""A split whose training images go through another augmentation than the data set's own."""

from __future__ import annotations

from dataclasses import replace

import torch

from evenhand.batch import Inputs, RowsOf, Split
from evenhand.errors import BadInput
from evenhand.inputs.augmentation import augmentation
from evenhand.inputs.images import ImageInputs


def augmented(split: Split, text: str) -> Split:
    """The same rows, augmented as `text` names it (see `inputs.augmentation`).

    Raises:
        BadInput: an unknown name, or inputs that are no images.
    """
    return replace(split, inputs=_augmented(split.inputs, text))


def _augmented(inputs: Inputs, text: str) -> Inputs:
    if isinstance(inputs, RowsOf):
        return RowsOf(_augmented(inputs.inputs, text), inputs.index)
    if not isinstance(inputs, ImageInputs):
        raise BadInput(f"augment={text} is for images; these inputs are none")
    size = inputs.size or inputs.take(torch.zeros(1, dtype=torch.int64)).shape[-1]
    return replace(inputs, augmentation=augmentation(text, size))
