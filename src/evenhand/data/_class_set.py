"""Image data without attributes, where the groups are the classes: validation cut from train, long tails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from evenhand.data._class_folders import Found
from evenhand.data._dealing import dealt
from evenhand.data._image_set import ImageOptions, Listing
from evenhand.data._table import Codes, Labelled
from evenhand.errors import BadInput

LEFT_OUT = -1  # part of the images that a long tail does without


@dataclass(frozen=True)
class ClassOptions(ImageOptions):
    """What can be chosen of images whose groups are their classes.

    Attributes:
        val_fraction: share of the official training part that becomes validation, within each class, in (0, 1).
        split_seed: of that cut, and of which images a long tail keeps.
        imbalance: make train long-tailed as in Cui et al. (2019) and Cao et al. (2019): `exponential` lets the classes
            shrink by a constant factor from the first to the last, `step` keeps the first half of them whole and makes
            the others equally small. Validation is cut before and, like test, stays as it is.
        imbalance_factor: rows of the largest class of a long tail for each row of the smallest, at least 1.
    """

    val_fraction: float = 0.1
    split_seed: int = 0
    imbalance: Literal["none", "exponential", "step"] = "none"
    imbalance_factor: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.val_fraction < 1:
            raise BadInput(f"val_fraction must lie between 0 and 1, got {self.val_fraction}")
        if self.split_seed < 0:
            raise BadInput(f"split_seed must not be negative, got {self.split_seed}")
        if self.imbalance_factor < 1:
            raise BadInput(f"imbalance_factor must be at least 1, got {self.imbalance_factor}")

    def parts(self, y_N: Codes, official_N: Codes, n_classes: int) -> Codes:
        """(N,) index into `PARTS`, or `LEFT_OUT`.

        Args:
            official_N: part of each image as published; where no image is in val (1), some of train are moved there.
        """
        part_N = official_N.copy()
        train = np.flatnonzero(part_N == 0)
        if not (part_N == 1).any():
            part_N[train] = dealt(y_N[train], (1 - self.val_fraction, self.val_fraction, 0.0), self.split_seed)
            train = np.flatnonzero(part_N == 0)
        if self.imbalance != "none":
            count_C = np.bincount(y_N[train], minlength=n_classes)
            keep_C = long_tail(count_C, self.imbalance, self.imbalance_factor)
            part_N[train[~first_of_each(y_N[train], keep_C, self.split_seed)]] = LEFT_OUT
        return part_N


def long_tail(count_C: Codes, kind: str, ratio: float) -> Codes:
    """(C,) rows to keep of each class, the first class largest and the last `ratio` times smaller.

    `exponential`: `max(count) * ratio ** (-c / (C - 1))`; `step`: `max(count)` for the first half, `max(count) / ratio`
    for the rest. Rounded down; at least 1 and at most what there is.
    """
    n_classes = len(count_C)
    place_C = np.arange(n_classes) / max(n_classes - 1, 1)
    shrink_C = place_C if kind == "exponential" else (np.arange(n_classes) >= n_classes // 2).astype(float)
    # A product such as 500 * 0.01 must not be cut to 4 by its rounding error.
    wanted_C = np.floor(count_C.max() * ratio**-shrink_C + 1e-9).astype(np.int64)
    kept: Codes = np.minimum(np.maximum(wanted_C, 1), count_C)
    return kept


def first_of_each(y_N: Codes, keep_C: Codes, seed: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(N,) true for so many random rows of each class; fewer keep a part of what more would keep."""
    order = np.random.default_rng([seed, 1]).permutation(len(y_N))
    order = order[np.argsort(y_N[order], kind="stable")]
    count_C = np.bincount(y_N, minlength=len(keep_C))
    start_C = np.cumsum(count_C) - count_C
    chosen_N = np.zeros(len(y_N), dtype=bool)
    chosen_N[order] = np.arange(len(order)) - start_C[y_N[order]] < keep_C[y_N[order]]
    return chosen_N


def by_class(y_N: Codes, classes: tuple[str, ...], label_name: str = "class") -> Labelled:
    """Labels without attributes."""
    return Labelled(y_N, classes, np.zeros((len(y_N), 0), dtype=np.int64), (), (), label_name)


def listed(
    folder: Path, found: Found, classes: tuple[str, ...], part_N: Codes, *, inside: tuple[str, ...] = ("",)
) -> Listing:
    """The images that are in a part, as what an image set reads."""
    kept = np.flatnonzero(part_N != LEFT_OUT)
    return Listing(
        folder,
        tuple(found.paths[row] for row in kept),
        by_class(found.y[kept], classes),
        part_N[kept],
        found.notes,
        left_out=tuple(found.paths[row] for row in np.flatnonzero(part_N == LEFT_OUT)),
        inside=inside,
    )
