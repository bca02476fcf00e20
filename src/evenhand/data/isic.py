"""ISIC 2018: is a lesion of the skin malignant; coloured patches lie beside benign ones only, or nearly so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._table import PARTS, Codes, Labelled
from evenhand.errors import BadInput

IMAGES = "ISIC2018_Task1-2_Training_Input/"
TEST = (544, 74, 154, 0)
# Train (without val) and val of the five trap sets, by patches.
TRAP_SETS = (
    ((1169, 96, 296, 2), (177, 15, 67, 0)),
    ((1159, 90, 312, 2), (187, 21, 51, 0)),
    ((1163, 101, 297, 2), (183, 10, 66, 0)),
    ((1152, 96, 313, 2), (194, 15, 50, 0)),
    ((1161, 96, 304, 2), (185, 15, 59, 0)),
)


@dataclass(frozen=True)
class Isic(ImageSet):
    """Dermoscopic images of the ISIC challenge of 2018 (tasks 1 and 2, training part) in the trap sets.

    Bissoto, Valle and Avila (2020), Debiasing skin lesion datasets and models? Not so fast: artefacts annotated by
    hand, and splits in which they mislead. Every image of val is also listed in train and is taken out of it. No
    malignant lesion of val or test has a patch beside it.

    Differs from Lu, Chai and Wang (2024): they replace the official val by a fifth of test, drawn at random.

    Attributes:
        attribute: the artefact that makes the groups; `patches` as in Lu, Chai and Wang (2024).
        trap_set: which of the five, 1 to 5.
    """

    title: ClassVar[str] = "Skin lesions: benign or malignant, by coloured patches"
    homepage: ClassVar[str] = "https://challenge.isic-archive.com/data/#2018"
    licence: ClassVar[str] = "CC0 (images)"
    folder: ClassVar[str] = "isic"
    other_folders: ClassVar[tuple[str, ...]] = ("ISIC",)
    steps: ClassVar[str] = (
        "Download ISIC2018_Task1-2_Training_Input.zip from the page and unpack it in ROOT/isic\n"
        "Copy the folder trap-sets of https://github.com/alceubissoto/debiasing-skin to ROOT/isic/trap-sets"
    )
    published_images: ClassVar[int] = 2594

    attribute: Literal["patches", "dark_corner", "hair", "gel_border", "gel_bubble", "ruler", "ink"] = "patches"
    trap_set: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.trap_set <= len(TRAP_SETS):
            raise BadInput(f"trap_set must be 1 to {len(TRAP_SETS)}, got {self.trap_set}")

    def listing(self, root: Path | None) -> Listing:
        """Read `trap-sets/isic_annotated_{train,val,test}N.csv`: image, label (1 malignant), and the artefacts."""
        folder = self.home(root)
        rows: dict[str, tuple[int, int, int]] = {}  # label, artefact and part of each path
        for part in (0, 1, 2):
            table = self._table(folder, part)
            paths = table.image_paths("image", folder, inside=(IMAGES,), endings=(".jpg", ".png"))
            y, artefact = (table.codes(column, ("0", "1")) for column in ("label", self.attribute))
            twice = [path for path in paths if part == 2 and path in rows]
            if twice:
                raise BadInput(f"{table.table.path} names {twice[0]}, which is also in train or val")
            rows |= {path: (int(y[n]), int(artefact[n]), part) for n, path in enumerate(paths)}
        columns: Codes = np.array(list(rows.values()), dtype=np.int64).T
        return Listing(
            folder,
            tuple(rows),
            Labelled(
                columns[0],
                ("benign", "malignant"),
                columns[1][:, None],
                (self.attribute,),
                (("without", "with"),),
                "lesion",
            ),
            columns[2],
            inside=(IMAGES,),
            source=f"the tables in {folder / 'trap-sets'}",
        )

    def wanted(self) -> Mapping[str, tuple[int, ...]]:
        """The rows of each group of the trap set, by patches."""
        if self.attribute != "patches":
            return {}
        return dict(zip(PARTS, (*TRAP_SETS[self.trap_set - 1], TEST), strict=True))

    def _table(self, folder: Path, part: int) -> Metadata:
        file = folder / "trap-sets" / f"isic_annotated_{PARTS[part]}{self.trap_set}.csv"
        if not file.is_file():
            raise BadInput(f"isic needs the file {file}, which is not there; see `evenhand data info isic`")
        return Metadata.read(file, ("image", "label", self.attribute))
