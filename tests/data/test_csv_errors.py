"""Every way in which a table or its description can be wrong, with the message that people see."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from evenhand import data
from evenhand.errors import BadInput

GOOD = """
path = "people.csv"
label = "income"
attributes = ["sex"]
split = "part"
"""
TABLE = """age,job,sex,income,part
10,cook,F,low,train
20,clerk,M,high,train
30,cook,F,low,val
40,clerk,M,high,test
"""


def problem(folder: Path, description: str = GOOD, table: str | bytes = TABLE, file: str = "people.csv") -> str:
    (folder / file).write_bytes(table if isinstance(table, bytes) else table.encode())
    (folder / "people.toml").write_text(description)
    with pytest.raises(BadInput) as caught:
        data.load(str(folder / "people.toml"))
    assert caught.value.exit_code == 2
    return str(caught.value)


# The description


def test_the_unharmed_table_loads(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(TABLE)
    (tmp_path / "people.toml").write_text(GOOD)
    assert len(data.load(str(tmp_path / "people.toml")).train) == 2


def test_csv_without_a_description() -> None:
    with pytest.raises(BadInput, match="give the path of the TOML file"):
        data.load("csv")


def test_no_description(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file .*none\.toml"):
        data.load(str(tmp_path / "none.toml"))


def test_toml_syntax_names_the_line(tmp_path: Path) -> None:
    message = problem(tmp_path, GOOD + "features = [age]\n")
    assert "people.toml is not valid TOML" in message
    assert "line 6" in message


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            'atributes = ["sex"]',
            "people.toml: unknown option of the description 'atributes'; did you mean 'attributes'?",
        ),
        ("fractions = [0.5, 0.5]", "fractions must be three positive shares that add up to 1, got [0.5, 0.5]"),
        ("fractions = [0.6, 0.3, 0.2]", "fractions must be three positive shares"),
        ("fractions = 1", "fractions must be a list, got 1"),
        ("features = 3", "features must be a list, got 3"),
        ('seed = "one"', "option seed of the description takes a whole number, got 'one'"),
        ("seed = -1", "seed must not be negative, got -1"),
        ('missing = "ignore"', "missing of the description 'ignore'"),
        ('features = ["age", "income"]', "features must not name the label or the split column, but names 'income'"),
        ('features = ["age", "age"]', "features names a column twice"),
        ('training = "long"', "training must be a table of settings, got 'long'"),
        ("[training]\nepoch = 3", "unknown option of the table [training] 'epoch'; did you mean 'epochs'?"),
        ("[training]\nepochs = 0", "epochs must be at least 1, got 0"),
        ('separator = "||"', "separator must be a single character, got '||'"),
        (
            'positive = "medium"',
            "positive must be one of the two values of 'income', got 'medium'; the values are high, low",
        ),
        ('features = ["aeg"]', "people.csv 'aeg'; did you mean 'age'?"),
        ('exclude = ["x"]', "unknown column of"),
        ('categorical = ["jobs"]', "did you mean 'job'?"),
        ('exclude = ["age", "job"]', "has no column left to be a feature beside income, sex, age, job, part"),
    ],
)
def test_wrong_entry(tmp_path: Path, line: str, wanted: str) -> None:
    assert wanted in problem(tmp_path, GOOD + line)


@pytest.mark.parametrize("key", ["path", "label"])
def test_required_entry(tmp_path: Path, key: str) -> None:
    description = "\n".join(line for line in GOOD.splitlines() if not line.startswith(key))
    assert f"must give {key!r}" in problem(tmp_path, description)


def test_label_that_is_the_split(tmp_path: Path) -> None:
    assert "label and split are the same column" in problem(tmp_path, GOOD.replace('"income"', '"part"'))


def test_label_column_that_is_not_there(tmp_path: Path) -> None:
    assert "'incom'; did you mean 'income'?" in problem(tmp_path, GOOD.replace('"income"', '"incom"'))


# The file


def test_no_table(tmp_path: Path) -> None:
    assert "there is no table" in problem(tmp_path, file="other.csv")


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    message = problem(tmp_path, GOOD.replace("people.csv", "people.xlsx"), file="people.xlsx")
    assert "must end in one of .csv, .txt, .tsv, .tab, .parquet" in message


@pytest.mark.parametrize("table", ["", "age,job,sex,income,part\n", "age,job,sex,income,part\n\n\n"])
def test_empty_table(tmp_path: Path, table: str) -> None:
    message = problem(tmp_path, table=table)
    assert "people.csv has no rows of data" in message or "empty" in message


def test_row_too_long(tmp_path: Path) -> None:
    table = TABLE.replace("20,clerk", "20,30,clerk")
    assert "people.csv, line 3: 6 fields, but the header has 5" in problem(tmp_path, table=table)


def test_row_too_short(tmp_path: Path) -> None:
    table = TABLE.replace("30,cook,", "30,")
    assert "people.csv, line 4: 4 fields, but the header has 5" in problem(tmp_path, table=table)


def test_line_is_right_after_quoted_line_breaks(tmp_path: Path) -> None:
    table = TABLE.replace("10,cook", '10,"co\nok"').replace("30,cook,", "30,")
    assert "people.csv, line 5: 4 fields" in problem(tmp_path, table=table)


def test_last_row_cut_off(tmp_path: Path) -> None:
    assert "people.csv, line 5: 3 fields, but the header has 5" in problem(tmp_path, table=TABLE[:-12])


def test_not_text(tmp_path: Path) -> None:
    table = TABLE.encode().replace(b"30,cook", b"30,c\xffok")
    assert "people.csv, line 4: not UTF-8 text" in problem(tmp_path, table=table)


def test_broken_parquet(tmp_path: Path) -> None:
    message = problem(tmp_path, GOOD.replace("people.csv", "people.parquet"), file="people.parquet")
    assert "cannot read" in message


# The content


def test_label_only_in_test(tmp_path: Path) -> None:
    message = problem(tmp_path, table=TABLE + "50,cook,F,medium,test\n")
    assert "label 'medium' of 'income' in" in message
    assert "appears only in test, never in train" in message


def test_one_class(tmp_path: Path) -> None:
    assert "label 'income' of" in problem(tmp_path, table=TABLE.replace("high", "low"))
    assert "has 1 different value(s)" in problem(tmp_path, table=TABLE.replace("high", "low"))


def test_attribute_with_one_value(tmp_path: Path) -> None:
    assert "has only one value, 'F'" in problem(tmp_path, table=TABLE.replace(",M,", ",F,"))


def test_attribute_with_too_many_values(tmp_path: Path) -> None:
    rows = "".join(f"{i},cook,{i},low,train\n" for i in range(200))
    assert "has 202 different values, more than 100" in problem(tmp_path, table=TABLE + rows)


def test_part_without_rows(tmp_path: Path) -> None:
    assert "the part 'val' of" in problem(tmp_path, table=TABLE.replace("val", "train"))


def test_unknown_part(tmp_path: Path) -> None:
    message = problem(tmp_path, table=TABLE.replace("low,val", "low,valid"))
    assert "people.csv, line 4: part must be one of train, val, test, got 'valid'" in message


def test_infinite_number(tmp_path: Path) -> None:
    message = problem(tmp_path, table=TABLE.replace("20,clerk", "-inf,clerk"))
    assert "people.csv, line 3: age must be a finite number, got -inf" in message


def test_not_a_number_is_missing(tmp_path: Path) -> None:
    assert "line 3: age is missing" in problem(tmp_path, table=TABLE.replace("20,clerk", "nan,clerk"))


def test_text_among_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{i},cook,F,low,train\n" for i in range(30))
    message = problem(tmp_path, table=TABLE + "3o,cook,F,low,train\n" + rows)
    assert "people.csv, line 6: '3o' among the numbers of the column 'age'" in message


def test_too_many_categories(tmp_path: Path) -> None:
    rows = "".join(f"{i},name{i},F,low,train\n" for i in range(1001))
    message = problem(tmp_path, table=TABLE + rows)
    assert "the column 'job' of" in message
    assert "1003 different values, more than the 1000" in message
    assert "exclude" in message


def test_dates_are_refused(tmp_path: Path) -> None:
    table = pl.read_csv(TABLE.encode()).with_columns(when=pl.date(2020, 1, 1))
    table.write_parquet(tmp_path / "dates.parquet")
    message = problem(tmp_path, GOOD.replace("people.csv", "dates.parquet"))
    assert "the column 'when' of" in message
    assert "is of type Date; wanted numbers, texts or booleans" in message


def test_missing_in_parquet_names_the_row(tmp_path: Path) -> None:
    table = pl.read_csv(TABLE.replace("30,cook", ",cook").encode())
    table.write_parquet(tmp_path / "holes.parquet")
    assert "holes.parquet, row 3: age is missing" in problem(tmp_path, GOOD.replace("people.csv", "holes.parquet"))


def test_check_gives_the_problem_as_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(TABLE.replace("high", "low"))
    (tmp_path / "people.toml").write_text(GOOD)
    (difference,) = data.open_set(str(tmp_path / "people.toml")).check(None)
    assert "has 1 different value(s)" in difference


@pytest.mark.parametrize("header", ["age,job,sex,sex,part", "age,job, sex,sex,part"])
def test_a_column_that_is_there_twice_does_not_become_an_input(tmp_path: Path, header: str) -> None:
    table = TABLE.replace("age,job,sex,income,part", header)
    assert "people.csv, line 1: the header has 'sex' twice" in problem(tmp_path, table=table)


def test_columns_without_a_name_may_be_many(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("".join(f"{line},,\n" for line in TABLE.splitlines()))
    (tmp_path / "people.toml").write_text(GOOD + 'features = ["age"]\n')
    assert len(data.load(str(tmp_path / "people.toml")).train) == 2


def test_a_table_in_place_of_its_description(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(TABLE)
    with pytest.raises(BadInput, match=r"people\.csv is a file, but neither TOML nor features: say in a TOML file"):
        data.load(str(tmp_path / "people.csv"))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file or folder .*/nowhere"):
        data.load(str(tmp_path / "nowhere"))
