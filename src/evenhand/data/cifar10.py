"""CIFAR-10: 32-pixel photographs of ten classes, whose groups are the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evenhand.data._arrays import Arrays, as_data
from evenhand.data._base import Data, DataSet, Download
from evenhand.data._cifar import ADDRESS, LICENCE, other_contents, read_parts
from evenhand.data._class_folders import Found, class_names, find_images
from evenhand.data._class_set import ClassOptions, by_class, listed
from evenhand.data._image_set import FROM_SCRATCH, ImageSet, Listing
from evenhand.data._pickles import names, read_pickle
from evenhand.errors import BadInput

MD5 = {
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


@dataclass(frozen=True)
class Cifar10(ClassOptions, ImageSet):
    """Ten classes with 5,000 images for training and 1,000 for testing each.

    Krizhevsky (2009), Learning multiple layers of features from tiny images. Read from the official Python files, or
    from image files in `cifar10/train/<class>/` and `cifar10/test/<class>/`.
    """

    title: ClassVar[str] = "CIFAR-10: small photographs of ten classes"
    homepage: ClassVar[str] = f"{ADDRESS}cifar.html"
    licence: ClassVar[str] = LICENCE
    folder: ClassVar[str] = "cifar-10-batches-py"
    other_folders: ClassVar[tuple[str, ...]] = ("cifar10",)
    files: ClassVar[tuple[str, ...]] = tuple(MD5)
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            f"{ADDRESS}cifar-10-python.tar.gz",
            "cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            unpacks="cifar-10-batches-py",
        ),
    )
    recommended: ClassVar[Mapping[str, Any]] = {**FROM_SCRATCH, "epochs": 30, "batch_size": 128, "weight_decay": 5e-4}
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "train": (4500,) * 10,
        "val": (500,) * 10,
        "test": (1000,) * 10,
    }

    size: int = 32

    def load(self, root: Path | None) -> Data:
        """Read the Python files, or else the image files.

        Raises:
            BadInput: files are missing or wrong; the message names the file, and the row of a label.
        """
        home = self.home(root)
        if not self._pickled(home):
            return super().load(root)
        paths = {path.name: path for path in self.locate(root)}
        classes = names(read_pickle(paths["batches.meta"]), "label_names", paths["batches.meta"])
        train = [path for name, path in paths.items() if name.startswith("data_batch")]
        pixels, y_N, official_N = read_parts(train, [paths["test_batch"]], "labels", len(classes))
        parts = self.parts(y_N, official_N, len(classes))
        return as_data(self, Arrays(pixels, by_class(y_N, classes), parts, str(home)), self.name())

    def listing(self, root: Path | None) -> Listing:
        """The image files of `train/<class>/` and `test/<class>/`."""
        home = self.home(root)
        if not (home / "train").is_dir():
            raise BadInput(f"{home} must hold the official {', '.join(self.files)}, or the folders train and test")
        classes = class_names(home / "train")
        train, test = (find_images(home, part, classes) for part in ("train", "test"))
        found = Found(train.paths + test.paths, np.concatenate([train.y, test.y]), train.others + test.others)
        official_N = np.repeat([0, 2], [len(train.y), len(test.y)])
        parts = self.parts(found.y, official_N, len(classes))
        return listed(home, found, classes, parts, inside=("train/", "test/"))

    def check(self, root: Path | None) -> list[str]:
        """Where contents (of the Python files) or numbers of images differ from what is published."""
        home = self.home(root)
        if not self._pickled(home):
            return super().check(root)
        self.locate(root)
        return other_contents(home, MD5) or DataSet.check(self, root)

    def locate(self, root: Path | None) -> tuple[Path, ...]:
        """The paths of the Python files; none where there are image files instead."""
        return super().locate(root) if self._pickled(self.home(root)) else ()

    def _pickled(self, home: Path) -> bool:
        return home.name == self.folder or any((home / name).exists() for name in MD5)
