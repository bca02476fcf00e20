"""One's own images: in a table that a TOML file describes, or in folders of classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evenhand.data import csv
from evenhand.data._base import Data, Kind, digest
from evenhand.data._class_folders import Found, class_names, find_images
from evenhand.data._class_set import by_class
from evenhand.data._columns import Table, as_codes, read_table
from evenhand.data._dealing import check_dealing, dealt, dealt_by_id, group_of
from evenhand.data._image_description import ImageDescription, read_image_description
from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.errors import BadInput

PART_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


@dataclass(frozen=True)
class Images(ImageSet):
    """Images of one's own, with a TOML file that says where labels are (see `ImageDescription`), or a plain folder.

    A folder holds one folder of images for each class, at once or below `train`, `val` and `test`; parts that are not
    there are taken from train.

    Attributes:
        path: the TOML file or the folder.
        fractions: shares of train, val and test where they are not given, within each group.
        seed: of that dealing.
    """

    kind: ClassVar[Kind] = "own"
    title: ClassVar[str] = "Your own images, in a table or in folders of classes"
    licence: ClassVar[str] = "your own"

    path: str = ""
    fractions: tuple[float, ...] = (0.6, 0.2, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dealing(self.fractions, self.seed)

    def load(self, root: Path | None) -> Data:
        """Read table and images, or the folders; the root plays no part.

        Raises:
            BadInput: TOML file, table, folders or images are missing or wrong; the message says where.
        """
        data = super().load(root)
        training = self.description().training
        options = {key: value for key, value in data.options.items() if key != "path"}
        name = Path(self.path).resolve().stem if self.path.endswith(".toml") else Path(self.path).resolve().name
        return replace(data, name=name, recommended={**self.recommended, **training}, options=options)

    def listing(self, root: Path | None) -> Listing:
        """The images that the table names, or that are in the folders."""
        description = self.description()
        if description.images:
            return self._from_table(description)
        return self._from_folders(Path(description.folder))

    def locate(self, root: Path | None) -> tuple[Path, ...]:
        """Nothing lies below the root."""
        return ()

    def description(self) -> ImageDescription:
        """What the TOML file says, or that there is a folder.

        Raises:
            BadInput: there is neither, or the TOML file is wrong.
        """
        if not self.path:
            raise BadInput("images stands for images of your own: give the path of a TOML file, or of a folder of them")
        if self.path.endswith(".toml"):
            return read_image_description(Path(self.path))[0]
        return ImageDescription(folder=self.path)

    def fingerprint(self, listing: Listing, good_N: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
        """Hash of names and sizes of the files, of labels and their names, of parts and options."""
        labelled = listing.labelled
        names = (labelled.classes, labelled.attribute_names, labelled.attribute_values)
        return digest(super().fingerprint(listing, good_N), names)

    def _from_table(self, description: ImageDescription) -> Listing:
        plain = description.table(self.fractions, self.seed)
        whole = read_table(plain)
        extra = [column for column in (description.images, description.id, description.split) if column]
        whole.require([description.label, *description.attributes, *extra])
        table = csv.without_missing(whole, plain, [])
        dropped = whole.frame.height - table.frame.height
        labelled = csv.label(table, plain)
        folder = Path(description.folder) if description.folder else Path(description.path).parent
        return Listing(
            folder,
            Metadata(table).image_paths(description.images, folder),
            labelled,
            self._parts(table, description, labelled),
            notes=(f"left out {dropped} rows with a missing attribute.",) if dropped else (),
            inside=(),
            source=description.path,
        )

    def _parts(self, table: Table, description: ImageDescription, labelled: Labelled) -> Codes:
        if not description.id:
            return csv.parts(table, description.table(self.fractions, self.seed), labelled)
        ids = Metadata(table).texts(description.id)
        if not description.split:
            return dealt_by_id(group_of(labelled), [str(each) for each in ids], self.fractions, self.seed)
        part_N = csv.parts(table, description.table(self.fractions, self.seed), labelled)
        code_N, values = as_codes(table.frame[description.id], text_file=bool(table.separator))
        first_I = np.full(len(values), -1)
        first_I[code_N[::-1]] = part_N[::-1]
        if (strange := first_I[code_N] != part_N).any():
            import polars as pl

            row = int(np.flatnonzero(strange)[0])
            raise BadInput(
                f"{table.where(pl.Series(strange))}: {description.id} {ids[row]!r} is in {PARTS[part_N[row]]} here and "
                f"in {PARTS[first_I[code_N[row]]]} before"
            )
        return part_N

    def _from_folders(self, folder: Path) -> Listing:
        if not folder.is_dir():
            raise BadInput(f"there is no folder {folder}")
        there = part_folders(folder)
        if not there:
            classes = class_names(folder)
            found = find_images(folder, "", classes)
            part_N = dealt(found.y, self.fractions, self.seed)
            return Listing(folder, found.paths, by_class(found.y, classes), part_N, found.notes, source=str(folder))
        classes = class_names(folder / there["train"])
        each = {part: find_images(folder, name, classes) for part, name in there.items()}
        found = Found(
            tuple(path for one in each.values() for path in one.paths),
            np.concatenate([one.y for one in each.values()]),
            tuple(path for one in each.values() for path in one.others),
        )
        part_N = np.concatenate([np.full(len(one.y), PARTS.index(part)) for part, one in each.items()])
        train = np.flatnonzero(part_N == 0)
        missing = [part for part in PARTS if part not in there]
        shares = np.array(
            [f if part in ("train", *missing) else 0 for part, f in zip(PARTS, self.fractions, strict=True)]
        )
        shares = shares / shares.sum()
        if missing:
            part_N[train] = dealt(found.y[train], shares.tolist(), self.seed)
        notes = [
            f"there is no folder {part}, so {shares[PARTS.index(part)]:.0%} of train became {part}." for part in missing
        ]
        return Listing(
            folder, found.paths, by_class(found.y, classes), part_N, (*found.notes, *notes), source=str(folder),
            inside=tuple(f"{name}/" for name in there.values()),
        )  # fmt: skip


def part_folders(folder: Path) -> dict[str, str]:
    """The folders of parts in `folder`, train first; none where `train` is missing, or is itself a class."""
    there = {
        part: next((name for name in known if (folder / name).is_dir()), "") for part, known in PART_FOLDERS.items()
    }
    if not there["train"] or not any(each.is_dir() for each in (folder / there["train"]).iterdir()):
        return {}
    return {part: name for part, name in there.items() if name}
