"""PAPILA: the sheets of both eyes in their official form, patients that stay together, and sheets that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import assert_apart, draw, group_counts, table, workbook

from evenhand import data
from evenhand.data.papila import BY_AGE, BY_SEX, EYES, Papila
from evenhand.errors import BadInput

Patient = tuple[str, int, int, int]  # ID, age, gender, diagnosis


def patients(eye: str) -> list[Patient]:
    """60 patients of every age group and gender; the left eye of every third is suspected, a quarter are ill."""
    ill = [2 if eye == "OS" and n % 3 == 0 else int(n % 4 == 1 or n % 8 == 2) for n in range(60)]
    return [(f"#{n + 2:03}", (45, 60)[n // 2 % 2], n % 2, ill[n]) for n in range(60)]


def write(root: Path, *, kind: str = "shared", folder: str = "PAPILA") -> Path:
    """Both sheets: a line of headings, one with the names of the columns, one that only says ID."""
    for eye in EYES:
        rows = patients(eye)
        file = root / folder / "ClinicalData" / f"patient_data_{eye.lower()}"
        if kind == "csv":
            table(file.with_suffix(".csv"), "ID,Age,Gender,Diagnosis", [",".join(map(str, row)) for row in rows])
        else:
            heads = (
                [None, None, None, None, "Refractive_Defect", None],
                [None, "Age", "Gender", "Diagnosis", "dioptre_1"],
            )
            lines = [*heads, ["ID"], *rows]
            workbook(file.with_suffix(".xlsx"), lines, shared=kind == "shared")
        draw(root / folder / "FundusImages", [f"RET{row[0][1:]}{eye}.jpg" for row in rows])
    return root


@pytest.mark.parametrize("kind", ["shared", "in cells", "csv"])
def test_groups(tmp_path: Path, kind: str) -> None:
    listing = Papila().listing(write(tmp_path, kind=kind))
    rows = [(eye, *row) for eye in EYES for row in patients(eye)]
    kept = [row for row in rows if row[4] < 2]
    assert list(listing.paths) == [f"FundusImages/RET{row[1][1:]}{row[0]}.jpg" for row in kept]
    assert listing.labelled.y.tolist() == [row[4] for row in kept]
    assert listing.labelled.attributes[:, 0].tolist() == [row[3] for row in kept]
    assert listing.notes == ("left out: 20 images of eyes that are suspected of glaucoma",)
    assert len(listing.left_out) == 20


def test_both_eyes_of_a_patient_are_in_one_part(tmp_path: Path) -> None:
    listing = Papila().listing(write(tmp_path))
    assert_apart(listing, [path[16:19] for path in listing.paths])
    counts_PG = np.array(group_counts(listing))
    assert (counts_PG > 0).all()
    assert np.abs(counts_PG - np.outer((0.7, 0.1, 0.2), counts_PG.sum(axis=0))).max() < 4


def test_age_from_sixty_on(tmp_path: Path) -> None:
    listing = Papila(attribute="age").listing(write(tmp_path, folder="papila"))
    ages = {row[0][1:]: row[1] for row in patients("OD")}
    assert listing.labelled.attributes[:, 0].tolist() == [int(ages[path[16:19]] >= 60) for path in listing.paths]


def test_published_groups_are_those_of_the_study() -> None:
    """Its Table 1: 420 images, 87 positive; 34.8 % of men, of whom 24.0 % positive; 40.5 % below 60, 6.47 %."""
    healthy_m, _, ill_m, _ = BY_SEX
    healthy_y, _, ill_y, _ = BY_AGE
    for counts in (BY_SEX, BY_AGE):
        assert (sum(counts), counts[2] + counts[3]) == (420, 87)
    assert round(100 * (healthy_m + ill_m) / 420, 1) == 34.8
    assert round(100 * ill_m / (healthy_m + ill_m), 1) == 24.0
    assert round(100 * (healthy_y + ill_y) / 420, 1) == 40.5
    assert round(100 * ill_y / (healthy_y + ill_y), 2) == 6.47


def test_check(tmp_path: Path) -> None:
    root = write(tmp_path)
    draw(root / "PAPILA", ["ExpertsSegmentations/RET002OD.jpg", "FundusImages/RET999OD.jpg"])
    found = Papila().check(root)
    assert found[0].endswith("PAPILA has 120 images, published are 488")
    assert "there are " in found[1]
    assert found[-1].endswith("RET999OD.jpg has no row")
    assert not [text for text in found if "ExpertsSegmentations" in text]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, "#002", r"patient_data_od\.xlsx, row 7: image must be each image once, got 'FundusImages/RET002OD\.jpg'"),
        (0, "#777", r"row 7: image must be a file in .* that is there, got 'FundusImages/RET777OD\.jpg'"),
        (0, "#0/../../1", r"row 7: image must be a path inside"),
        (0, None, r"row 7: image must be the path of an image, got nothing"),
        (1, "old", r"row 7: Age must be a number, got 'old'"),
        (2, "F", r"row 7: Gender must be one of 0, 1, got 'F'"),
        (3, None, r"row 7: Diagnosis must be one of 0, 1, 2, got nothing"),
    ],
)
def test_wrong_values(tmp_path: Path, column: int, value: str | None, message: str) -> None:
    write(tmp_path)
    rows: list[list[str | int | None]] = [[None, "Age", "Gender", "Diagnosis"], *map(list, patients("OD"))]
    rows[6][column] = value
    workbook(tmp_path / "PAPILA" / "ClinicalData" / "patient_data_od.xlsx", rows)
    with pytest.raises(BadInput, match=message):
        data.load("papila", tmp_path)


def test_a_sheet_that_is_not_there(tmp_path: Path) -> None:
    (write(tmp_path) / "PAPILA" / "ClinicalData" / "patient_data_os.xlsx").unlink()
    with pytest.raises(BadInput, match=r"papila needs the file .*patient_data_os\.xlsx, which is not there"):
        data.load("papila", tmp_path)
