"""Waterbirds: the real files, both folder names and both targets, and every way in which the table can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pictures import draw, group_counts, table

from evenhand import data
from evenhand.data.waterbirds import Waterbirds
from evenhand.errors import BadInput
from real import root_with

HEAD = "img_id,img_filename,y,split,place,place_filename"
Write = Callable[..., Path]


def rows(spaced: bool = False) -> list[str]:
    """Two birds of every kind, place and part."""
    found = []
    for number in range(24):
        y, place, split = number % 2, number // 2 % 2, number // 4 % 3
        name = f"{number:03}.Bird{' of the lake' if spaced else ''}/Bird_é{number}.jpg"
        found.append(f"{number},{name},{y},{split},{place},/l/lake/{number}.jpg")
    return found


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(lines: Sequence[str], *, head: str = HEAD, folder: str = "waterbirds_v1.0") -> Path:
        draw(
            tmp_path / folder, [line.split(",")[1] for line in lines if not line.split(",")[1].startswith(("/", ".."))]
        )
        table(tmp_path / folder / "metadata.csv", head, lines)
        return tmp_path

    return write


def changed(lines: list[str], row: int, column: int, value: str) -> list[str]:
    fields = lines[row].split(",")
    fields[column] = value
    return [*lines[:row], ",".join(fields), *lines[row + 1 :]]


# The real files


def test_real_groups() -> None:
    listing = Waterbirds().listing(root_with("waterbirds_v1.0"))
    assert group_counts(listing) == [[3498, 184, 56, 1057], [467, 466, 133, 133], [2255, 2255, 642, 642]]
    assert listing.labelled.classes == ("landbird", "waterbird")
    assert listing.paths[0] == "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg"
    assert (listing.labelled.y[0], listing.labelled.attributes[0].tolist(), listing.parts[0]) == (1, [1], 2)


def test_real_groups_with_the_place_as_target() -> None:
    listing = Waterbirds(target="place").listing(root_with("waterbirds_v1.0"))
    assert group_counts(listing)[0] == [3498, 56, 184, 1057]
    assert listing.labelled.label_name == "place"
    assert listing.labelled.attribute_names == ("bird",)


@pytest.mark.parametrize("target", ["bird", "place"])
def test_real_files_differ_in_nothing(target: str) -> None:
    root = root_with("waterbirds_v1.0")
    chosen = data.open_set("waterbirds", target=target)
    assert isinstance(chosen, Waterbirds)
    assert set(chosen.wanted()) == {"train", "val", "test"}
    assert chosen._count_differences(chosen.listing(root)) == []


# Layouts


@pytest.mark.parametrize("folder", ["waterbirds_v1.0", "waterbird_complete95_forest2water2"])
def test_both_official_folder_names(write: Write, folder: str) -> None:
    loaded = data.load("waterbirds", write(rows(), folder=folder))
    assert loaded.train.count_G.tolist() == [2, 2, 2, 2]
    assert (len(loaded.val), len(loaded.test)) == (8, 8)
    assert loaded.train.group_name(1) == "bird=landbird, place=water"


def test_paths_with_spaces_and_accents(write: Write) -> None:
    loaded = data.load("waterbirds", write(rows(spaced=True)))
    assert len(loaded.train) == 8


def test_numbers_written_as_decimals(write: Write) -> None:
    decimals = [",".join([*row.split(",")[:2], *(f"{v}.0" for v in row.split(",")[2:5]), "x"]) for row in rows()]
    assert group_counts(Waterbirds().listing(write(decimals))) == group_counts(Waterbirds().listing(write(rows())))


def test_check_counts_every_group_and_names_strays(write: Write) -> None:
    root = write(rows())
    draw(root / "waterbirds_v1.0", ["999.New/Bird.JPG"])
    (root / "waterbirds_v1.0" / "RELEASE.txt").write_text("not an image")
    found = Waterbirds().check(root)
    assert f"{root / 'waterbirds_v1.0'} has 24 images, published are 11788" in found
    assert "train has 2 images of bird=landbird, place=land, published are 3498" in found
    assert "test has 2 images of bird=waterbird, place=water, published are 642" in found
    assert found[-1] == f"{root / 'waterbirds_v1.0' / '999.New' / 'Bird.JPG'} has no row"
    assert len(found) == 1 + 12 + 1


# Bad input


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (2, "waterbird", r"metadata\.csv, line 6: y must be one of 0, 1, got 'waterbird'"),
        (2, "2", r"metadata\.csv, line 6: y must be one of 0, 1, got '2'"),
        (4, "nan", r"metadata\.csv, line 6: place must be one of 0, 1, got nothing"),
        (4, "", r"metadata\.csv, line 6: place must be one of 0, 1, got nothing"),
        (3, "3", r"metadata\.csv, line 6: split must be one of 0, 1, 2, got '3'"),
        (1, "", r"metadata\.csv, line 6: img_filename must be the path of an image, got nothing"),
        (1, "../x.jpg", r"metadata\.csv, line 6: img_filename must be a path inside .*, got '\.\./x\.jpg'"),
        (1, "/etc/x.jpg", r"line 6: img_filename must be a path inside .*, got '/etc/x\.jpg'"),
        (1, "000.Bird/Bird_é0.jpg", r"line 6: img_filename must be each image once, got '000\.Bird/Bird_é0\.jpg'"),
    ],
)
def test_wrong_values(write: Write, column: int, value: str, message: str) -> None:
    root = write(rows())
    table(root / "waterbirds_v1.0" / "metadata.csv", HEAD, changed(rows(), 4, column, value))
    with pytest.raises(BadInput, match=message):
        data.load("waterbirds", root)


def test_row_without_a_file(write: Write) -> None:
    root = write(rows())
    for number in (4, 9):
        (root / "waterbirds_v1.0" / rows()[number].split(",")[1]).unlink()
    message = r"line 6: img_filename must be a file in .* that is there, got '004\.Bird/Bird_é4\.jpg' \(and 1 more\)"
    with pytest.raises(BadInput, match=message):
        data.load("waterbirds", root)
    assert len(Waterbirds().check(root)) == 1


def test_missing_column(write: Write) -> None:
    with pytest.raises(BadInput, match=r"unknown column of .*metadata\.csv 'place'"):
        data.load("waterbirds", write(rows(), head=HEAD.replace("place,", "plaice,")))


def test_part_without_images(write: Write) -> None:
    root = write([row for row in rows() if row.split(",")[3] != "1"])
    with pytest.raises(BadInput, match=r"the part 'val' of .* has no images \(parts are those of the column split of "):
        data.load("waterbirds", root)


def test_class_that_train_lacks(write: Write) -> None:
    root = write([row for row in rows() if row.split(",")[2:4] != ["1", "0"]])
    with pytest.raises(BadInput, match=r"no image of train in .* is of the class bird=waterbird"):
        data.load("waterbirds", root)


def test_table_in_utf_16(write: Write) -> None:
    file = write(rows()) / "waterbirds_v1.0" / "metadata.csv"
    file.write_bytes(file.read_text(encoding="utf-8").encode("utf-16"))
    with pytest.raises(BadInput, match=r"metadata\.csv, line 1: not UTF-8 text"):
        data.load("waterbirds", file.parents[1])


def test_link_out_of_the_folder(write: Write, tmp_path: Path) -> None:
    root = write(rows())
    draw(tmp_path, ["elsewhere.jpg"])
    (root / "waterbirds_v1.0" / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(BadInput, match=r"link\.jpg is a link to .*elsewhere\.jpg, which is outside of "):
        data.load("waterbirds", root)


def test_missing_table(tmp_path: Path) -> None:
    (tmp_path / "waterbirds_v1.0").mkdir()
    with pytest.raises(BadInput, match=r"waterbirds needs the file .*metadata\.csv, which is not there; see https"):
        Waterbirds().check(tmp_path)


def test_unknown_target() -> None:
    with pytest.raises(BadInput, match="target"):
        data.open_set("waterbirds", target="species")
