"""HAM10000: the real table, both layouts, lesions that stay together, and a table that is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pictures import assert_apart, draw, group_counts, table

from evenhand import data
from evenhand.data.ham10000 import SEXES, Ham10000
from evenhand.errors import BadInput
from real import root_with

HEAD = "lesion_id,image_id,dx,dx_type,age,sex,localization"
DX = ("nv", "mel", "bcc", "akiec", "bkl", "df", "vasc")
Write = Callable[..., Path]


def rows() -> list[str]:
    """140 images of 70 lesions, two of each, of every diagnosis, sex and age group."""
    return [
        f"HAM_{n:07},ISIC_{2 * n + view:07},{DX[n % 7]},histo,{35 + 25 * (n // 14 % 2)}.0,{SEXES[n // 7 % 2]},back"
        for n in range(70)
        for view in (0, 1)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(lines: Sequence[str], folders: Sequence[str] = ("HAM10000_images",), name: str = "ham10000") -> Path:
        images = [line.split(",")[1] for line in lines]
        draw(tmp_path / name, [f"{folders[n % len(folders)]}/{image}.jpg" for n, image in enumerate(images)])
        table(tmp_path / name / "HAM10000_metadata.csv", HEAD, lines)
        return tmp_path

    return write


# The real files


def test_real_groups_and_shares() -> None:
    listing = Ham10000().listing(root_with("ham10000"))
    assert np.sum(group_counts(listing), axis=0).tolist() == [4175, 3821, 1225, 727]
    assert np.bincount(listing.parts).tolist() == [7956, 996, 996]
    shares_PG = np.array(group_counts(listing)) / [4175, 3821, 1225, 727]
    np.testing.assert_allclose(shares_PG, np.array([[0.8], [0.1], [0.1]]) * np.ones(4), atol=0.002)
    assert listing.notes == ("left out: 67 images of patients of unknown sex or age",)
    assert len(listing.left_out) == 67


def test_real_lesions_are_on_one_side() -> None:
    root = root_with("ham10000")
    listing = Ham10000().listing(root)
    with (root / "ham10000" / "HAM10000_metadata.csv").open() as file:
        lesion = {row["image_id"]: row["lesion_id"] for row in csv.DictReader(file)}
    lesions = [lesion[Path(path).stem] for path in listing.paths]
    assert len(set(lesions)) < len(lesions)
    assert_apart(listing, lesions)


def test_real_files_differ_in_nothing() -> None:
    root = root_with("ham10000")
    chosen = Ham10000()
    assert chosen._count_differences(chosen.listing(root)) == []


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        # Age below 60 and from 60 on.
        ({"attribute": "age"}, [5715, 2281, 634, 1318]),
        # The positive class of the study of neural collapse in medical imaging: 1438 of those of known sex.
        ({"malignant": ("mel", "akiec")}, [4492, 4018, 908, 530]),
    ],
)
def test_real_choices(options: dict[str, object], counts: list[int]) -> None:
    listing = Ham10000(**options).listing(root_with("ham10000"))
    assert np.sum(group_counts(listing), axis=0).tolist() == counts


# Layouts


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("HAM10000_images",), "ham10000"),
        (("HAM10000_images_part_1", "HAM10000_images_part_2"), "HAM10000"),
        (("images",), "ham10000"),
    ],
)
def test_layouts(write: Write, folders: Sequence[str], name: str) -> None:
    loaded = data.load("ham10000", write(rows(), folders, name))
    total = sum(loaded.count_G.values())
    assert total.tolist() == [40, 40, 30, 30]
    assert loaded.train.group_name(2) == "lesion=malignant, sex=male"
    assert not loaded.notes


def test_age_from_sixty_on(write: Write) -> None:
    listing = Ham10000(attribute="age").listing(write(rows()))
    assert listing.labelled.attribute_values == (("<60", ">=60"),)
    ages = [float(row.split(",")[4]) for row in rows()]
    assert listing.labelled.attributes[:, 0].tolist() == [int(age >= 60) for age in ages]


def test_unknown_sex_and_missing_age_are_left_out(write: Write) -> None:
    lines = rows()
    lines[0] = lines[0].replace(",male,", ",unknown,")
    lines[5] = lines[5].replace(",35.0,", ",,")
    for attribute in ("sex", "age"):
        listing = Ham10000(attribute=attribute).listing(write(lines))
        assert len(listing.paths) == 138
        assert listing.notes == ("left out: 2 images of patients of unknown sex or age",)
        assert listing.left_out == ("HAM10000_images/ISIC_0000000.jpg", "HAM10000_images/ISIC_0000005.jpg")


def test_seed_deals_the_lesions(write: Write) -> None:
    root = write(rows())
    first, again, other = (Ham10000(split_seed=seed).listing(root).parts.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_check_knows_the_images_that_are_left_out(write: Write) -> None:
    lines = rows()
    lines[0] = lines[0].replace(",male,", ",unknown,")
    root = write(lines)
    assert not [text for text in Ham10000().check(root) if "no row" in text]
    draw(root / "ham10000" / "HAM10000_images", ["ISIC_9999999.jpg"])
    assert Ham10000().check(root)[-1].endswith("ISIC_9999999.jpg has no row")


# Bad input


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",mel,", ",melanoma,", r"metadata\.csv, line 4: dx must be one of akiec, .*, got 'melanoma' \(and 19 more\)"),
        (",female,", ",f,", r"metadata\.csv, line 16: sex must be one of male, female, got 'f'"),
        (",35.0,", ",old,", r"metadata\.csv, line 2: age must be a number, got 'old'"),
        ("HAM_0000003,", ",", r"metadata\.csv, line 8: lesion_id must be a value, got nothing"),
    ],
)
def test_wrong_values(write: Write, old: str, new: str, message: str) -> None:
    root = write([row.replace(old, new) for row in rows()])
    with pytest.raises(BadInput, match=message):
        data.load("ham10000", root)


def test_image_in_both_folders(write: Write) -> None:
    root = write(rows())
    draw(root / "ham10000", ["HAM10000_images_part_2/ISIC_0000003.jpg"])
    message = r"line 5: image_id must be one file of .*, not two of that name, got 'ISIC_0000003'"
    with pytest.raises(BadInput, match=message):
        data.load("ham10000", root)


def test_image_that_is_not_there(write: Write) -> None:
    root = write(rows())
    (root / "ham10000" / "HAM10000_images" / "ISIC_0000003.jpg").unlink()
    message = r"line 5: image_id must be a file in .* that is there, got 'HAM10000_images/ISIC_0000003\.jpg'"
    with pytest.raises(BadInput, match=message):
        data.load("ham10000", root)


@pytest.mark.parametrize(
    ("malignant", "message"),
    [("melanoma", "unknown diagnosis of ham10000 'melanoma'"), (",".join(DX), "some diagnoses and not all 7")],
)
def test_diagnoses_that_make_no_two_classes(malignant: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.open_set("ham10000", malignant=malignant)
