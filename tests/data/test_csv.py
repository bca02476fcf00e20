from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evenhand import data
from evenhand.batch import Split
from evenhand.data.csv import dealt
from evenhand.errors import BadInput

Describe = Callable[..., str]

HEADER = "id,age,job,sex,income,part"
ROWS = [
    *("1,10,cook,F,low,train", "2,20,cook,M,high,train", "3,30,clerk,F,high,train", "4,40,clerk,M,low,train"),
    *("5,50,nurse,F,low,val", "6,60,cook,M,high,val", "7,70,cook,F,high,test", "8,80,clerk,M,low,test"),
]
PLAIN: dict[str, Any] = {"label": "income", "attributes": ["sex"], "exclude": ["id"], "split": "part"}


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else repr(value).replace("'", '"')


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """Write a table and its description; the path of the description is returned."""

    def write(rows: list[str] | None = None, header: str = HEADER, file: str = "people.csv", **keys: object) -> str:
        (tmp_path / file).write_text("\n".join([header, *(ROWS if rows is None else rows)]) + "\n")
        entries = {"path": file, **PLAIN, **keys}
        text = "".join(f"{key} = {toml(value)}\n" for key, value in entries.items() if value is not None)
        (tmp_path / "people.toml").write_text(text)
        return str(tmp_path / "people.toml")

    return write


def inputs(split: Split) -> Tensor:
    return split.inputs.take(torch.arange(len(split)))


# Reading


def test_plain_table(describe: Describe) -> None:
    loaded = data.load(describe())
    assert loaded.name == "people"
    assert loaded.feature_names == ("age", "job=clerk", "job=cook")
    assert loaded.train.class_names == ("high", "low")
    assert loaded.train.attribute_values == (("F", "M"),)
    assert loaded.train.y.tolist() == [1, 0, 0, 1]
    assert loaded.train.group.tolist() == [2, 1, 0, 3]
    expected = torch.tensor([[-1.5, 0, 1], [-0.5, 0, 1], [0.5, 1, 0], [1.5, 1, 0]]) / torch.tensor([1.25**0.5, 1, 1])
    torch.testing.assert_close(inputs(loaded.train), expected)


def test_category_never_seen_in_train_is_all_zeros(describe: Describe) -> None:
    assert inputs(data.load(describe()).val)[0, 1:].tolist() == [0, 0]


def test_standardised_with_train_statistics_only(describe: Describe) -> None:
    torch.testing.assert_close(inputs(data.load(describe()).val)[:, 0], torch.tensor([25.0, 35.0]) / 125**0.5)


def test_positive_becomes_class_1(describe: Describe) -> None:
    assert data.load(describe(positive="high")).train.class_names == ("low", "high")
    assert data.load(describe(positive="high")).train.y.tolist() == [0, 1, 1, 0]


def test_positive_of_numbers_and_booleans(describe: Describe) -> None:
    numbers = [row.replace("low", "0").replace("high", "1") for row in ROWS]
    assert data.load(describe(numbers, positive=0)).train.class_names == ("1", "0")
    booleans = [row.replace("low", "True").replace("high", "False") for row in ROWS]
    assert data.load(describe(booleans, positive=False)).train.class_names == ("True", "False")


def test_numeric_classes_sort_as_numbers(describe: Describe) -> None:
    rows = [row.replace("low", "10").replace("high", "9") for row in ROWS]
    assert data.load(describe(rows)).train.class_names == ("9", "10")


def test_attributes_cross_into_groups(describe: Describe) -> None:
    loaded = data.load(describe(attributes=["sex", "id"], exclude=None))
    assert loaded.train.attribute_sizes == (2, 8)
    assert loaded.train.n_groups == 32


def test_no_attributes(describe: Describe) -> None:
    loaded = data.load(describe(attributes=None))
    assert not loaded.train.has_attributes
    assert "sex=F" in loaded.feature_names


