"""Data sets of image files: a reader lists files, labels and parts; the rest is the same for all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evenhand.data._base import Data, DataSet, Kind, Sealed, digest
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.errors import BadInput

FROM_SCRATCH: Mapping[str, Any] = {
    "encoder": "resnet10_small",
    "epochs": 15,
    "batch_size": 64,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-3,
    "schedule": "onecycle",
}


@dataclass(frozen=True)
class Listing:
    """What a reader found: N images with their labels, each in one part.

    Attributes:
        folder: that all paths are below.
        paths: N POSIX paths relative to `folder`, each once.
        labelled: classes and attributes of the N images.
        parts: (N,) index into `PARTS` (train, val, test).
        notes: what the user should know of the reading, one sentence each.
    """

    folder: Path
    paths: tuple[str, ...]
    labelled: Labelled
    parts: Codes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageSet(DataSet):
    """A data set of image files.

    Attributes:
        size: pixels a side of what the encoder is given.
        stored: pixels a side of what is decoded from the files; evaluation takes the centre `size` of them, and random
            crops have more to choose from. None is `size`.
        fit: `squash` resizes both sides to `stored`; `crop` resizes the shorter one and cuts the middle out.
        augment: what training images go through, joined by `+` (such as `crop+flip`), or `none`.
        cache: `disk` decodes every file once into a memory-mapped file in the cache folder (`EVENHAND_CACHE`); `none`
            reads files anew in every epoch.
        skip_bad: leave out files that are no images, and say which; otherwise the first of them is an error.
    """

    kind: ClassVar[Kind] = "images"
    recommended: ClassVar[Mapping[str, Any]] = FROM_SCRATCH
    recommended_options: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ncdebias": {"warm_start": 5}}
    window: ClassVar[int | None] = None  # central pixels that are cut out of every file's image first
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {}  # rows of each group by part, with default options

    size: int = 64
    stored: int | None = None
    fit: Literal["squash", "crop"] = "squash"
    augment: str = "crop+flip"
    cache: Literal["disk", "none"] = "disk"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BadInput(f"size must be at least 1 pixel, got {self.size}")
        if self.stored is not None and self.stored < self.size:
            raise BadInput(f"stored must be at least size ({self.size}), got {self.stored}")

    @abstractmethod
    def listing(self, root: Path | None) -> Listing:
        """Every image of the data set, labelled; files need not be opened, but must be there.

        Raises:
            BadInput: files are missing or wrong; the message names file, row and column.
        """

    def load(self, root: Path | None) -> Data:
        """List, decode (or find in the cache) and split.

        Raises:
            BadInput: files are missing or wrong; the message names file, row and column.
        """
        from evenhand.inputs.augmentation import augmentation
        from evenhand.inputs.cache import cached
        from evenhand.inputs.decoding import Preparation
        from evenhand.inputs.images import ImageInputs
        from evenhand.inputs.streaming import streamed

        augment = augmentation(self.augment, self.size)
        listing = self.listing(root)
        read = cached if self.cache == "disk" else streamed
        preparation = Preparation(self.stored or self.size, self.fit, self.window)
        decoded = read(listing.folder, listing.paths, preparation, skip_bad=self.skip_bad)
        good_N = np.ones(len(listing.paths), dtype=bool)
        good_N[list(decoded.bad)] = False
        splits = []
        for part, part_name in enumerate(PARTS):
            rows_N = (listing.parts == part) & good_N
            if not rows_N.any():
                raise BadInput(f"the part {part_name!r} of {listing.folder} has no images")
            inputs = ImageInputs(decoded.pixels, _indices(rows_N), self.size, augment if part_name == "train" else None)
            splits.append(listing.labelled.part(inputs, rows_N))
        return Data(
            self.name(),
            splits[0],
            splits[1],
            Sealed(splits[2]),
            self.fingerprint(listing, good_N),
            self.recommended,
            recommended_options=self.recommended_options,
            options=self.chosen_options(),
            notes=(*listing.notes, *(f"left out: {text}" for text in decoded.bad.values())),
        )

    def fingerprint(self, listing: Listing, good_N: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
        """Hash of the files' names and sizes, of labels, parts and options; contents are not read."""
        sizes = [(listing.folder / path).stat().st_size for path in listing.paths]
        labelled = listing.labelled
        return digest(
            repr(listing.paths), repr(sizes), labelled.y.tobytes(), labelled.attributes.tobytes(),
            listing.parts.tobytes(), good_N.tobytes(), self.size, self.stored, self.fit, self.window, self.augment,
        )  # fmt: skip


def _indices(rows_N: np.ndarray[Any, np.dtype[np.bool_]]) -> Any:
    import torch

    return torch.from_numpy(np.flatnonzero(rows_N))
