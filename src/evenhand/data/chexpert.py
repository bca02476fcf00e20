"""CheXpert: what a radiograph of the chest shows; the groups are by the patient's sex or race."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from evenhand.data._dealing import dealt_by_id, group_of
from evenhand.data._image_set import ImageSet, Listing
from evenhand.data._metadata import Metadata
from evenhand.data._sheet import read_sheet
from evenhand.data._table import Codes, Labelled
from evenhand.errors import BadInput, unknown

FINDINGS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
    "Support Devices",
)
FRACTIONS = (0.6, 0.1, 0.3)
SEXES, RACES = ("Male", "Female"), ("White", "non-White")
NOT_HISPANIC = ("Non-Hispanic/Non-Latino", "Not Hispanic")
PATIENT = "the patient in Path"
PREFIX = r"^CheXpert-v1\.0[^/]*/"


@dataclass(frozen=True)
class Chexpert(ImageSet):
    """Frontal radiographs of Irvin et al. (2019), CheXpert; by default healthy (No Finding) or not.

    The official test is not public and the official val has 200 patients: those of `train.csv` are dealt 60/10/30 to
    the parts, all images of a patient to the same one, each group alike. These are the shares of the study of neural
    collapse in medical imaging, not its list of patients.

    Attributes:
        finding: what is predicted. `No Finding` (0) against anything else (1), as in the study; any other finding is
            the positive class where the table has a 1, and negative where it has a 0 or nothing.
        uncertain: what a -1 means.
        attribute: the patient's `sex`; or `race`, White or not, from the table of demographics.
        known_race: keep only patients who are White, Asian or Black and not Hispanic by the table of demographics, the
            population of the study (127118 images); always so where the attribute is race.
        split_seed: of the dealing of patients to train, val and test.
    """

    title: ClassVar[str] = "Chest radiographs: healthy or not, by sex or race"
    homepage: ClassVar[str] = "https://stanfordmlgroup.github.io/competitions/chexpert/"
    licence: ClassVar[str] = "Stanford research use agreement"
    folder: ClassVar[str] = "CheXpert-v1.0-small"
    other_folders: ClassVar[tuple[str, ...]] = ("CheXpert-v1.0", "chexpert")
    files: ClassVar[tuple[str, ...]] = ("train.csv",)
    steps: ClassVar[str] = (
        "Register at the page, download CheXpert-v1.0-small.zip and unpack it in ROOT\n"
        "For the race of patients download CHEXPERT DEMO.xlsx and put it beside train.csv"
    )

    finding: str = "No Finding"
    uncertain: Literal["negative", "positive", "drop"] = "negative"
    attribute: Literal["sex", "race"] = "sex"
    known_race: bool = False
    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.finding not in FINDINGS:
            raise unknown("finding of chexpert", self.finding, FINDINGS)

    def listing(self, root: Path | None) -> Listing:
        """Read `train.csv`: Path (which begins with the folder's name), Sex, Frontal/Lateral and the finding."""
        import polars as pl

        (file,) = self.locate(root)
        table = Metadata.read(file, ("Path", "Sex", "Frontal/Lateral", self.finding), missing=("Unknown",))
        table = table.with_texts("Path", pl.col("Path").str.replace(PREFIX, ""))
        table = table.with_texts(PATIENT, pl.col("Path").str.extract(r"(?:^|/)(patient\d+)/"))
        code = table.codes(self.finding, ("0", "1", "-1"), optional=True)
        sex = table.codes("Sex", SEXES, optional=True)
        lateral_N = table.codes("Frontal/Lateral", ("Frontal", "Lateral")) == 1
        reasons = {"lateral views": lateral_N, "images of patients of unknown sex": sex < 0}
        race = np.zeros_like(sex)
        if self.attribute == "race" or self.known_race:
            race = self._race(file.parent, table)
            reasons["images of patients who are not known to be White, Asian or Black and not Hispanic"] = race < 0
        if self.uncertain == "drop":
            reasons[f"images of which {self.finding} is uncertain"] = code == 2
        return self._kept(file.parent, table, reasons, code, sex if self.attribute == "sex" else race)

    def _kept(
        self, folder: Path, table: Metadata, reasons: dict[str, NDArray[np.bool_]], code: Codes, attribute: Codes
    ) -> Listing:
        """The listing of the rows for which no reason to leave them out is true."""
        kept_N = ~np.any(list(reasons.values()), axis=0)
        if not kept_N.any():
            raise BadInput(f"{table.table.path} has no image that is not left out: {', '.join(reasons)}")
        kept = table.filtered(kept_N)
        patients = kept.texts(PATIENT)
        notes, rest_N = [], np.ones(len(table), dtype=bool)
        for text, left_N in reasons.items():
            if count := int((rest_N & left_N).sum()):
                notes.append(f"left out: {count} {text}")
            rest_N &= ~left_N
        positive_N = (code == 1) | ((code == 2) & (self.uncertain == "positive"))
        healthy = self.finding == "No Finding"
        labelled = Labelled(
            (positive_N != healthy).astype(np.int64)[kept_N],
            ("No Finding", "any finding") if healthy else ("negative", "positive"),
            attribute[kept_N, None],
            (self.attribute,),
            (SEXES if self.attribute == "sex" else RACES,),
            "chest" if healthy else self.finding,
        )
        return Listing(
            folder,
            kept.image_paths("Path", folder),
            labelled,
            dealt_by_id(group_of(labelled), np.array(patients), FRACTIONS, self.split_seed),
            notes=tuple(notes),
            left_out=tuple(str(path) for path in table.filtered(~kept_N).texts("Path")),
            inside=("train/",),
        )

    def _race(self, folder: Path, table: Metadata) -> Codes:
        """(N,) 0 White, 1 Asian or Black, -1 anything else or not known."""
        sheet, text = folder / "CHEXPERT DEMO.xlsx", folder / "CHEXPERT DEMO.csv"
        if not sheet.is_file() and not text.is_file():
            raise BadInput(
                f"the race of patients is in {sheet}, which is not there; see `evenhand data info {self.name()}`"
            )
        columns = ("PATIENT", "PRIMARY_RACE", "ETHNICITY")
        people = read_sheet(sheet, columns) if sheet.is_file() else Metadata.read(text, columns)
        races, ethnicities = (people.texts(column, optional=True) for column in columns[1:])
        code = [_race_code(race or "", ethnicity) for race, ethnicity in zip(races, ethnicities, strict=True)]
        code.append(-1)  # of patients who have no row
        found: Codes = np.array(code, dtype=np.int64)[table.rows_of(PATIENT, "PATIENT", people, optional=True)]
        return found


def _race_code(race: str, ethnicity: str | None) -> int:
    if ethnicity not in NOT_HISPANIC:
        return -1
    return next((code for code, word in ((0, "White"), (1, "Asian"), (1, "Black")) if word in race), -1)
