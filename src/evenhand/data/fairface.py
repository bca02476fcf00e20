"""FairFace: faces balanced by race, with age and gender."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from evenhand.data._dealing import dealt, group_of
from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._table import Codes, Labelled
from evenhand.errors import BadInput

RACES = ("White", "Black", "East Asian", "Indian", "Latino_Hispanic", "Middle Eastern", "Southeast Asian")
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
# For each column its values in the files, the value each becomes, and the names of these.
COLUMNS = {
    "race": (RACES, (0, 1, 2, 2, 2, 2, 2), ("White", "Black", "others")),
    "age": (AGES, (0, 0, 0, 1, 1, 1, 1, 2, 2), ("0-19", "20-59", "60+")),
    "gender": (("Male", "Female"), (0, 1), ("male", "female")),
}
VAL_SHARE = 0.1


@dataclass(frozen=True)
class Fairface(ImageSet):
    """Faces of Karkkainen and Joo (2021), FairFace: face attribute dataset for balanced race, gender, and age.

    Race (White, Black, others) and age (up to 19, 20 to 59, from 60 on) make the nine groups of the study of GBMix (its
    Table 5). The labels of the official test are not published: the official val is test here, and a tenth of the
    official train, the same share of each group, is val.

    Attributes:
        target: what is predicted.
        attribute: what makes the groups.
        split_seed: of what is val.
    """

    title: ClassVar[str] = "Faces: race by age"
    homepage: ClassVar[str] = "https://github.com/joojs/fairface"
    licence: ClassVar[str] = "CC BY 4.0"
    folder: ClassVar[str] = "FairFace"
    other_folders: ClassVar[tuple[str, ...]] = ("fairface",)
    files: ClassVar[tuple[str, ...]] = ("fairface_label_train.csv", "fairface_label_val.csv")
    steps: ClassVar[str] = (
        "Download the images with padding 0.25 and both tables of labels, which the page links to\n"
        "Unpack the images in ROOT/FairFace, to the folders train and val, and put the tables beside these"
    )
    published_images: ClassVar[int] = 97698

    target: Literal["race", "age", "gender"] = "race"
    attribute: Literal["race", "age", "gender"] = "age"
    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target == self.attribute:
            raise BadInput(f"target and attribute must differ, got {self.target!r} for both")

    def listing(self, root: Path | None) -> Listing:
        """Read both tables: file (such as `train/1.jpg`), age, gender, race."""
        files = self.locate(root)
        folder = files[0].parent
        tables = [Metadata.read(file, ("file", "age", "gender", "race")) for file in files]
        paths = [table.image_paths("file", folder) for table in tables]
        if both := set(paths[0]) & set(paths[1]):
            raise BadInput(f"{min(both)} is named in {files[0]} and in {files[1]}")
        labelled = Labelled(
            _codes(tables, self.target),
            COLUMNS[self.target][2],
            _codes(tables, self.attribute)[:, None],
            (self.attribute,),
            (COLUMNS[self.attribute][2],),
            self.target,
        )
        parts = np.full(sum(map(len, tables)), 2)
        parts[: len(tables[0])] = dealt(
            group_of(labelled)[: len(tables[0])], (1 - VAL_SHARE, VAL_SHARE, 0), self.split_seed
        )
        return Listing(folder, (*paths[0], *paths[1]), labelled, parts, inside=("train/", "val/"))


def _codes(tables: list[Metadata], column: str) -> Codes:
    values, merged, _ = COLUMNS[column]
    codes: Codes = np.array(merged, dtype=np.int64)[np.concatenate([table.codes(column, values) for table in tables])]
    return codes
