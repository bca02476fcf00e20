"""HAM10000: is a pigmented lesion of the skin malignant; the groups are by the patient's sex or age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evenhand.data._dealing import dealt_by_id, group_of
from evenhand.data._image_set import FROM_SCRATCH, ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._table import Labelled
from evenhand.errors import BadInput, unknown

DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
INSIDE = ("HAM10000_images/", "HAM10000_images_part_1/", "HAM10000_images_part_2/", "images/")
FRACTIONS = (0.8, 0.1, 0.1)
SEXES, AGES = ("male", "female"), ("<60", ">=60")


@dataclass(frozen=True)
class Ham10000(ImageSet):
    """Dermatoscopic images of Tschandl, Rosendahl and Kittler (2018); benign or malignant.

    There is no official split: lesions are dealt 80/10/10 to the parts, all images of a lesion to the same one, each
    group alike. Images of patients of unknown sex or age are left out whichever of them is the attribute.

    Differs from the study of neural collapse in medical imaging (9958 images, 1438 positive): there melanoma and
    actinic keratosis are the positive class and basal cell carcinoma, which is malignant too, is not
    (`malignant=("mel", "akiec")`); its table counts 10 patients of known age but unknown sex as female; and its shares
    of groups by age are those of patients above 60, not from 60 on.

    Attributes:
        attribute: the patient's `sex`, or `age` below 60 and from 60 on.
        malignant: the diagnoses of the positive class; all others are benign.
        split_seed: of the dealing of lesions to train, val and test.
    """

    title: ClassVar[str] = "Skin lesions: benign or malignant, by sex or age"
    homepage: ClassVar[str] = "https://doi.org/10.7910/DVN/DBW86T"
    licence: ClassVar[str] = "CC BY-NC 4.0"
    folder: ClassVar[str] = "ham10000"
    other_folders: ClassVar[tuple[str, ...]] = ("HAM10000",)
    files: ClassVar[tuple[str, ...]] = ("HAM10000_metadata.csv",)
    steps: ClassVar[str] = (
        "Download HAM10000_metadata (as comma-separated values) and both HAM10000_images_part_?.zip from the page\n"
        "Unpack the images to ROOT/ham10000/HAM10000_images_part_1 and …_part_2, or both to HAM10000_images\n"
        "Save the metadata as ROOT/ham10000/HAM10000_metadata.csv"
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        **FROM_SCRATCH,
        "batch_size": 32,
        "lr": 0.02,
        "weight_decay": 5e-4,
        "select": "average",
    }
    published_images: ClassVar[int] = 10015
    published: ClassVar[Mapping[str, tuple[int, ...]]] = {"all": (4175, 3821, 1225, 727)}

    attribute: Literal["sex", "age"] = "sex"
    malignant: tuple[str, ...] = ("mel", "bcc", "akiec")
    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for diagnosis in self.malignant:
            if diagnosis not in DIAGNOSES:
                raise unknown("diagnosis of ham10000", diagnosis, DIAGNOSES)
        if len(set(self.malignant)) in (0, len(DIAGNOSES)):
            raise BadInput(f"malignant must name some diagnoses and not all {len(DIAGNOSES)}: {', '.join(DIAGNOSES)}")

    def listing(self, root: Path | None) -> Listing:
        """Read `HAM10000_metadata.csv`: image_id, lesion_id, dx (diagnosis), sex and age (in steps of 5 years)."""
        (file,) = self.locate(root)
        table = Metadata.read(file, ("image_id", "lesion_id", "dx", "sex", "age"), missing=("unknown",))
        paths = np.array(table.image_paths("image_id", file.parent, inside=INSIDE, endings=(".jpg",)))
        sex, age = table.codes("sex", SEXES, optional=True), table.numbers("age", optional=True)
        known_N = (sex >= 0) & ~np.isnan(age)
        left_out = int((~known_N).sum())
        malignant_D = np.isin(DIAGNOSES, self.malignant)
        labelled = Labelled(
            malignant_D[table.codes("dx", DIAGNOSES)].astype(np.int64)[known_N],
            ("benign", "malignant"),
            (sex if self.attribute == "sex" else (age >= 60).astype(np.int64))[known_N, None],
            (self.attribute,),
            (SEXES if self.attribute == "sex" else AGES,),
            "lesion",
        )
        lesions = np.array(table.texts("lesion_id"))[known_N]
        return Listing(
            file.parent,
            tuple(paths[known_N].tolist()),
            labelled,
            dealt_by_id(group_of(labelled), lesions, FRACTIONS, self.split_seed),
            notes=(f"left out: {left_out} images of patients of unknown sex or age",) if left_out else (),
            left_out=tuple(paths[~known_N].tolist()),
        )
