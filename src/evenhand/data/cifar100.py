"""CIFAR-100: 32-pixel photographs of a hundred classes, whose groups are the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from evenhand.data._arrays import Arrays, as_data
from evenhand.data._base import Data, Download
from evenhand.data._cifar import ADDRESS, LICENCE, other_contents, read_parts
from evenhand.data._class_set import ClassOptions, by_class
from evenhand.data._image_set import FROM_SCRATCH
from evenhand.data._pickles import names, read_pickle

MD5 = {
    "meta": "7973b15100ade9c7d40fb424638fde48",
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
}


@dataclass(frozen=True)
class Cifar100(ClassOptions):
    """A hundred classes with 500 images for training and 100 for testing each.

    Krizhevsky (2009), Learning multiple layers of features from tiny images.

    Attributes:
        target: the hundred `fine` classes, or the twenty `coarse` ones that gather five of them each.
    """

    title: ClassVar[str] = "CIFAR-100: small photographs of a hundred classes"
    homepage: ClassVar[str] = f"{ADDRESS}cifar.html"
    licence: ClassVar[str] = LICENCE
    folder: ClassVar[str] = "cifar-100-python"
    files: ClassVar[tuple[str, ...]] = tuple(MD5)
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            f"{ADDRESS}cifar-100-python.tar.gz",
            "cifar-100-python.tar.gz",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            unpacks="cifar-100-python",
        ),
    )
    recommended: ClassVar[Mapping[str, Any]] = {**FROM_SCRATCH, "epochs": 30, "batch_size": 128, "weight_decay": 5e-4}

    size: int = 32
    target: Literal["fine", "coarse"] = "fine"

    def load(self, root: Path | None) -> Data:
        """Read the Python files.

        Raises:
            BadInput: files are missing or wrong; the message names the file, and the row of a label.
        """
        meta, train, test = self.locate(root)
        classes = names(read_pickle(meta), f"{self.target}_label_names", meta)
        pixels, y_N, official_N = read_parts([train], [test], f"{self.target}_labels", len(classes))
        parts = self.parts(y_N, official_N, len(classes))
        return as_data(self, Arrays(pixels, by_class(y_N, classes), parts, str(meta.parent)), self.name())

    def check(self, root: Path | None) -> list[str]:
        """Where the files differ from what is published."""
        self.locate(root)
        return other_contents(self.home(root), MD5) or super().check(root)
