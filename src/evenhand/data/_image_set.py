"""Data sets of image files: a reader lists files, labels and parts; the rest is the same for all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evenhand.data._base import Data, DataSet, Kind, Sealed, digest
from evenhand.data._dealing import group_of
from evenhand.data._metadata import files_below
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

ENDINGS = (".jpg", ".jpeg", ".png")
MOST_NAMED = 5


@dataclass(frozen=True)
class Listing:
    """What a reader found: N images with their labels, each in one part.

    Attributes:
        folder: that all paths are below.
        paths: N POSIX paths relative to `folder`, each once.
        labelled: classes and attributes of the N images.
        parts: (N,) index into `PARTS` (train, val, test).
        notes: what the user should know of the reading, one sentence each.
        left_out: paths of images that have a row but are not among the N; the notes say why.
        inside: folders below `folder`, each with a `/` at its end, of which every image should have a row.
        source: what says which part an image is in, for errors.
    """

    folder: Path
    paths: tuple[str, ...]
    labelled: Labelled
    parts: Codes
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    inside: tuple[str, ...] = ("",)
    source: str = ""


@dataclass(frozen=True)
class ImageOptions(DataSet):
    """What can be chosen of any data set of images, in files or arrays.

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
    recommended_options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ncdebias": {"warm_start": 5},
        # Features of random weights say nothing of hidden groups, and those of a long training know every row by heart.
        **{method: {"erm_epochs": 5} for method in ("clusterfix", "bpa", "george")},
    }
    window: ClassVar[int | None] = None  # central pixels that are cut out of every file's image first
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {}  # rows of each group by part or `all`, default options
    published_images: ClassVar[int] = 0  # in the folder, also those left out; 0 where it is not known

    size: int = 64
    stored: int | None = None
    fit: Literal["squash", "crop"] = "squash"
    augment: str = "crop+flip"
    cache: Literal["disk", "none"] = "disk"
    skip_bad: bool = False

    def chosen_options(self) -> dict[str, Any]:
        """Those that make other data: from where the pixels are read is none of them."""
        return {name: value for name, value in super().chosen_options().items() if name != "cache"}

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BadInput(f"size must be at least 1 pixel, got {self.size}")
        if self.stored is not None and self.stored < self.size:
            raise BadInput(f"stored must be at least size ({self.size}), got {self.stored}")
        if getattr(self, "split_seed", 0) < 0:
            raise BadInput(f"split_seed must not be negative, got {getattr(self, 'split_seed', 0)}")


