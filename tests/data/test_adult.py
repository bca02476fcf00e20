from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evenhand import data
from evenhand.data.adult import Adult
from evenhand.errors import BadInput

Write = Callable[..., Path]


def load(root: Path, **options: object) -> data.Data:
    return data.load("adult", root, any_size=True, **options)


# The real files


def test_real_parts_and_groups(real_root: Path) -> None:
    loaded = data.load("adult", real_root)
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (22621, 7541, 15060)
    assert loaded.test.count_G.tolist() == [4356, 7004, 557, 3143]
    assert loaded.train.group_name(2) == "income=>50K, sex=Female"


def test_real_inputs_are_32_standardised_on_train(real_root: Path) -> None:
    loaded = data.load("adult", real_root)
    x = loaded.train.inputs.take(torch.arange(len(loaded.train)))
    assert x.shape == (22621, 32)
    assert x.dtype == torch.float32
    assert len(loaded.feature_names) == 32
    torch.testing.assert_close(x[:, :5].mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(x[:, :5].std(0, correction=0), torch.ones(5), atol=1e-5, rtol=0)
    for start, size in ((5, 7), (12, 14), (26, 6)):
        assert x[:, start : start + size].sum(1).eq(1).all()


def test_real_files_pass_the_check(real_root: Path) -> None:
    assert Adult().check(real_root) == []


def test_real_rows_are_divided_by_the_seed(real_root: Path) -> None:
    first, again, other = (data.load("adult", real_root, split_seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert torch.equal(first.train.y, again.train.y)
    assert not torch.equal(first.train.y, other.train.y)
    assert (first.train.count_G + first.val.count_G).equal(other.train.count_G + other.val.count_G)


# Layouts


def test_official_layout(write_adult: Write) -> None:
    loaded = load(write_adult())
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (18, 6, 24)
    assert loaded.test.count_G.tolist() == [6, 6, 6, 6]


def test_header_line_and_plain_labels_mean_the_same(write_adult: Write, people: list[str]) -> None:
    official = load(write_adult())
    header = "age, workclass, fnlwgt, education, education-num, marital-status, occupation, relationship, race, sex, "
    header += "capital-gain, capital-loss, hours-per-week, native-country, classification"
    root = write_adult()
    for file in ("adult.data", "adult.test"):
        (root / "adult" / file).write_bytes("\r\n".join([header, *people]).encode())
    assert load(root).fingerprint == official.fingerprint


def test_incomplete_rows_are_left_out_wherever_the_value_is_missing(write_adult: Write, people: list[str]) -> None:
    root = write_adult(train=[*people, people[0].replace("United-States", "?")])
    assert len(load(root).train) + len(load(root).val) == 24


# Bad input


def test_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    with pytest.raises(BadInput, match=r"--root DIR.*EVENHAND_DATA.*evenhand data fetch adult"):
        data.load("adult")


def test_root_from_the_environment(write_adult: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENHAND_DATA", str(write_adult()))
    assert len(data.load("adult", any_size=True).test) == 24


def test_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere is not a folder.*fetch"):
        load(tmp_path / "nowhere")


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no folder 'adult'.*fetch"):
        load(tmp_path)


def test_file_that_is_not_there(write_adult: Write) -> None:
    root = write_adult()
    (root / "adult" / "adult.test").unlink()
    with pytest.raises(BadInput, match=r"needs the file .*adult\.test.*fetch"):
        load(root)


def test_number_of_rows(write_adult: Write) -> None:
    with pytest.raises(BadInput, match=r"adult\.data has 25 rows.* published 32561; it is cut off.*any_size"):
        data.load("adult", write_adult())


def test_last_line_cut_in_a_field(write_adult: Write, people: list[str]) -> None:
    root = write_adult(train=[*people, "31, Private, 775"])
    with pytest.raises(BadInput, match=r"adult\.data, line 26: 3 columns instead of 15; .*cut off"):
        load(root)


def test_last_line_cut_in_the_label(write_adult: Write, people: list[str]) -> None:
    root = write_adult(train=[*people, people[0][:-2]])
    with pytest.raises(BadInput, match=r"line 26: unknown label '<=5', wanted one of <=50K, >50K; .*cut off"):
        load(root)


def test_wrong_column_count_names_the_line(write_adult: Write, people: list[str]) -> None:
    root = write_adult(test=[*people[:3], people[3] + ", 1", *people[4:]])
    with pytest.raises(BadInput, match=r"adult\.test, line 5: 16 columns instead of 15$"):
        load(root)


def test_unknown_label(write_adult: Write, people: list[str]) -> None:
    with pytest.raises(BadInput, match=r"line 2: unknown label '>60K'"):
        load(write_adult(train=[people[0], people[1].replace("50K", "60K"), *people[2:]]))


def test_unknown_category(write_adult: Write, people: list[str]) -> None:
    with pytest.raises(BadInput, match=r"line 1: unknown workclass 'Privat', wanted one of Federal-gov, "):
        load(write_adult(train=[people[0].replace("Private", "Privat"), *people[1:]]))


@pytest.mark.parametrize("age", ["old", "nan", "inf", ""])
def test_number_that_is_none(write_adult: Write, people: list[str], age: str) -> None:
    with pytest.raises(BadInput, match=rf"line 1: age must be a number, got '{age}'"):
        load(write_adult(train=[people[0].replace("20", age, 1), *people[1:]]))


def test_label_only_in_test(write_adult: Write, people: list[str]) -> None:
    with pytest.raises(BadInput, match=r"label '>50K' never appears in .*adult\.data, only in .*adult\.test"):
        load(write_adult(train=[row for row in people if "<=50K" in row]))


def test_one_sex_only(write_adult: Write, people: list[str]) -> None:
    with pytest.raises(BadInput, match=r"sex 'Female' never appears in .*adult\.data"):
        load(write_adult(train=[row for row in people if "Female" not in row]))


@pytest.mark.parametrize("rows", [[], ["| only a remark"]])
def test_empty_file(write_adult: Write, rows: list[str]) -> None:
    with pytest.raises(BadInput, match="has no rows of data"):
        load(write_adult(train=rows))


def test_no_complete_row(write_adult: Write, people: list[str]) -> None:
    with pytest.raises(BadInput, match="no row without a missing value"):
        load(write_adult(train=people[-1:]))


def test_compressed_file(write_adult: Write) -> None:
    root = write_adult()
    (root / "adult" / "adult.data").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(BadInput, match=r"adult\.data is not UTF-8 text"):
        load(root)


@pytest.mark.parametrize("option", [{"split_sed": 1}, {"split_seed": "one"}])
def test_wrong_option(write_adult: Write, option: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="split_seed"):
        load(write_adult(), **option)


def test_negative_seed(write_adult: Write) -> None:
    with pytest.raises(BadInput, match="split_seed must not be negative, got -1"):
        load(write_adult(), split_seed=-1)


def test_check_lists_what_differs(write_adult: Write) -> None:
    differences = Adult().check(write_adult())
    assert "adult.data has 25 rows, published are 32561" in differences
    assert "adult.test has 24 complete rows, published are 15060" in differences
    assert "test group income=>50K, sex=Female has 6 rows, published are 557" in differences


def test_check_says_what_cannot_be_read(write_adult: Write) -> None:
    (difference,) = Adult().check(write_adult(train=["1, 2"]))
    assert "line 1: 2 columns instead of 15" in difference


def test_check_of_nothing_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder 'adult'"):
        Adult().check(tmp_path)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"unknown data set 'adlt'; did you mean 'adult'\?"):
        data.load("adlt")


def test_finding_data_sets_imports_neither_torch_nor_polars() -> None:
    code = (
        "import sys; from evenhand import data; [data.find(name) for name in data.names()]; "
        "print([m for m in ('torch', 'polars', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
