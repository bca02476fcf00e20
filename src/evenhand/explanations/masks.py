"""Where the object is in each image: told by the data set, or by files of masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evenhand import data as data_sets
from evenhand.batch import RowsOf, Split
from evenhand.data import CHANGES
from evenhand.data._base import DataSet, default_root
from evenhand.data._image_set import ImageSet
from evenhand.errors import BadInput
from evenhand.inputs.augmentation import centre
from evenhand.inputs.decoding import Preparation, decode
from evenhand.inputs.images import ImageInputs

Masks = NDArray[np.bool_]
Found = Callable[[Sequence[int]], tuple[Masks, NDArray[np.bool_]]]
HALF = 128  # of 255: from here on a pixel belongs to the object
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
ENDINGS = ("", "_segmentation", "_mask")  # after an image's name, in the name of its mask


def opened(name: str, options: Mapping[str, Any]) -> DataSet:
    """The data set behind loaded data, by which they were asked for."""
    return data_sets.open_set(name, **{key: value for key, value in options.items() if key not in CHANGES})


def of_data(data_set: DataSet, part: str, split: Split) -> Found | None:
    """Masks that the data set itself has: `data_set.masks(part)` (M, height, width) bytes; None where it has none."""
    known = getattr(data_set, "masks", None)
    bytes_MHW = None if known is None else known(part)
    if bytes_MHW is None:
        return None

    def found(rows: Sequence[int]) -> tuple[Masks, NDArray[np.bool_]]:
        return bytes_MHW[_stored(split, rows)[0].numpy()] >= HALF, np.ones(len(rows), dtype=bool)

    return found


def of_folder(folder: Path, data_set: DataSet, root: Path | None, split: Split, size: tuple[int, int]) -> Found:
    """Masks in files: named as the images (`a/b.png` for `a/b.jpg`), or by the number of the row.

    Without its folder (`b.png`) a name counts where one mask and one image have it; `_segmentation` or `_mask` may
    follow it. What is at least half bright is the object. Files are brought to size as the images were.

    Args:
        size: height and width of an image.

    Raises:
        BadInput: there is no such folder, or it holds no pictures.
    """
    if not folder.is_dir():
        raise BadInput(f"--masks must be a folder of pictures, and {folder} is none")
    files = {path.relative_to(folder).with_suffix("").as_posix(): path
             for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES}  # fmt: skip
    if not files:
        raise BadInput(f"the folder of masks {folder} holds no pictures")
    paths = data_set.listing(default_root(root)).paths if isinstance(data_set, ImageSet) else ()
    # A name without its folder counts only where it belongs to one mask and to one image.
    alone = {Path(name).name: path for name, path in files.items()}
    alone = {name: alone[name] for name in _once(Path(name).name for name in files)}
    unique = _once(Path(path).stem for path in paths)
    preparation = Preparation(size[0])
    if isinstance(data_set, ImageSet):
        preparation = Preparation(data_set.stored or data_set.size, data_set.fit, data_set.window)

    def file_of(row: int, stored: int) -> Path | None:
        if paths:
            path = Path(paths[stored]).with_suffix("")
            for ending in ENDINGS:
                found = files.get(f"{path.as_posix()}{ending}")
                found = found or (alone.get(f"{path.name}{ending}") if path.name in unique else None)
                if found is not None:
                    return found
        return files.get(str(row))

    def found(rows: Sequence[int]) -> tuple[Masks, NDArray[np.bool_]]:
        masks = np.zeros((len(rows), *size), dtype=bool)
        known = np.zeros(len(rows), dtype=bool)
        for k, (row, stored) in enumerate(zip(rows, _stored(split, rows)[1].tolist(), strict=True)):
            file = file_of(row, stored)
            if file is not None:
                masks[k], known[k] = _mask(file, preparation, size), True
        return masks, known

    return found


def _once(names: Iterable[str]) -> set[str]:
    """Those that occur once."""
    return {name for name, count in Counter(names).items() if count == 1}


def _mask(file: Path, preparation: Preparation, size: tuple[int, int]) -> Masks:
    bytes_CHW = torch.from_numpy(decode(file, preparation))
    if bytes_CHW.shape[1:] != size:
        bytes_CHW = centre(bytes_CHW, size[0])
    return np.asarray((bytes_CHW.numpy() >= HALF).any(axis=0))


def _stored(split: Split, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of rows in their part as the data set has it, and in the list of all its images."""
    at, inputs = torch.tensor(list(rows), dtype=torch.int64), split.inputs
    while isinstance(inputs, RowsOf):
        at, inputs = inputs.index[at], inputs.inputs
    listed = inputs.index[at] if isinstance(inputs, ImageInputs) and inputs.index is not None else at
    return at, listed
