"""ACSIncome from small person records of the American Community Survey."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand import data
from evenhand.data.folktables import FIPS
from evenhand.errors import BadInput

GOOD = {
    "RT": "P", "SERIALNO": "2018GQ0000013", "ST": "06", "AGEP": "30", "COW": "1", "SCHL": "21", "MAR": "1",
    "OCCP": "0230", "POBP": "006", "RELP": "00", "WKHP": "40", "SEX": "1", "RAC1P": "1", "PINCP": "60000",
    "PWGTP": "00016", "WAGP": "",
}  # fmt: skip
Write = Callable[..., Path]


def people() -> list[dict[str, str]]:
    """Five people of each income, of six races and both sexes."""
    kinds = [(y, race, sex) for y in ("50000", "50001") for race in "125689" for sex in "12"]
    return [
        {"PINCP": y, "RAC1P": race, "SEX": sex, "AGEP": str(20 + k), "OCCP": f"{10 * k:04}"}
        for y, race, sex in kinds
        for k in range(5)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(
        *more: dict[str, str], rows: list[dict[str, str]] | None = None, place: str = "2018/1-Year/psam_p06.csv",
        coding: str = "utf-8", **renamed: str,
    ) -> Path:  # fmt: skip
        path = tmp_path / "folktables" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [",".join((GOOD | row).values()) for row in [*(people() if rows is None else rows), *more]]
        header = ",".join(renamed.get(column, column) for column in GOOD)
        path.write_text("\n".join([header, *lines]) + "\n", encoding=coding)
        return tmp_path

    return write_file


def size(loaded: data.Data) -> int:
    return sum(map(len, (loaded.train, loaded.val, loaded.test)))


def test_groups_are_income_and_race(write: Write) -> None:
    loaded = data.load("folktables", write())
    assert loaded.train.attribute_values == (("White", "Black", "Asian", "other"),)
    assert loaded.train.class_names == ("<=50K", ">50K")
    # 50,000 exactly is not over 50,000; races 1, 2, 6 are on their own, 5, 8 and 9 are joined.
    assert loaded.train.count_G.tolist() == [6, 6, 6, 18] * 2
    assert loaded.val.count_G.tolist() == loaded.test.count_G.tolist() == [2, 2, 2, 6] * 2


@pytest.mark.parametrize(
    ("options", "sizes"), [({"races": "all"}, (9,)), ({"attribute": "sex"}, (2,)), ({"attribute": "race+sex"}, (4, 2))]
)
def test_attributes(write: Write, options: dict[str, Any], sizes: tuple[int, ...]) -> None:
    loaded = data.load("folktables", write(), **options)
    assert loaded.train.attribute_sizes == sizes
    assert loaded.options == options


def test_inputs_are_those_of_the_task(write: Write) -> None:
    loaded = data.load("folktables", write())
    x = loaded.train.inputs.take(torch.arange(len(loaded.train)))
    assert x.shape[1] == len(loaded.feature_names)
    assert loaded.feature_names[:3] == ("AGEP", "SCHL", "WKHP")
    heads = {name.partition("=")[0] for name in loaded.feature_names}
    assert heads == {"AGEP", "SCHL", "WKHP", "COW", "MAR", "OCCP", "POBP", "RELP", "SEX", "RAC1P"}
    torch.testing.assert_close(x[:, 0].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert x[:, 3:].sum(1).eq(7).all()


def test_blind_inputs_know_neither_race_nor_sex(write: Write) -> None:
    names = data.load("folktables", write(), blind=True).feature_names
    assert not [name for name in names if name.startswith(("SEX", "RAC1P"))]


def test_code_that_is_not_in_train_is_all_zeros(write: Write) -> None:
    loaded = data.load("folktables", write())
    column = [i for i, name in enumerate(loaded.feature_names) if name.startswith("OCCP")]
    rare = {"OCCP": "9830", "RAC1P": "9"}
    for k in range(60):  # in some dealing the one row lies in val
        loaded = data.load("folktables", write(rare), split_seed=k)
        x = loaded.val.inputs.take(torch.arange(len(loaded.val)))
        column = [i for i, name in enumerate(loaded.feature_names) if name.startswith("OCCP")]
        if "OCCP=9830" not in loaded.feature_names and x[:, column].sum(1).eq(0).any():
            return
    pytest.fail("the row was never in val")


@pytest.mark.parametrize(
    "changes",
    [{"AGEP": "16"}, {"PINCP": "100"}, {"WKHP": "0"}, {"PWGTP": "0"}, {"PINCP": ""}, {"WKHP": ""}, {"PINCP": "-5000"}],
)
def test_filters_leave_a_row_out(write: Write, changes: dict[str, str]) -> None:
    assert size(data.load("folktables", write(changes))) == 120


def test_row_at_the_edge_is_kept(write: Write) -> None:
    assert size(data.load("folktables", write({"AGEP": "17", "PINCP": "101", "WKHP": "1", "PWGTP": "1"}))) == 121


def test_blank_code_is_minus_1(write: Write) -> None:
    assert "COW=-1" in data.load("folktables", write(*[{"COW": ""}] * 5)).feature_names


def test_several_states(write: Write) -> None:
    write(place="2018/1-Year/psam_p36.csv")
    assert size(data.load("folktables", write(), states="CA,NY")) == 240


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("psam_p06.csv", {}),
        ("2018/5-Year/psam_p06.csv", {"horizon": "5-Year"}),
        ("2014/1-Year/ss14pca.csv", {"year": 2014}),
        ("2018/1-Year/psam_p48.csv", {"states": "TX"}),
    ],
)
def test_official_places(write: Write, place: str, options: dict[str, Any]) -> None:
    assert size(data.load("folktables", write(place=place), **options)) == 120


def test_later_name_of_the_relationship(write: Write) -> None:
    loaded = data.load("folktables", write(RELP="RELSHIPP"))
    assert "RELP=0" in loaded.feature_names


def test_split_depends_on_the_seed(write: Write) -> None:
    root = write()
    first, again, other = (data.load("folktables", root, split_seed=seed).fingerprint for seed in (0, 0, 1))
    assert first == again != other


def test_every_state_has_its_number() -> None:
    assert len(FIPS) == 52  # with the District of Columbia and Puerto Rico
    assert (FIPS["CA"], FIPS["NY"], FIPS["TX"], FIPS["PR"]) == ("06", "36", "48", "72")
    assert len(set(FIPS.values())) == len(FIPS)


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"AGEP": "old"}, r"psam_p06\.csv, line 122: AGEP must be a whole number, got 'old'"),
        ({"COW": "private"}, r"psam_p06\.csv, line 122: COW must be a whole number, got 'private'"),
        ({"RAC1P": "10"}, r"psam_p06\.csv, line 122: RAC1P must be one of 1\.\.9, got 10"),
        ({"SEX": ""}, r"psam_p06\.csv, line 122: SEX must be one of 1\.\.2, got nothing"),
        ({"PINCP": "1e5"}, r"psam_p06\.csv, line 122: PINCP must be a whole number, got '1e5'"),
    ],
)
def test_wrong_value(write: Write, changes: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.load("folktables", write(changes))


def test_missing_column(write: Write) -> None:
    with pytest.raises(BadInput, match=r"psam_p06\.csv has no column OCCP; is it a file of person records"):
        data.load("folktables", write(OCCP="SOCP"))


def test_nothing_passes_the_filters(write: Write) -> None:
    with pytest.raises(BadInput, match="no row that passes the filters of ACSIncome"):
        data.load("folktables", write(rows=[{"AGEP": "3"}]))


def test_part_without_rows(write: Write) -> None:
    with pytest.raises(BadInput, match="the part 'val' of folktables has no rows: 1 are left"):
        data.load("folktables", write(rows=[{}]))


def test_other_coding(write: Write) -> None:
    with pytest.raises(BadInput, match=r"psam_p06\.csv"):
        data.load("folktables", write(coding="utf-16"))


@pytest.mark.parametrize("count", [3, 30])
def test_broken_row(write: Write, count: int) -> None:
    root = write()
    with (root / "folktables/2018/1-Year/psam_p06.csv").open("a") as file:
        file.write(",".join(["1"] * count))
    with pytest.raises(BadInput, match=rf"psam_p06\.csv, line 122: {count} fields instead of 16; is the file cut off"):
        data.load("folktables", root)


def test_state_that_is_not_there(write: Write) -> None:
    with pytest.raises(BadInput, match=r"folktables needs the file .*2018/1-Year/psam_p36\.csv"):
        data.load("folktables", write(), states="NY")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"states": "ca"}, "unknown state 'ca'"), ({"states": "CA,CA"}, "each once"), ({"split_seed": -1}, "split_seed")],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        data.open_set("folktables", **options)