def test_numbers_named_categorical(describe: Describe) -> None:
    loaded = data.load(describe(features=["age"], categorical=["age"]))
    assert loaded.feature_names == ("age=10", "age=20", "age=30", "age=40")


def test_constant_column_is_zero(describe: Describe) -> None:
    rows = [f"{row},1e9" for row in ROWS]
    loaded = data.load(describe(rows, HEADER + ",same", features=["same"]))
    assert inputs(loaded.train).eq(0).all()
    assert torch.isfinite(inputs(loaded.val)).all()


def test_boolean_column_is_a_number(describe: Describe) -> None:
    rows = [f"{row},{word}" for row, word in zip(ROWS, ["true", "False"] * 4, strict=True)]
    loaded = data.load(describe(rows, HEADER + ",member", features=["member"]))
    assert inputs(loaded.train)[:, 0].tolist() == [1, -1, 1, -1]


def test_blanks_quotes_and_blank_lines(describe: Describe) -> None:
    rows = [row.replace(",", " , ").replace("cook", '"cook"') for row in ROWS]
    plain = data.load(describe())
    spaced = data.load(describe([*[row.replace(' "cook" ', '"cook"') for row in rows], "", ""]))
    assert spaced.feature_names == plain.feature_names
    assert torch.equal(inputs(spaced.train), inputs(plain.train))


@pytest.mark.parametrize(("file", "separator"), [("people.tsv", "\t"), ("people.txt", ";")])
def test_other_separators(describe: Describe, file: str, separator: str) -> None:
    rows = [row.replace(",", separator) for row in ROWS]
    keys = {} if separator == "\t" else {"separator": separator}
    loaded = data.load(describe(rows, HEADER.replace(",", separator), file, **keys))
    assert torch.equal(inputs(loaded.train), inputs(data.load(describe()).train))


def test_parquet_gives_the_same(describe: Describe, tmp_path: Path) -> None:
    plain = data.load(describe())
    path = describe(path="people.parquet")
    pl.read_csv(tmp_path / "people.csv").write_parquet(tmp_path / "people.parquet")
    loaded = data.load(path)
    assert torch.equal(inputs(loaded.train), inputs(plain.train))
    assert torch.equal(loaded.train.group, plain.train.group)


def test_training_table_is_recommended(describe: Describe, tmp_path: Path) -> None:
    path = describe()
    with Path(path).open("a") as file:
        file.write("[training]\nepochs = 3\nlr = 0.1\n")
    recommended = data.load(path).recommended
    assert recommended == {"encoder": "mlp", "epochs": 3, "batch_size": 256, "optimizer": "adam", "lr": 0.1}


def test_fingerprint_follows_content_and_reading_alone(describe: Describe) -> None:
    first = data.load(describe()).fingerprint
    assert data.load(describe()).fingerprint == first
    assert data.load(describe(positive="high")).fingerprint != first
    assert data.load(describe([*ROWS, "9,90,cook,F,high,test"])).fingerprint != first


# Missing values


def with_holes() -> list[str]:
    return [ROWS[0].replace("10", ""), ROWS[1], ROWS[2].replace("clerk", "?"), *ROWS[3:]]


def test_missing_is_an_error_by_default(describe: Describe) -> None:
    with pytest.raises(BadInput, match=r"people\.csv, line 2: age is missing \(1 of 8 rows\); choose missing = 'drop'"):
        data.load(describe(with_holes()))


def test_missing_rows_dropped(describe: Describe) -> None:
    loaded = data.load(describe(with_holes(), missing="drop", missing_values=["?"]))
    assert loaded.train.y.tolist() == [0, 1]


def test_missing_indicated(describe: Describe) -> None:
    loaded = data.load(describe(with_holes(), missing="indicate", missing_values=["?"]))
    assert loaded.feature_names == ("age", "age=(missing)", "job=(missing)", "job=clerk", "job=cook")
    age, missing = inputs(loaded.train)[:, :2].T
    assert missing.tolist() == [1, 0, 0, 0]
    assert age[0] == age[2]  # the median of 20, 30, 40
    assert inputs(loaded.train)[2, 2:].tolist() == [1, 0, 0]


