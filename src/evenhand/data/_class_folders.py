"""Images in one folder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evenhand.data._metadata import files_below
from evenhand.data._table import Codes
from evenhand.errors import BadInput

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Found:
    """The images below some folders of classes.

    Attributes:
        paths: relative to the base folder, sorted.
        y: (N,) class of each.
        others: files in those folders that are no images by their ending.
    """

    paths: tuple[str, ...]
    y: Codes
    others: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell of files that were left out."""
        if not self.others:
            return ()
        more = f" and {len(self.others) - 1} more" if len(self.others) > 1 else ""
        return (f"left out files that are no images by their name: {self.others[0]}{more}.",)


def class_names(folder: Path) -> tuple[str, ...]:
    """The classes whose folders are in `folder`, sorted.

    Raises:
        BadInput: there are fewer than two.
    """
    try:
        found = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError as error:
        raise BadInput(f"cannot read the folder {folder}: {error.strerror or error}") from error
    if len(found) < 2:
        raise BadInput(f"{folder} must hold a folder for each of at least two classes, got {len(found)}")
    return tuple(found)


def find_images(base: Path, part: str, classes: Sequence[str]) -> Found:
    """The images of `base/part/<class>/…` (`base/<class>/…` for an empty `part`), with their classes.

    Raises:
        BadInput: a folder of another class, no image at all, or a link that leads out of `base/part`.
    """
    folder = base / part if part else base
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}")
    code = {name: number for number, name in enumerate(classes)}
    images: list[tuple[str, int]] = []
    others: list[str] = []
    prefix = f"{part}/" if part else ""
    for path in sorted(files_below(folder)):
        name, below, rest = path.partition("/")
        if not below or any(piece.startswith(".") for piece in path.split("/")):
            continue  # a list or a licence beside the classes, or what the system keeps in folders
        if not rest.lower().endswith(ENDINGS):
            others.append(prefix + path)
        elif name not in code:
            raise BadInput(f"{folder / name} is a folder of none of the {len(code)} classes of train")
        else:
            images.append((prefix + path, code[name]))
    if not images:
        raise BadInput(f"{folder} holds no images in folders of classes")
    return Found(tuple(path for path, _ in images), np.array([y for _, y in images], dtype=np.int64), tuple(others))
