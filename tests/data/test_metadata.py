"""Tables beside images: columns read and refused with their place, files matched with rows, workbooks."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import draw, table, workbook

from evenhand.data._metadata import Metadata, files_below, leaves
from evenhand.data._sheet import read_sheet
from evenhand.errors import BadInput


@pytest.fixture
def people(tmp_path: Path) -> Metadata:
    lines = ["a.jpg,1,3.5,x", "b c.jpg,0.0,,y", "", "ü.jpg,1.0,7,"]
    return Metadata.read(table(tmp_path / "people.csv", "file,sex,age,word", lines), ("file", "sex", "age", "word"))


# Columns


def test_columns(people: Metadata) -> None:
    assert len(people) == 3
    assert people.texts("word", optional=True) == ["x", "y", None]
    assert people.codes("sex", ("0", "1")).tolist() == [1, 0, 1]
    np.testing.assert_array_equal(people.numbers("age", optional=True), [3.5, np.nan, 7.0])
    assert people.codes("word", ("y", "x"), optional=True).tolist() == [1, 0, -1]


def test_places_count_blank_lines_and_rows_that_were_filtered(people: Metadata) -> None:
    with pytest.raises(BadInput, match=r"people\.csv, line 5: word must be a value, got nothing"):
        people.texts("word")
    last = people.filtered(np.array([False, False, True]))
    with pytest.raises(BadInput, match=r"people\.csv, line 5: age must be one of 1, 2, got '7'"):
        last.codes("age", ("1", "2"))


@pytest.mark.parametrize("text", ["inf", "nan", "1e400", "7 years"])
def test_numbers_that_are_none(tmp_path: Path, text: str) -> None:
    found = Metadata.read(table(tmp_path / "t.csv", "a,b", ["1,x", f"{text},word"]), ("a",))
    with pytest.raises(BadInput, match=r"t\.csv, line 3: a must be a number, got "):
        found.numbers("a")


def test_made_columns(people: Metadata) -> None:
    made = people.with_texts("both", pl.col("sex") + pl.col("age"))
    assert made.texts("both", optional=True) == ["13.5", None, "1.07"]
    with pytest.raises(BadInput, match=r"people\.csv, line 3: both must be a value"):
        made.texts("both")


def test_parquet_names_rows(tmp_path: Path) -> None:
    pl.DataFrame({"y": [0, 1, 2]}).write_parquet(tmp_path / "t.parquet")
    found = Metadata.read(tmp_path / "t.parquet", ("y",))
    with pytest.raises(BadInput, match=r"t\.parquet, row 3: y must be one of 0, 1, got '2'"):
        found.codes("y", ("0", "1"))


def test_rows_of_another_table(tmp_path: Path, people: Metadata) -> None:
    words = Metadata.read(table(tmp_path / "words.csv", "word,n", ["y,0", "x,1"]), ("word", "n"))
    assert people.rows_of("word", "word", words, optional=True).tolist() == [1, 0, -1]
    with pytest.raises(BadInput, match=r"people\.csv, line 5: word must be one that has a row in .*words\.csv"):
        people.rows_of("word", "word", words)
    twice = Metadata.read(table(tmp_path / "words.csv", "word,n", ["y,0", "x,1", "y,2"]), ("word", "n"))
    with pytest.raises(BadInput, match=r"words\.csv, line 4: word must be different in every row, got 'y'"):
        people.rows_of("word", "word", twice, optional=True)


# Files


def test_files_with_spaces_and_accents(tmp_path: Path, people: Metadata) -> None:
    draw(tmp_path / "faces", ["a.jpg", "b c.jpg", "ü.jpg"])
    assert people.image_paths("file", tmp_path / "faces") == ("a.jpg", "b c.jpg", "ü.jpg")


def test_folders_and_endings(tmp_path: Path, people: Metadata) -> None:
    draw(tmp_path / "faces", ["one/a.png", "two/b c.jpg", "one/ü.jpg", "a.jpg"])
    found = people.image_paths("file", tmp_path / "faces", inside=("one/", "two/"), endings=(".jpg", ".png"))
    assert found == ("one/a.png", "two/b c.jpg", "one/ü.jpg")
    draw(tmp_path / "faces", ["two/a.jpg"])
    message = r"people\.csv, line 2: file must be one file of .*faces, not two of that name, got 'a\.jpg'"
    with pytest.raises(BadInput, match=message):
        people.image_paths("file", tmp_path / "faces", inside=("one/", "two/"), endings=(".jpg", ".png"))


def test_files_without_a_row_where_they_are_an_error(tmp_path: Path, people: Metadata) -> None:
    draw(tmp_path / "faces", ["a.jpg", "b c.jpg", "ü.jpg", "x/d.JPG", "e.jpg"])
    with pytest.raises(BadInput, match=r"e\.jpg has no row in .*people\.csv \(nor have 1 other files\)"):
        people.image_paths("file", tmp_path / "faces", unlisted=(".jpg",))


def test_names_that_differ_in_their_ending_are_one(tmp_path: Path) -> None:
    found = Metadata.read(table(tmp_path / "t.csv", "file,y", ["a.jpg,0", "a.png,1"]), ("file",))
    draw(tmp_path / "faces", ["a.jpg", "a.png"])
    assert found.image_paths("file", tmp_path / "faces") == ("a.jpg", "a.png")
    with pytest.raises(BadInput, match=r"t\.csv, line 3: file must be each image once, got 'a\.png'"):
        found.image_paths("file", tmp_path / "faces", endings=(".jpg", ".png"))


@pytest.mark.parametrize("path", ["/a", "\\a", "../a", "a/../../b", "a\\..\\b", "C:/a", "c:a"])
def test_paths_that_leave_the_folder(path: str) -> None:
    assert leaves(path)


@pytest.mark.parametrize("path", ["a", "a..b/c", "a b/..c", "é/ü.jpg", ".a"])
def test_paths_that_stay(path: str) -> None:
    assert not leaves(path)


def test_files_below_a_folder(tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.jpg", "b/c.jpg", "b/d/e f.jpg"])
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "gone.jpg").symlink_to(tmp_path / "in" / "nothing.jpg")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    for folder in ("in", "alias"):
        assert files_below(tmp_path / folder) == {"a.jpg", "b/c.jpg", "b/d/e f.jpg", "link.jpg"}


@pytest.mark.parametrize("target", ["out.jpg", "out"])
def test_links_that_lead_out(tmp_path: Path, target: str) -> None:
    draw(tmp_path, ["out.jpg", "out/a.jpg", "in/sub/a.jpg"])
    (tmp_path / "in" / "sub" / "link").symlink_to(tmp_path / target)
    with pytest.raises(BadInput, match=r"sub/link is a link to .*out(\.jpg)?, which is outside of .*in"):
        files_below(tmp_path / "in")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read the folder .*: No such file"):
        files_below(tmp_path / "none")


# Text


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("file,y\né.jpg,1\n".encode(encoding))
    with pytest.raises(BadInput, match=r"t\.csv, line [12]: not UTF-8 text"):
        Metadata.read(tmp_path / "t.csv", ("file", "y"))


def test_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("file,y\né.jpg,1\n".encode("utf-8-sig"))
    assert Metadata.read(tmp_path / "t.csv", ("file", "y")).texts("file") == ["é.jpg"]


def test_a_row_that_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"t\.csv, line 3: 2 fields, but the header has 3"):
        Metadata.read(table(tmp_path / "t.csv", "a,b,c", ["1,2,3", "4,5"]), ("a",))


# Workbooks

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="<>&"), max_size=5)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3).filter(any), max_size=6), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_sheets_hold_what_was_written(tmp_path: Path, rows: list[list[str]], shared: bool) -> None:
    file = workbook(tmp_path / "t.xlsx", [["a", "b", "c"], *rows], shared=shared)
    found = read_sheet(file, ("a", "c"))
    for place, name in enumerate("abc"):
        assert found.texts(name, optional=True) == [row[place] or None for row in rows]


def test_a_sheet_with_lines_above_its_head(tmp_path: Path) -> None:
    rows = [["Title"], ["b", None, "a"], [None, "a", "b", "a"], [], ["#1", 1, "x", 2], ["#2", None, "y"]]
    found = read_sheet(workbook(tmp_path / "t.xlsx", rows), ("b", "a"))
    assert found.texts("ID") == ["#1", "#2"]
    assert found.texts("a", optional=True) == ["1", None]
    with pytest.raises(BadInput, match=r"t\.xlsx, row 6: a must be a number, got nothing"):
        found.numbers("a")


def test_a_sheet_without_the_columns(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the first sheet of .*t\.xlsx has no row with the columns a, c"):
        read_sheet(workbook(tmp_path / "t.xlsx", [["a", "b"], [1, 2]]), ("a", "c"))


def test_files_that_are_no_workbooks(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no table .*none\.xlsx"):
        read_sheet(tmp_path / "none.xlsx", ("a",))
    (tmp_path / "t.xlsx").write_bytes(b"PK not really")
    with pytest.raises(BadInput, match=r"t\.xlsx is not an Excel workbook that can be read"):
        read_sheet(tmp_path / "t.xlsx", ("a",))
    with ZipFile(tmp_path / "t.xlsx", "w") as book:
        book.writestr("xl/other.xml", "")
    with pytest.raises(BadInput, match="is not an Excel workbook that can be read"):
        read_sheet(tmp_path / "t.xlsx", ("a",))
    with ZipFile(tmp_path / "t.xlsx", "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", '<!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>')
    with pytest.raises(BadInput, match="declares a document type"):
        read_sheet(tmp_path / "t.xlsx", ("a",))
