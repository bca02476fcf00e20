"""ISIC: trap sets in the layout of their authors, val taken out of train, and tables that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import draw, group_counts, table

from evenhand import data
from evenhand.data.isic import TEST, TRAP_SETS, Isic
from evenhand.errors import BadInput

HEAD = ",image,dark_corner,hair,gel_border,gel_bubble,ruler,ink,patches,vasc,label,label_string"
IMAGES = "ISIC2018_Task1-2_Training_Input"


def row(number: int) -> str:
    label, patch, hair = number % 2, number // 2 % 2, number // 4 % 2
    name = ("benign", "malignant")[label]
    return f"{number},ISIC_{number:07}.png,0,{hair},0,0,0,0,{patch},0,{label},{name}"


def write(root: Path, trap_set: int = 1, ending: str = ".jpg") -> Path:
    """40 images: 0-23 in train, of which 16-23 are also in val, 24-39 in test."""
    folder = root / "isic"
    for part, numbers in (("train", range(24)), ("val", range(16, 24)), ("test", range(24, 40))):
        table(folder / "trap-sets" / f"isic_annotated_{part}{trap_set}.csv", HEAD, map(row, numbers))
    draw(folder / IMAGES, [f"ISIC_{number:07}{ending}" for number in range(40)])
    return root


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_groups_with_the_official_images_or_those_that_the_tables_name(tmp_path: Path, ending: str) -> None:
    listing = Isic().listing(write(tmp_path, ending=ending))
    assert group_counts(listing) == [[4, 4, 4, 4], [2, 2, 2, 2], [4, 4, 4, 4]]
    assert listing.paths[0] == f"{IMAGES}/ISIC_0000000{ending}"
    assert [listing.parts[n] for n in (0, 15, 16, 23, 24, 39)] == [0, 0, 1, 1, 2, 2]
    assert listing.labelled.y.tolist() == [n % 2 for n in range(40)]
    assert listing.labelled.attributes[:, 0].tolist() == [n // 2 % 2 for n in range(40)]


def test_another_artefact_and_trap_set(tmp_path: Path) -> None:
    loaded = data.load("isic", write(tmp_path, trap_set=3), attribute="hair", trap_set=3)
    assert loaded.train.attribute_names == ("hair",)
    assert loaded.train.count_G.tolist() == [4, 4, 4, 4]
    with pytest.raises(BadInput, match=r"isic needs the file .*isic_annotated_train1\.csv, which is not there"):
        data.load("isic", tmp_path)


def test_a_group_that_is_empty_in_test(tmp_path: Path) -> None:
    """As in the official tables, where no malignant lesion of val and test has a patch."""
    root = write(tmp_path)
    rows = [row(n) for n in range(24, 40) if n % 4 != 3]
    table(root / "isic" / "trap-sets" / "isic_annotated_test1.csv", HEAD, rows)
    loaded = data.load("isic", root)
    assert loaded.test.count_G.tolist() == [4, 4, 4, 0]


@pytest.mark.parametrize("trap_set", range(1, 6))
def test_published_sizes(trap_set: int) -> None:
    """The tables list 1822 images in train, 259 of them also in val, and 772 in test: all 2594 of the challenge."""
    counts = Isic(trap_set=trap_set).wanted()
    assert [sum(counts[part]) for part in ("train", "val", "test")] == [1822 - 259, 259, 772]
    assert sum(map(sum, counts.values())) == Isic.published_images
    # Train and val together are the same images in all five.
    assert [a + b for a, b in zip(*TRAP_SETS[trap_set - 1], strict=True)] == [1346, 111, 363, 2]
    assert counts["test"] == TEST


def test_check_tells_part_and_group(tmp_path: Path) -> None:
    root = write(tmp_path)
    draw(root / "isic" / IMAGES, ["ISIC_0000099.jpg"])
    found = Isic().check(root)
    assert "test has 4 images of lesion=malignant, patches=with, published are 0" in found
    assert found[-1].endswith("ISIC_0000099.jpg has no row")
    assert Isic(attribute="ruler").wanted() == {}


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        (
            "train",
            ",1,malignant",
            ",malignant,malignant",
            r"train1\.csv, line 3: label must be one of 0, 1, got 'mal",
        ),
        ("train", "ISIC_0000001", "ISIC_0000000", r"line 3: image must be each image once, got 'ISIC_0000000\.png'"),
        ("train", "ISIC_0000001", "ISIC_0000077", r"line 3: image must be a file in .* that is there, got 'ISIC2018"),
        ("train", "ISIC_0000001", "../ISIC_0000001", r"line 3: image must be a path inside"),
        ("test", "ISIC_0000025", "ISIC_0000001", r"test1\.csv names .*0000001\.jpg, which is also in train or val"),
        ("test", "ISIC_0000025", "ISIC_0000017", r"test1\.csv names .*0000017\.jpg, which is also in train or val"),
    ],
)
def test_wrong_tables(tmp_path: Path, part: str, old: str, new: str, message: str) -> None:
    file = write(tmp_path) / "isic" / "trap-sets" / f"isic_annotated_{part}1.csv"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=message):
        data.load("isic", tmp_path)


@pytest.mark.parametrize("trap_set", [0, 6])
def test_there_are_five_trap_sets(trap_set: int) -> None:
    with pytest.raises(BadInput, match="trap_set must be 1 to 5, got"):
        data.open_set("isic", trap_set=trap_set)
