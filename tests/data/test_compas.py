"""COMPAS on the real file, and a small one with everything that can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import real
from evenhand import data
from evenhand.data.compas import Compas
from evenhand.errors import BadInput

HEADER = (
    "id,sex,age,race,juv_fel_count,decile_score,juv_misd_count,juv_other_count,priors_count,days_b_screening_arrest,"
    "c_charge_degree,is_recid,score_text,priors_count,two_year_recid"
)
GOOD = {
    "sex": "Male", "age": "30", "race": "Caucasian", "juv_fel_count": "0", "decile_score": "3", "juv_misd_count": "0",
    "juv_other_count": "1", "priors_count": "2", "days_b_screening_arrest": "-1", "c_charge_degree": "F",
    "is_recid": "0", "score_text": "Low", "priors_count.1": "2", "two_year_recid": "0",
}  # fmt: skip
Write = Callable[..., Path]


def row(number: int, **changes: str) -> str:
    return ",".join([str(number), *(GOOD | changes).values()])


def people() -> list[str]:
    """Five people of every outcome, race and sex."""
    races = ("African-American", "Caucasian", "Hispanic")
    kinds = [(y, race, sex) for y in "01" for race in races for sex in ("Male", "Female")]
    return [
        row(5 * n + k, two_year_recid=y, race=race, sex=sex, age=str(20 + k))
        for n, (y, race, sex) in enumerate(kinds)
        for k in range(5)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(rows: list[str] | None = None, header: str = HEADER, coding: str = "utf-8") -> Path:
        (tmp_path / "compas").mkdir(exist_ok=True)
        text = "\n".join([header, *(people() if rows is None else rows)]) + "\n"
        (tmp_path / "compas" / "compas-scores-two-years.csv").write_text(text, encoding=coding)
        return tmp_path

    return write_file


def groups(loaded: data.Data) -> dict[str, int]:
    total = sum(loaded.count_G.values(), start=torch.zeros_like(loaded.train.count_G))
    return {loaded.train.group_name(g): int(count) for g, count in enumerate(total)}


# The real file


def test_real_rows_are_those_of_the_published_analysis() -> None:
    loaded = data.load("compas", real.root_with("compas"))
    assert [int(loaded.count_G[part].sum()) for part in ("train", "val", "test")] == pytest.approx(
        [0.6 * 6172, 0.2 * 6172, 0.2 * 6172], abs=12
    )
    assert groups(loaded) == {
        "outcome=no recidivism, race=African-American": 1514,
        "outcome=no recidivism, race=Caucasian": 1281,
        "outcome=no recidivism, race=Other": 568,
        "outcome=recidivism, race=African-American": 1661,
        "outcome=recidivism, race=Caucasian": 822,
        "outcome=recidivism, race=Other": 326,
    }


def test_real_races_and_sexes() -> None:
    loaded = data.load("compas", real.root_with("compas"), attribute="race+sex", races="all")
    assert loaded.train.n_groups == 24
    by_race = loaded.train.attribute_values[0]
    count = torch.zeros(6, dtype=torch.int64)
    for split in (loaded.train, loaded.val, loaded.test.unseal()):
        assert split.attributes is not None
        count += torch.bincount(split.attributes[:, 0], minlength=6)
    assert dict(zip(by_race, count.tolist(), strict=True)) == {
        "African-American": 3175, "Asian": 31, "Caucasian": 2103, "Hispanic": 509, "Native American": 11, "Other": 343,
    }  # fmt: skip


def test_real_inputs() -> None:
    loaded = data.load("compas", real.root_with("compas"))
    x = loaded.train.inputs.take(torch.arange(len(loaded.train)))
    assert x.shape[1] == len(loaded.feature_names) == 7
    torch.testing.assert_close(x[:, :5].mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    assert x[:, 5:].sum(1).eq(1).all()
    assert not [name for name in loaded.feature_names if "race" in name or "sex" in name]


def test_real_file_passes_the_check() -> None:
    assert Compas().check(real.root_with("compas")) == []


# Options


def test_rows_of_a_part_are_the_same_whatever_the_attribute(write: Write) -> None:
    root = write()
    chosen = [data.load("compas", root, **options) for options in ({}, {"attribute": "sex"}, {"races": "all"})]
    inputs = [loaded.train.inputs.take(torch.arange(len(loaded.train))) for loaded in chosen]
    assert torch.equal(inputs[0], inputs[1])
    assert torch.equal(inputs[0], inputs[2])
    assert len({loaded.fingerprint for loaded in chosen}) == 3
    assert chosen[1].options == {"attribute": "sex"}


def test_parts_are_stratified_and_seeded(write: Write) -> None:
    root = write()
    loaded = data.load("compas", root, attribute="race+sex", split_seed=3)
    assert set(loaded.train.count_G.tolist()) == {3}
    assert set(loaded.val.count_G.tolist()) == set(loaded.test.count_G.tolist()) == {1}
    assert data.load("compas", root, split_seed=1).fingerprint != data.load("compas", root).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"days_b_screening_arrest": "31"},
        {"days_b_screening_arrest": "-31"},
        {"days_b_screening_arrest": ""},
        {"is_recid": "-1"},
        {"c_charge_degree": "O"},
        {"score_text": "N/A"},
        {"score_text": ""},
    ],
)
def test_filters_leave_a_row_out(write: Write, changes: dict[str, str]) -> None:
    loaded = data.load("compas", write([*people(), row(99, **changes)]))
    assert sum(map(len, (loaded.train, loaded.val, loaded.test))) == 60


def test_row_at_the_edge_is_kept(write: Write) -> None:
    loaded = data.load("compas", write([*people(), row(99, days_b_screening_arrest="30.0")]))
    assert sum(map(len, (loaded.train, loaded.val, loaded.test))) == 61


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"race": "Martian"}, r"csv, line 62: race must be one of African-American, .*got 'Martian'"),
        ({"race": ""}, r"csv, line 62: race must be .*got nothing"),
        ({"sex": "1"}, r"csv, line 62: sex must be one of Female, Male, got '1'"),
        ({"two_year_recid": "yes"}, r"csv, line 62: two_year_recid must be one of 0, 1, got 'yes'"),
        ({"age": "old"}, r"csv, line 62: age must be a number, got 'old'"),
        ({"age": ""}, r"csv, line 62: age must be a number, got nothing"),
        ({"juv_fel_count": "inf"}, r"csv, line 62: juv_fel_count must be a number, got 'inf'"),
        ({"c_charge_degree": "X"}, r"csv, line 62: c_charge_degree must be one of F, M, O, got 'X'"),
        ({"is_recid": "2"}, r"csv, line 62: is_recid must be one of -1, 0, 1, got '2'"),
        ({"days_b_screening_arrest": "soon"}, r"csv, line 62: days_b_screening_arrest must be a number, got 'soon'"),
    ],
)
def test_wrong_value(write: Write, changes: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("compas", write([*people(), row(99, **changes)]))


def test_missing_column(write: Write) -> None:
    with pytest.raises(BadInput, match=r"unknown column of .* 'race'"):
        data.load("compas", write(header=HEADER.replace("race", "ethnicity")))


def test_nothing_passes_the_filters(write: Write) -> None:
    with pytest.raises(BadInput, match="no row that passes the filters"):
        data.load("compas", write([row(1, c_charge_degree="O")]))


def test_part_without_rows(write: Write) -> None:
    with pytest.raises(BadInput, match=r"the part 'val' of .* has no rows after the filters"):
        data.load("compas", write([row(1)]))


def test_other_coding(write: Write) -> None:
    with pytest.raises(BadInput, match=r"compas-scores-two-years\.csv"):
        data.load("compas", write(coding="utf-16"))


def test_broken_row(write: Write) -> None:
    with pytest.raises(BadInput, match="line 62"):
        data.load("compas", write([*people(), "99,Male,30"]))


def test_check_counts(write: Write) -> None:
    found = Compas().check(write())
    assert len(found) == 3
    assert "has 60 rows, published are 7214" in found[0]


@pytest.mark.parametrize("options", [{"fractions": (0.5, 0.5, 0.5)}, {"fractions": (1, 0, 0)}, {"split_seed": -1}])
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"fractions|split_seed"):
        data.open_set("compas", **options)


def test_numbers_of_the_parts_follow_the_fractions(write: Write) -> None:
    loaded = data.load("compas", write(), fractions=(0.2, 0.2, 0.6))
    assert np.array_equal([len(loaded.train), len(loaded.val), len(loaded.test)], [12, 12, 36])