def test_missing_attribute_indicated_is_a_value_of_its_own(describe: Describe) -> None:
    loaded = data.load(describe([ROWS[0].replace("F", ""), *ROWS[1:]], missing="indicate"))
    assert loaded.train.attribute_values == (("F", "M", "(missing)"),)
    assert loaded.train.attribute.tolist() == [2, 1, 0, 1]


@pytest.mark.parametrize("missing", ["error", "drop", "indicate"])
def test_missing_label_is_always_an_error(describe: Describe, missing: str) -> None:
    with pytest.raises(BadInput, match=r"people\.csv, line 3: income is missing"):
        data.load(describe([ROWS[0], ROWS[1].replace("high", ""), *ROWS[2:]], missing=missing))


def test_nothing_left(describe: Describe) -> None:
    with pytest.raises(BadInput, match="no row without a missing value"):
        data.load(describe([row.replace(row.split(",")[1], "") for row in ROWS], missing="drop"))


def test_column_without_a_value_in_train(describe: Describe) -> None:
    rows = [f"{row},{'' if 'train' in row else '1'}" for row in ROWS]
    with pytest.raises(BadInput, match=r"column 'late' of .* has no value in train"):
        data.load(describe(rows, HEADER + ",late", missing="indicate"))


# Splitting


def test_fractions_within_each_group(describe: Describe) -> None:
    rows = [f"{i},{i},cook,{'FM'[i % 2]},{'low' if i % 10 else 'high'},x" for i in range(200)]
    rows += [f"{i},{i},cook,M,high,x" for i in range(20)]
    loaded = data.load(describe(rows, split=None, features=["age"]))
    total = loaded.train.count_G + loaded.val.count_G + loaded.test.count_G
    assert total.tolist() == [20, 20, 80, 100]
    assert loaded.train.count_G.tolist() == [12, 12, 48, 60]
    assert loaded.val.count_G.tolist() == [4, 4, 16, 20]
    again, other = data.load(describe(rows, split=None, features=["age"])), describe(rows, split=None, seed=1)
    assert torch.equal(inputs(again.train), inputs(loaded.train))
    assert not torch.equal(inputs(data.load(other).train)[:, 0], inputs(loaded.train)[:, 0])


@given(
    groups=st.lists(st.integers(0, 5), min_size=1, max_size=200),
    cut=st.tuples(st.floats(0.1, 0.8), st.floats(0.1, 0.9)),
    seed=st.integers(0, 5),
)
def test_dealt_shares_are_within_one_row_of_the_fractions(
    groups: list[int], cut: tuple[float, float], seed: int
) -> None:
    fractions = (cut[0], (1 - cut[0]) * cut[1], (1 - cut[0]) * (1 - cut[1]))
    group_N = np.unique(groups, return_inverse=True)[1]
    part_N = dealt(group_N, fractions, seed)
    for g in range(group_N.max() + 1):
        size = (group_N == g).sum()
        for part, share in enumerate(fractions):
            assert abs((part_N[group_N == g] == part).sum() - share * size) <= 1


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(ROWS))))
def test_row_order_changes_nothing_but_the_order(order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    def rows_of(rows: list[str]) -> tuple[tuple[str, ...], list[list[float]]]:
        folder = tmp_path_factory.mktemp("table")
        (folder / "t.csv").write_text("\n".join([HEADER, *rows]))
        (folder / "t.toml").write_text('path="t.csv"\nlabel="income"\nattributes="sex"\nexclude="id"\nsplit="part"')
        loaded = data.load(str(folder / "t.toml"))
        table = torch.cat([inputs(loaded.train), loaded.train.group[:, None]], dim=1)
        return loaded.feature_names, sorted(table.double().round(decimals=5).tolist())

    assert rows_of([ROWS[i] for i in order]) == rows_of(ROWS)