@dataclass(frozen=True)
class ImageSet(ImageOptions):
    """A data set of image files."""

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
        return self.read(self.listing(root))

    def read(self, listing: Listing) -> Data:
        """Decode the images of a listing, or find them in the cache, and split them.

        Raises:
            BadInput: an image cannot be read, a part is empty, or a class is not in train.
        """
        from evenhand.inputs.augmentation import augmentation
        from evenhand.inputs.cache import cached
        from evenhand.inputs.decoding import Preparation
        from evenhand.inputs.images import ImageInputs
        from evenhand.inputs.streaming import streamed

        augment = augmentation(self.augment, self.size)
        read = cached if self.cache == "disk" else streamed
        preparation = Preparation(self.stored or self.size, self.fit, self.window)
        decoded = read(listing.folder, listing.paths, preparation, skip_bad=self.skip_bad)
        good_N = np.ones(len(listing.paths), dtype=bool)
        good_N[list(decoded.bad)] = False
        _check_every_class_in_train(listing, good_N)
        splits = []
        for part, part_name in enumerate(PARTS):
            rows_N = (listing.parts == part) & good_N
            if not rows_N.any():
                raise BadInput(f"the part {part_name!r} of {listing.folder} has no images{_by(listing)}")
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

    def check(self, root: Path | None) -> list[str]:
        """Where files and rows differ from what is published, and which files are no images, one sentence each.

        Every file is decoded, into the cache if that is not `none`.

        Raises:
            BadInput: there is nothing to check, because root, folder or files are missing.
        """
        self.locate(root)
        try:
            listing = self.listing(root)
        except BadInput as error:
            return [str(error)]
        return [*self._count_differences(listing), *_without_row(listing), *self._unreadable(listing)]

    def wanted(self) -> Mapping[str, tuple[int, ...]]:
        """The published rows of each group by part, or `all` for the parts together; empty where none are known."""
        common = {field.name for field in fields(ImageSet)}
        return {} if set(self.chosen_options()) - common else self.published

    def _count_differences(self, listing: Listing) -> list[str]:
        found, wanted = len(listing.paths) + len(listing.left_out), self.published_images
        texts = [f"{listing.folder} has {found} images, published are {wanted}"] if wanted not in (0, found) else []
        labelled, group_N = listing.labelled, group_of(listing.labelled)
        heads = (labelled.label_name, *labelled.attribute_names)
        names = [
            ", ".join(f"{head}={value}" for head, value in zip(heads, values, strict=True))
            for values in product(labelled.classes, *labelled.attribute_values)
        ]
        for part, counts in self.wanted().items():
            rows_N = listing.parts == PARTS.index(part) if part in PARTS else slice(None)
            count_G = np.bincount(group_N[rows_N], minlength=len(names)).tolist()
            where = f"{part} has" if part in PARTS else "there are"
            texts += [
                f"{where} {got} images of {name}, published are {count}"
                for name, got, count in zip(names, count_G, counts, strict=True)
                if got != count
            ]
        return texts

    def _unreadable(self, listing: Listing) -> list[str]:
        from evenhand.inputs.cache import cached
        from evenhand.inputs.decoding import Preparation, decode

        preparation, texts = Preparation(self.stored or self.size, self.fit, self.window), []
        if self.cache == "disk":
            try:
                texts = list(cached(listing.folder, listing.paths, preparation, skip_bad=True).bad.values())
            except BadInput as error:
                texts = [str(error)]
        else:
            for path in listing.paths:
                try:
                    decode(listing.folder / path, preparation)
                except BadInput as error:
                    texts.append(str(error))
        return shortened(texts, "files that are no images")

    def fingerprint(self, listing: Listing, good_N: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
        """Hash of the files' names and sizes, of labels, parts and options; contents are not read."""
        sizes = [(listing.folder / path).stat().st_size for path in listing.paths]
        labelled = listing.labelled
        return digest(
            repr(listing.paths), repr(sizes), labelled.y.tobytes(), labelled.attributes.tobytes(),
            listing.parts.tobytes(), good_N.tobytes(), self.size, self.stored, self.fit, self.window, self.augment,
        )  # fmt: skip


def shortened(texts: Sequence[str], what: str) -> list[str]:
    """The first few texts, and how many more there are of `what`."""
    more = len(texts) - MOST_NAMED
    return [*texts[:MOST_NAMED], *([f"and {more} more {what}"] if more > 0 else [])]


def _without_row(listing: Listing) -> list[str]:
    """The images that no row names."""
    known = {*listing.paths, *listing.left_out}
    there = {path for path in files_below(listing.folder) if path.startswith(listing.inside)}
    stray = sorted(path for path in there - known if path.lower().endswith(ENDINGS))
    return shortened([f"{listing.folder / path} has no row" for path in stray], "images without a row")


def _check_every_class_in_train(listing: Listing, good_N: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    labelled = listing.labelled
    count_C = np.bincount(labelled.y[good_N & (listing.parts == 0)], minlength=len(labelled.classes))
    if count_C.any() and count_C.min() == 0:
        lost = labelled.classes[int(count_C.argmin())]
        raise BadInput(
            f"no image of train in {listing.folder} is of the class {labelled.label_name}={lost}, "
            f"so nothing can be learned of it{_by(listing)}"
        )


def _by(listing: Listing) -> str:
    return f" (parts are those of {listing.source})" if listing.source else ""


def _indices(rows_N: np.ndarray[Any, np.dtype[np.bool_]]) -> Any:
    import torch

    return torch.from_numpy(np.flatnonzero(rows_N))
