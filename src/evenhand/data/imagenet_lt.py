"""ImageNet-LT: ImageNet's training images with a long tail over its thousand classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evenhand.data._base import read_text
from evenhand.data._class_set import by_class
from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import leaves
from evenhand.data._table import PARTS
from evenhand.data.imagenet import N_CLASSES, RESNET, Imagenet, described
from evenhand.errors import BadInput

PUBLISHED = {"train": 115_846, "val": 20_000, "test": 50_000}


@dataclass(frozen=True)
class ImagenetLt(ImageSet):
    """115,846 training images, 1,280 of the largest and 5 of the smallest class; validation and test are balanced.

    Liu et al. (2019), Large-scale long-tailed recognition in an open world. The lists name images of the data set
    `imagenet`, which must be there too.
    """

    title: ClassVar[str] = "ImageNet-LT: a thousand classes with a long tail"
    homepage: ClassVar[str] = "https://github.com/zhmiao/OpenLongTailRecognition-OLTR"
    licence: ClassVar[str] = Imagenet.licence
    folder: ClassVar[str] = "ImageNet_LT"
    other_folders: ClassVar[tuple[str, ...]] = ("imagenet/ImageNet_LT", "imagenet_lt")
    files: ClassVar[tuple[str, ...]] = tuple(f"ImageNet_LT_{part}.txt" for part in PARTS)
    steps: ClassVar[str] = (
        "Get ImageNet (see `evenhand data info imagenet`)\n"
        "Download the three lists from the folder that the page links to, into ROOT/ImageNet_LT/"
    )
    recommended: ClassVar[Mapping[str, Any]] = {**RESNET, "schedule": "cosine"}

    size: int = 224
    stored: int | None = 256
    fit: Literal["squash", "crop"] = "crop"
    augment: str = "resized-crop+flip"

    def listing(self, root: Path | None) -> Listing:
        """The images that the three lists name, each line with a path and a class in 0..999."""
        lists = self.locate(root)
        images = Imagenet().home(root)
        rows = [(path, y, part) for part, file in enumerate(lists) for path, y in read_list(file, images)]
        paths = tuple(path for path, _, _ in rows)
        twice, times = Counter(paths).most_common(1)[0]
        if times > 1:
            raise BadInput(f"{lists[0].parent} names the image {twice} twice")
        wnids: dict[int, str] = {}
        for path, y, _ in rows:
            wnid = wnid_in(path)
            if wnid and wnids.setdefault(y, wnid) != wnid:
                raise BadInput(f"{lists[0].parent} gives the class {y} to images of both {wnids[y]} and {wnid}")
        classes = [wnids.get(y, str(y)) for y in range(max(y for _, y, _ in rows) + 1)]
        labelled = by_class(np.array([y for _, y, _ in rows]), described(images, tuple(classes)))
        parts = np.array([part for _, _, part in rows])
        return Listing(images, paths, labelled, parts, source=str(lists[0].parent))

    def check(self, root: Path | None) -> list[str]:
        """Where the numbers of images and classes differ from what is published; files are not decoded."""
        self.locate(root)
        try:
            listing = self.listing(root)
        except BadInput as error:
            return [str(error)]
        found = {part: int((listing.parts == number).sum()) for number, part in enumerate(PARTS)}
        texts = [f"{part} has {found[part]} images, published are {PUBLISHED[part]}" for part in PARTS]
        texts = [text for part, text in zip(PARTS, texts, strict=True) if found[part] != PUBLISHED[part]]
        n_classes = len(listing.labelled.classes)
        return texts + ([f"there are {n_classes} classes, published are {N_CLASSES}"] if n_classes != N_CLASSES else [])


def read_list(file: Path, images: Path) -> list[tuple[str, int]]:
    """Path and class of every line; a validation image that is not in a folder of its class is looked for in `val/`.

    Raises:
        BadInput: a line is not a path and a class, or its image is not there; the message names file and line.
    """
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        path, _, text = line.strip().rpartition(" ")
        if not path or not text.isdecimal() or not text.isascii() or int(text) >= N_CLASSES:
            raise BadInput(f"{file}, line {number}: wanted a path and a class in 0..{N_CLASSES - 1}, got {line!r}")
        if leaves(path):
            raise BadInput(f"{file}, line {number}: wanted a path inside {images}, got {path!r}")
        flat = f"val/{path.rpartition('/')[2]}"
        there = next((each for each in (path, flat) if (images / each).is_file()), None)
        if there is None:
            raise BadInput(f"{file}, line {number}: there is no image {images / path}")
        rows.append((there, int(text)))
    if not rows:
        raise BadInput(f"{file} names no image")
    return rows


def wnid_in(path: str) -> str:
    """The folder of the class, such as `n01440764`, that a path goes through; empty for flat validation images."""
    folder = path.split("/")[-2]
    return folder if folder.startswith("n") and folder[1:].isdecimal() else ""
