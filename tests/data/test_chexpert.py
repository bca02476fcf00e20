"""CheXpert: findings, sex and race, frontal views only, patients that stay together, and tables that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import assert_apart, draw, group_counts, table, workbook

from evenhand import data
from evenhand.data.chexpert import FINDINGS, Chexpert
from evenhand.errors import BadInput

HEAD = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS])
PATIENTS = 60
RACES = (
    ("White", "Non-Hispanic/Non-Latino"),
    ("Asian", "Not Hispanic"),
    ("Black or African American", "Non-Hispanic/Non-Latino"),
    ("White", "Hispanic/Latino"),
    ("Unknown", "Unknown"),
    ("White or Caucasian", "Not Hispanic"),
)


def image(patient: int, view: int) -> str:
    side = "lateral" if view == 2 else "frontal"
    return f"train/patient{patient:05}/study{view % 2 + 1}/view1_{side}.jpg"


def rows(folder: str = "CheXpert-v1.0-small") -> list[str]:
    """60 patients, each with two frontal views and a lateral one; half of the studies without a finding."""
    found = []
    for patient in range(PATIENTS):
        for view in range(3):
            healthy = (patient // 2 + view) % 2 == 0
            effusion = "" if healthy else ("1.0", "0.0", "-1.0")[patient % 3]
            values = {"No Finding": "1.0" if healthy else "", "Pleural Effusion": effusion}
            path = f"{folder}/{image(patient, view)}"
            facts = [path, ("Male", "Female")[patient % 2], "50", "Lateral" if view == 2 else "Frontal", "AP"]
            found.append(",".join([*facts, *(values.get(name, "") for name in FINDINGS)]))
    return found


def write(root: Path, folder: str = "CheXpert-v1.0-small") -> Path:
    table(root / folder / "train.csv", HEAD, rows(folder))
    draw(root / folder, [image(patient, view) for patient in range(PATIENTS) for view in range(3)], size=(14, 12))
    people = [[f"patient{n:05}", "Male", 50, *RACES[n % 6]] for n in range(PATIENTS - 6)]
    heads = ["PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY"]
    workbook(root / folder / "CHEXPERT DEMO.xlsx", [heads, *people])
    return root


def patients(paths: tuple[str, ...]) -> list[int]:
    return [int(path.split("/")[1].removeprefix("patient")) for path in paths]


@pytest.mark.parametrize("folder", ["CheXpert-v1.0-small", "CheXpert-v1.0"])
def test_healthy_or_not_by_sex(tmp_path: Path, folder: str) -> None:
    listing = Chexpert().listing(write(tmp_path, folder))
    wanted = [(patient, view) for patient in range(PATIENTS) for view in (0, 1)]
    assert list(listing.paths) == [image(*each) for each in wanted]
    assert listing.labelled.y.tolist() == [(patient // 2 + view) % 2 for patient, view in wanted]
    assert listing.labelled.attributes[:, 0].tolist() == [patient % 2 for patient, _ in wanted]
    assert listing.labelled.classes == ("No Finding", "any finding")
    assert listing.notes == ("left out: 60 lateral views",)


def test_patients_are_on_one_side(tmp_path: Path) -> None:
    listing = Chexpert().listing(write(tmp_path))
    assert_apart(listing, list(map(str, patients(listing.paths))))
    counts_PG = np.array(group_counts(listing))
    np.testing.assert_allclose(counts_PG, np.outer((0.6, 0.1, 0.3), counts_PG.sum(axis=0)), atol=1)


@pytest.mark.parametrize(("uncertain", "positive"), [("negative", {0}), ("positive", {0, 2})])
def test_another_finding(tmp_path: Path, uncertain: str, positive: set[int]) -> None:
    loaded = data.load("chexpert", write(tmp_path), finding="Pleural Effusion", uncertain=uncertain)
    listing = Chexpert(finding="Pleural Effusion", uncertain=uncertain).listing(tmp_path)  # type: ignore[arg-type]
    ill = [(patient // 2 + view) % 2 == 1 for patient in range(PATIENTS) for view in (0, 1)]
    wanted = [int(sick and number // 2 % 3 in positive) for number, sick in enumerate(ill)]
    assert listing.labelled.y.tolist() == wanted
    assert loaded.train.label_name == "Pleural Effusion"


def test_uncertain_images_may_be_left_out(tmp_path: Path) -> None:
    listing = Chexpert(finding="Pleural Effusion", uncertain="drop").listing(write(tmp_path))
    assert listing.notes[1] == "left out: 20 images of which Pleural Effusion is uncertain"
    assert len(listing.paths) == 100


def test_race(tmp_path: Path) -> None:
    listing = Chexpert(attribute="race").listing(write(tmp_path))
    wanted = [n for n in range(PATIENTS - 6) for _ in range(2) if n % 6 in (0, 1, 2, 5)]
    assert patients(listing.paths) == wanted
    assert listing.labelled.attributes[:, 0].tolist() == [int(n % 6 in (1, 2)) for n in wanted]
    assert listing.labelled.attribute_values == (("White", "non-White"),)
    assert "left out: 48 images of patients who are not known to be White, Asian or Black" in listing.notes[1]
    by_sex = Chexpert(known_race=True).listing(tmp_path)
    assert by_sex.paths == listing.paths
    assert by_sex.labelled.attributes[:, 0].tolist() == [n % 2 for n in wanted]


def test_race_from_text_and_without_a_table(tmp_path: Path) -> None:
    folder = write(tmp_path) / "CheXpert-v1.0-small"
    of_sheet = Chexpert(attribute="race").listing(tmp_path).paths
    (folder / "CHEXPERT DEMO.xlsx").unlink()
    with pytest.raises(BadInput, match=r"the race of patients is in .*CHEXPERT DEMO\.xlsx, which is not there"):
        data.load("chexpert", tmp_path, attribute="race")
    lines = [f"patient{n:05},{','.join(RACES[n % 6])}" for n in range(PATIENTS - 6)]
    table(folder / "CHEXPERT DEMO.csv", "PATIENT,PRIMARY_RACE,ETHNICITY", lines)
    assert Chexpert(attribute="race").listing(tmp_path).paths == of_sheet


def test_unknown_sex_is_left_out(tmp_path: Path) -> None:
    file = write(tmp_path) / "CheXpert-v1.0-small" / "train.csv"
    file.write_text(file.read_text().replace(",Female,", ",Unknown,", 2))
    listing = Chexpert().listing(tmp_path)
    assert listing.notes[1] == "left out: 2 images of patients of unknown sex"
    assert not [text for text in Chexpert().check(tmp_path) if "no row" in text]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",Female,", ",F,", r"train\.csv, line 5: Sex must be one of Male, Female, got 'F'"),
        (",Lateral,", ",Side,", r"train\.csv, line 4: Frontal/Lateral must be one of Frontal, Lateral, got 'Side'"),
        (",AP,1.0,", ",AP,yes,", r"train\.csv, line 2: No Finding must be one of 0, 1, -1, got 'yes'"),
        ("/patient00000/", "/person0/", r"train\.csv, line 2: the patient in Path must be a value, got nothing"),
        (
            "/patient00000/",
            "/patient90000/",
            r"line 2: Path must be a file in .* that is there, got 'train/p",
        ),
        ("small/train/", "small/../train/", r"line 2: Path must be a path inside"),
    ],
)
def test_wrong_values(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = write(tmp_path) / "CheXpert-v1.0-small" / "train.csv"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=message):
        data.load("chexpert", tmp_path)


def test_nothing_left(tmp_path: Path) -> None:
    file = write(tmp_path) / "CheXpert-v1.0-small" / "train.csv"
    file.write_text(file.read_text().replace(",Frontal,", ",Lateral,"))
    with pytest.raises(BadInput, match=r"train\.csv has no image that is not left out: lateral views"):
        data.load("chexpert", tmp_path)


def test_two_rows_of_a_patient_in_the_demographics(tmp_path: Path) -> None:
    folder = write(tmp_path) / "CheXpert-v1.0-small"
    heads = ["PATIENT", "PRIMARY_RACE", "ETHNICITY"]
    workbook(folder / "CHEXPERT DEMO.xlsx", [heads, ["patient00000", *RACES[0]], ["patient00000", *RACES[1]]])
    with pytest.raises(BadInput, match=r"CHEXPERT DEMO\.xlsx, row 3: PATIENT must be different in every row"):
        data.load("chexpert", tmp_path, attribute="race")


def test_unknown_finding() -> None:
    with pytest.raises(BadInput, match=r"unknown finding of chexpert 'Effusion'"):
        data.open_set("chexpert", finding="Effusion")
