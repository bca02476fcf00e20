"""The files of CIFAR-10 and CIFAR-100: pickled dictionaries of images and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.data._pickles import labels, read_pickle
from evenhand.data._table import Codes
from evenhand.errors import BadInput

SIDE = 32
ADDRESS = "https://www.cs.toronto.edu/~kriz/"
LICENCE = "research use, subset of 80 Million Tiny Images"


def read_batch(path: Path, key: str, n_classes: int) -> tuple[NDArray[np.uint8], Codes]:
    """(N, 3, 32, 32) images of a file, and (N,) its list `key` of classes.

    Raises:
        BadInput: the file is not such a pickle; the message says what was wanted and got.
    """
    found = read_pickle(path)
    pixels = found.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != 3 * SIDE * SIDE or not len(pixels):
        got = f"shape {pixels.shape}" if isinstance(pixels, np.ndarray) else "none"
        raise BadInput(f"{path} must hold an array 'data' of shape (N, {3 * SIDE * SIDE}), got {got}")
    return pixels.reshape(-1, 3, SIDE, SIDE), labels(found, key, len(pixels), n_classes, path)


def read_parts(
    train: list[Path], test: list[Path], key: str, n_classes: int
) -> tuple[NDArray[np.uint8], Codes, NDArray[np.int64]]:
    """Images, classes and official part (0 train, 2 test) of all files."""
    batches = [(read_batch(path, key, n_classes), part) for paths, part in ((train, 0), (test, 2)) for path in paths]
    return (
        np.concatenate([pixels for (pixels, _), _ in batches]),
        np.concatenate([y for (_, y), _ in batches]),
        np.concatenate([np.full(len(y), part) for (_, y), part in batches]),
    )


def other_contents(folder: Path, md5: Mapping[str, str]) -> list[str]:
    """One sentence for each file whose MD5 is not the published one."""
    found = []
    for name, wanted in md5.items():
        with (folder / name).open("rb") as file:
            got = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if got != wanted:
            found.append(f"{folder / name} is not the official file: its MD5 is {got}, published is {wanted}")
    return found
