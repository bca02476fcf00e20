"""The TOML file that describes one's own images, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from evenhand.data._base import read_text
from evenhand.data._dealing import check_dealing
from evenhand.data._description import Description, as_text
from evenhand.data._image_set import ImageOptions
from evenhand.errors import BadInput, unknown
from evenhand.options import checked
from evenhand.settings import Settings

LISTS = ("attributes", "missing_values")


@dataclass(frozen=True)
class ImageDescription:
    """What is what in one's own images; the fields are keys of the TOML file, beside the options of the images.

    Either `images`, `path` and `label` describe a table with a row for each image, or `folder` alone holds one folder
    for each class, at once or below `train`, `val` and `test`.

    Attributes:
        folder: what the paths of images begin in, relative to the TOML file; default the table's folder.
        images: the column with the path of each image.
        path: the table (`.csv`, `.tsv`, `.txt` or `.parquet`), relative to the TOML file.
        label: the column to predict.
        positive: the label's value that becomes class 1; classes are sorted otherwise. For two classes only.
        attributes: sensitive or spurious columns, crossed into groups; may be empty.
        split: a column that says train, val or test; without it, rows are dealt by `fractions`, within each group.
        id: a column, such as the patient, of which no value may be in two parts.
        missing: what a missing value in an attribute does: `error`, `drop` the row, `indicate`, a value of its own,
            or `unknown`, no group.
        missing_values: texts that mean missing, beside an empty field.
        separator: between the fields of a text file; default `,`, for `.tsv` a tab.
        training: settings used where a command gives none.
    """

    folder: str = ""
    images: str = ""
    path: str = ""
    label: str = ""
    positive: str = ""
    attributes: tuple[str, ...] = ()
    split: str = ""
    id: str = ""
    missing: Literal["error", "drop", "indicate", "unknown"] = "error"
    missing_values: tuple[str, ...] = ()
    separator: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.images and not self.folder:
            raise BadInput(
                "give `images`, the column with the path of each image, or `folder`, with folders of classes"
            )
        for key in ("path", "label") if self.images else ():
            if not getattr(self, key):
                raise BadInput(
                    f"with `images` also give {key!r}, {'the table' if key == 'path' else 'the column to predict'}"
                )
        for each in fields(self) if not self.images else ():
            if each.name not in ("folder", "training") and getattr(self, each.name) != each.default:
                raise BadInput(
                    f"{each.name} describes a table: also give `images`, the column with the paths of images"
                )
        if self.images in (self.label, self.split, *self.attributes) and self.images:
            raise BadInput(f"images must be a column of its own, got {self.images!r}, which is also something else")

    def table(self, fractions: tuple[float, ...], seed: int) -> Description:
        """What of it is the same for a table without images."""
        shared = ("path", "label", "positive", "attributes", "split", "missing", "missing_values", "separator")
        return Description(**{key: getattr(self, key) for key in shared}, fractions=fractions, seed=seed)


@dataclass(frozen=True)
class Dealing:
    """How rows are dealt to the parts where no column says so.

    Attributes:
        fractions: shares of train, val and test, within each group.
        seed: of that dealing.
    """

    fractions: tuple[float, ...] = (0.6, 0.2, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        check_dealing(self.fractions, self.seed)


def read_image_description(path: Path) -> tuple[ImageDescription, dict[str, Any]]:
    """The description in a TOML file, its paths made absolute, and the options of the data set that it sets.

    Raises:
        BadInput: no such file, a syntax error (the message names the line), an unknown key, or a wrong value.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}; a TOML file describes your own images")
    try:
        entries = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from error
    try:
        return _checked(entries, path.parent)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _checked(entries: dict[str, Any], base: Path) -> tuple[ImageDescription, dict[str, Any]]:
    owners: dict[type, dict[str, Any]] = {ImageDescription: {}, ImageOptions: {}, Dealing: {}}
    for key, value in entries.items():
        owner = next((each for each in owners if key in {f.name for f in fields(each)}), None)
        if owner is None:
            raise unknown("key", key, [f.name for each in owners for f in fields(each)])
        if key in LISTS and isinstance(value, str):
            value = [value]  # noqa: PLW2901
        owners[owner][key] = as_text(value) if key == "positive" else value
    training = owners[ImageDescription].pop("training", {})
    if not isinstance(training, dict):
        raise BadInput(f"training must be a table of settings, got {training!r}")
    settings = checked(Settings, training, "the table [training]")
    Settings(**settings)  # checks the ranges
    described = checked(ImageDescription, owners[ImageDescription], "the description")
    for key in ("folder", "path"):
        if described.get(key):
            described[key] = str(base / described[key])
    options = checked(ImageOptions, owners[ImageOptions], "the description")
    dealing = checked(Dealing, owners[Dealing], "the description")
    Dealing(**dealing)
    return ImageDescription(**described, training=settings), options | dealing
