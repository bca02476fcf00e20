"""PAPILA: has an eye glaucoma; the groups are by the patient's sex or age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from evenhand.data._dealing import dealt_by_id, group_of
from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._sheet import read_sheet
from evenhand.data._table import Labelled
from evenhand.errors import BadInput

IMAGES = "FundusImages/"
COLUMNS = ("ID", "Age", "Gender", "Diagnosis")
EYES = ("OD", "OS")  # right and left
FRACTIONS = (0.7, 0.1, 0.2)
SEXES, AGES = ("male", "female"), ("<60", ">=60")
BY_SEX, BY_AGE = (111, 222, 35, 52), (159, 174, 11, 76)


@dataclass(frozen=True)
class Papila(ImageSet):
    """Fundus images of both eyes of 244 patients, of Kovalyk et al. (2022); healthy or with glaucoma.

    Eyes that are suspected of glaucoma are left out, as in the study of neural collapse in medical imaging (420 images,
    87 positive). There is no official split: patients are dealt 70/10/20 to the parts, both eyes to the same one, each
    group alike.

    Attributes:
        attribute: the patient's `sex`, or `age` below 60 and from 60 on.
        split_seed: of the dealing of patients to train, val and test.
    """

    title: ClassVar[str] = "Eyes: healthy or with glaucoma, by sex or age"
    homepage: ClassVar[str] = "https://doi.org/10.6084/m9.figshare.14798004"
    licence: ClassVar[str] = "CC BY 4.0"
    folder: ClassVar[str] = "PAPILA"
    other_folders: ClassVar[tuple[str, ...]] = ("papila", "PapilaDB-PAPILA-17f8fa7746adb20275b5b6a0d99dc9dfe3007e9f")
    steps: ClassVar[str] = (
        "Download the archive from the page and unpack it in ROOT\n"
        "Its folder, or one named PAPILA, holds FundusImages and ClinicalData with patient_data_od.xlsx and …_os.xlsx"
    )
    published_images: ClassVar[int] = 488

    attribute: Literal["sex", "age"] = "sex"
    split_seed: int = 0

    def listing(self, root: Path | None) -> Listing:
        """Read the sheet of either eye: ID (such as #002), Age, Gender (1 female), Diagnosis (2 suspected)."""
        folder = self.home(root)
        tables = [_with_images(_clinical(folder, eye), eye) for eye in EYES]
        paths = np.array([path for table in tables for path in table.image_paths("image", folder)])
        patients = np.array([patient for table in tables for patient in table.texts("ID")])
        diagnosis, sex = (
            np.concatenate([table.codes(column, values) for table in tables])
            for column, values in (("Diagnosis", ("0", "1", "2")), ("Gender", ("0", "1")))
        )
        age = np.concatenate([table.numbers("Age") for table in tables])
        known_N = diagnosis < 2
        labelled = Labelled(
            diagnosis[known_N],
            ("healthy", "glaucoma"),
            (sex if self.attribute == "sex" else (age >= 60).astype(np.int64))[known_N, None],
            (self.attribute,),
            (SEXES if self.attribute == "sex" else AGES,),
            "eye",
        )
        suspected = int((~known_N).sum())
        return Listing(
            folder,
            tuple(paths[known_N].tolist()),
            labelled,
            dealt_by_id(group_of(labelled), patients[known_N], FRACTIONS, self.split_seed),
            notes=(f"left out: {suspected} images of eyes that are suspected of glaucoma",) if suspected else (),
            left_out=tuple(paths[~known_N].tolist()),
            inside=(IMAGES,),
        )

    def wanted(self) -> Mapping[str, tuple[int, ...]]:
        """The rows of each group, all parts together."""
        return {"all": BY_SEX if self.attribute == "sex" else BY_AGE}


def _clinical(folder: Path, eye: str) -> Metadata:
    """The rows of patients in the sheet of an eye, or in the same table as comma-separated values."""
    sheet = folder / "ClinicalData" / f"patient_data_{eye.lower()}.xlsx"
    text = sheet.with_suffix(".csv")
    if not sheet.is_file() and not text.is_file():
        raise BadInput(f"papila needs the file {sheet}, which is not there; see `evenhand data info papila`")
    table = read_sheet(sheet, COLUMNS[1:]) if sheet.is_file() else Metadata.read(text, COLUMNS)
    # Below the names of the columns the official sheets have one more row, which only says ID.
    return table.filtered(np.array([name != "ID" for name in table.texts("ID", optional=True)]))


def _with_images(table: Metadata, eye: str) -> Metadata:
    import polars as pl

    return table.with_texts("image", pl.format(f"{IMAGES}RET{{}}{eye}.jpg", pl.col("ID").str.strip_prefix("#")))
