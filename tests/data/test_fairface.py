"""FairFace: nine groups of race and age, val cut from train, and tables that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import draw, group_counts, table

from evenhand import data
from evenhand.data.fairface import AGES, RACES, Fairface
from evenhand.errors import BadInput

HEAD = "file,age,gender,race,service_test"


def rows(part: str, per_group: int) -> list[str]:
    kinds = [(age, race) for age in AGES for race in RACES]
    return [
        f"{part}/{n + 1}.jpg,{age},{('Male', 'Female')[n % 2]},{race},True"
        for n, (age, race) in enumerate(kinds * per_group)
    ]


def write(root: Path, in_train: int, in_val: int) -> Path:
    for part, per_group in (("train", in_train), ("val", in_val)):
        lines = rows(part, per_group)
        table(root / "FairFace" / f"fairface_label_{part}.csv", HEAD, lines)
        draw(root / "FairFace", [line.split(",")[0] for line in lines])
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 faces of every age and race in train, 2 in val."""
    return write(tmp_path_factory.mktemp("faces"), 10, 2)


def test_nine_groups_of_race_and_age(root: Path) -> None:
    listing = Fairface().listing(root)
    # 3, 4 and 2 ages make a group, and 1, 1 and 5 races.
    sizes = [races * ages for races in (1, 1, 5) for ages in (3, 4, 2)]
    assert group_counts(listing) == [[9 * n for n in sizes], sizes, [2 * n for n in sizes]]
    assert listing.labelled.classes == ("White", "Black", "others")
    assert listing.labelled.attribute_values == (("0-19", "20-59", "60+"),)


def test_the_official_val_is_test(root: Path) -> None:
    listing = Fairface().listing(root)
    folders = [path.split("/")[0] for path in listing.paths]
    assert {*zip(folders, listing.parts.tolist(), strict=True)} == {("train", 0), ("train", 1), ("val", 2)}


def test_labels_are_those_of_the_table(root: Path) -> None:
    listing = Fairface(target="age", attribute="gender").listing(root)
    lines = [line.split(",") for line in (*rows("train", 10), *rows("val", 2))]
    assert list(listing.paths) == [line[0] for line in lines]
    assert listing.labelled.y.tolist() == [(AGES.index(line[1]) >= 3) + (AGES.index(line[1]) >= 7) for line in lines]
    assert listing.labelled.attributes[:, 0].tolist() == [int(line[2] == "Female") for line in lines]


def test_seed_chooses_val(root: Path) -> None:
    first, again, other = (Fairface(split_seed=seed).listing(root).parts.tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert data.load("fairface", root).val.count_G.sum() == 63


def test_check(tmp_path: Path) -> None:
    draw(write(tmp_path, 1, 1) / "FairFace", ["val/9999.jpg", "elsewhere/9.jpg"])
    first, last = Fairface().check(tmp_path)
    assert first.endswith("FairFace has 126 images, published are 97698")
    assert last.endswith("9999.jpg has no row")


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        ("train", ",0-2,", ",2,", r"label_train\.csv, line 2: age must be one of 0-2, .*, got '2'"),
        ("train", ",Black,", ",,", r"label_train\.csv, line 3: race must be one of .*, got nothing"),
        ("val", "val/3.jpg", "val/4.jpg", r"label_val\.csv, line 5: file must be each image once, got 'val/4\.jpg'"),
        ("val", "val/3.jpg", "train/3.jpg", r"train/3\.jpg is named in .*train\.csv and in .*val\.csv"),
        ("val", "val/3.jpg", "val/9999.jpg", r"line 4: file must be a file in .* that is there, got 'val/9999\.jpg'"),
    ],
)
def test_wrong_tables(tmp_path: Path, part: str, old: str, new: str, message: str) -> None:
    file = write(tmp_path, 1, 1) / "FairFace" / f"fairface_label_{part}.csv"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=message):
        data.load("fairface", tmp_path)


def test_target_and_attribute_differ() -> None:
    with pytest.raises(BadInput, match="target and attribute must differ, got 'age' for both"):
        data.open_set("fairface", target="age")
