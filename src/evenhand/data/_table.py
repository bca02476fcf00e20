"""Tables as tensors: numbers standardised on the training rows, categories one-hot, rows dealt to three splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenhand.data._base import Data, Sealed

if TYPE_CHECKING:
    from evenhand.batch import Inputs, Split

PARTS = ("train", "val", "test")
Floats = NDArray[np.float32]
Codes = NDArray[np.int64]


def standardised(values_NK: NDArray[np.float64], train_N: NDArray[np.bool_]) -> Floats:
    """(N, K) with mean 0 and standard deviation 1 over the training rows; a constant column becomes 0 there."""
    mean_K = values_NK[train_N].mean(axis=0)
    sd_K = values_NK[train_N].std(axis=0)
    # A constant column of large values has a rounding error for a deviation, not exactly 0.
    constant_K = sd_K <= 1e-9 * np.abs(mean_K)
    scaled: Floats = ((values_NK - mean_K) / np.where(constant_K, 1.0, sd_K)).astype(np.float32)
    return scaled


def one_hot(code_N: Codes, size: int) -> Floats:
    """(N, size) with a 1 at each row's code; a row with code -1 is all zeros."""
    hot: Floats = (code_N[:, None] == np.arange(size)).astype(np.float32)
    return hot


@dataclass(frozen=True)
class Labelled:
    """What becomes the labels of a split: codes of N rows, with the names of what they stand for.

    Attributes:
        y: (N,) class of each row.
        classes: the name of each class.
        attributes: (N, K) value of each attribute.
        attribute_names: K names.
        attribute_values: for each attribute the name of each value.
        label_name: of the label, where it is shown.
    """

    y: Codes
    classes: tuple[str, ...]
    attributes: Codes
    attribute_names: tuple[str, ...]
    attribute_values: tuple[tuple[str, ...], ...]
    label_name: str = "y"

    def split(self, x_NF: Floats, rows_N: NDArray[np.bool_]) -> Split:
        """The chosen rows of a table as a split."""
        import torch

        from evenhand.batch import TensorInputs

        return self.part(TensorInputs(torch.from_numpy(x_NF[rows_N])), rows_N)

    def part(self, inputs: Inputs, rows_N: NDArray[np.bool_]) -> Split:
        """The chosen rows as a split; `inputs` are theirs alone."""
        import torch

        from evenhand.batch import Split

        return Split(
            inputs=inputs,
            y=torch.from_numpy(self.y[rows_N]),
            n_classes=len(self.classes),
            attributes=torch.from_numpy(self.attributes[rows_N]) if self.attribute_names else None,
            attribute_sizes=tuple(len(values) for values in self.attribute_values),
            class_names=self.classes,
            attribute_names=self.attribute_names,
            attribute_values=self.attribute_values,
            label_name=self.label_name,
        )


def in_parts(
    name: str,
    columns: Sequence[Floats],
    labelled: Labelled,
    part_N: Codes,
    *,
    fingerprint: str,
    recommended: Mapping[str, Any],
    feature_names: Sequence[str],
) -> Data:
    """The table as a data set: `columns` (N, …) side by side as inputs, `part_N` an index into `PARTS`."""
    x_NF = np.concatenate(columns, axis=1)
    train, val, test = (labelled.split(x_NF, part_N == part) for part in range(len(PARTS)))
    return Data(name, train, val, Sealed(test), fingerprint, recommended, tuple(feature_names))
