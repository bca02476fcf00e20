"""Classification data sets of torchvision, such as `torchvision:Food101`, read by its own readers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evenhand.data import _torchvision as tv
from evenhand.data._arrays import Arrays, as_data
from evenhand.data._base import Data, DataSet
from evenhand.data._class_folders import Found
from evenhand.data._class_set import ClassOptions, by_class, listed
from evenhand.data._dealing import dealt
from evenhand.data._image_set import ImageSet, Listing
from evenhand.errors import BadInput
from evenhand.options import pairs


@dataclass(frozen=True)
class Torchvision(ClassOptions, ImageSet):
    """Any data set of torchvision that gives each image one class: Food101, Flowers102, OxfordIIITPet, StanfordCars, …

    Files lie below the root as torchvision wants them; nothing is downloaded. Its parts are kept: where there is no
    validation part, it is cut from train; where there is no test part, its validation part is test; where there are no
    parts, images are dealt within each class. Images that are files are decoded into the cache as those of any data
    set; others are held in memory.

    Attributes:
        item: the name of torchvision's class, given as `torchvision:NAME`.
        arguments: further arguments of that class, such as `split=letters` for EMNIST.
        test_fraction: share of images that become test where torchvision has no parts, in (0, 1).
    """

    title: ClassVar[str] = "Data sets of torchvision with classes: torchvision:NAME"
    homepage: ClassVar[str] = "https://docs.pytorch.org/vision/stable/datasets.html"
    licence: ClassVar[str] = "each its own"
    steps: ClassVar[str] = (
        'Let torchvision get them: python -c "from torchvision import datasets; '
        "datasets.Food101('ROOT', download=True)\"\n"
        "Where it cannot, its documentation says which files belong below ROOT"
    )

    item: str = ""
    arguments: tuple[str, ...] = ()
    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.item:
            tv.find(self.item)
        if not 0 < self.test_fraction < 1 - self.val_fraction:
            raise BadInput(f"test_fraction must lie between 0 and 1 - val_fraction, got {self.test_fraction}")

    def load(self, root: Path | None) -> Data:
        """Let torchvision find the files, and read them.

        Raises:
            BadInput: no such data set, missing files, or no class for each image.
        """
        parts = self.parts_found(root)
        listing = self._listed(root, parts)
        if listing is None:
            classes, y_N = tv.classes_of(parts)
            side = self.stored or self.size
            pixels = np.concatenate([tv.pixels_of(part.reader, side, self.fit) for part in parts.values()])
            arrays = Arrays(pixels, by_class(y_N, classes), self._dealt(parts, y_N, len(classes)), f"{self.item}")
            data = as_data(self, arrays, "")
        else:
            data = self.read(listing)
        options = {key: value for key, value in data.options.items() if key != "item"}
        return replace(data, name=f"torchvision:{self.item}", options=options)

    def listing(self, root: Path | None) -> Listing:
        """The image files that torchvision lists.

        Raises:
            BadInput: the images of this data set are not files.
        """
        found = self._listed(root, self.parts_found(root))
        if found is None:
            raise BadInput(f"the images of torchvision:{self.item} are not files")
        return found

    def check(self, root: Path | None) -> list[str]:
        """What torchvision's reader or ours finds wrong, in one sentence; what is published is not known here."""
        return DataSet.check(self, root)

    def parts_found(self, root: Path | None) -> dict[str, tv.Part]:
        """The parts that torchvision offers, by their names here, or `all`."""
        return tv.parts_of(self.item, root, {key: as_value(text) for key, text in pairs(list(self.arguments)).items()})

    def _listed(self, root: Path | None, parts: dict[str, tv.Part]) -> Listing | None:
        paths = [tv.paths_of(part.reader, root) for part in parts.values()] if root else [None]
        known = [each for each in paths if each is not None]
        if root is None or len(known) < len(paths):
            return None
        classes, y_N = tv.classes_of(parts)
        found = Found(tuple(path for each in known for path in each), y_N)
        return listed(root, found, classes, self._dealt(parts, y_N, len(classes)), inside=())

    def _dealt(self, parts: dict[str, tv.Part], y_N: Any, n_classes: int) -> Any:
        part_N = tv.official(parts)
        if "all" in parts:
            shares = (1 - self.val_fraction - self.test_fraction, self.val_fraction, self.test_fraction)
            part_N = dealt(y_N, shares, self.split_seed)
        return self.parts(y_N, part_N, n_classes)


def as_value(text: str) -> Any:
    """An argument as the number, the truth value or the text that it looks like."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        return text
