"""Groups from a table in the place of the data's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import tiny
from evenhand.data import Data, Sealed
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.plan import Plan
from evenhand.regrouped import regrouped

TRAIN, VAL, TEST = tiny.split(60), tiny.split(40, seed=1), tiny.split(40, seed=2)
DATA = Data("d", TRAIN, VAL, Sealed(TEST), "f", {"encoder": "mlp", "epochs": 2, "batch_size": 16, "lr": 0.05})


def table(path: Path, groups: dict[str, list[Any]]) -> Path:
    """A table of groups by split."""
    frames = [
        pl.DataFrame({"split": [name] * len(values), "row": range(len(values)), "group": [str(v) for v in values]})
        for name, values in groups.items()
    ]
    frame = pl.concat(frames)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


@pytest.mark.parametrize("name", ["g.csv", "g.parquet"])
def test_the_datas_own_groups_in_a_table_change_nothing_but_names(tmp_path: Path, name: str) -> None:
    file = table(tmp_path / name, {"train": TRAIN.attribute.tolist(), "val": VAL.attribute.tolist()})
    train, val = regrouped(file, TRAIN, VAL)
    assert torch.equal(train.group, TRAIN.group)
    assert torch.equal(val.group, VAL.group)
    own = execute(DATA, Plan("groupdro"), tmp_path / "a")
    tabled = execute(DATA, Plan("groupdro", groups_from=file), tmp_path / "b")
    assert own.metrics["test"] == tabled.metrics["test"]
    assert own.folder.name != tabled.folder.name
    assert "groups_sha256" in tabled.config


def test_groups_are_of_their_class_and_rows_that_are_not_listed_of_none(tmp_path: Path) -> None:
    listed = [f"{'ab'[int(y)]}{k % 3}" if y == 0 or k % 2 else None for k, y in enumerate(TRAIN.y)]
    rows = [(k, v) for k, v in enumerate(listed) if v is not None]
    frame = pl.DataFrame({"split": "train", "row": [k for k, _ in rows], "group": [v for _, v in rows]})
    file = tmp_path / "g.csv"
    frame.write_csv(file)
    train, val = regrouped(file, TRAIN, VAL)
    assert (train.n_attributes, train.n_unknown) == (3, listed.count(None))
    assert val.n_unknown == len(VAL)
    named = [sorted({value for _, value in rows if value[0] == letter}) for letter in "ab"]
    for k, value in rows:
        y = int(TRAIN.y[k])
        assert int(train.group[k]) == y * 3 + named[y].index(value)


def test_another_table_is_another_run_and_results_are_by_the_datas_groups(tmp_path: Path) -> None:
    first = table(tmp_path / "a.csv", {"train": [k % 2 for k in range(60)], "val": [k % 2 for k in range(40)]})
    second = table(tmp_path / "b.csv", {"train": [k % 3 % 2 for k in range(60)], "val": [k % 2 for k in range(40)]})
    runs = [execute(DATA, Plan("rwg", groups_from=file), tmp_path / "out") for file in (first, second)]
    assert runs[0].folder != runs[1].folder
    for run in runs:
        assert [group["test"] for group in run.metrics["groups"]] == TEST.count_G.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("split,row\ntrain,0\n", "must have the columns split, row, group; it lacks group"),
        ("split,row,group\ntrain,60,a\n", r"row must lie in 0..59 for split train, got '60'"),
        ("split,row,group\ntrain,x,a\n", r"row must lie in 0..59 for split train, got 'x'"),
        ("split,row,group\ntrain,3,a\ntrain,3,b\n", "lists row 3 of split train twice"),
        ("split,row,group\ntrain,3,a\n", "at least two groups of one class"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "g.csv"
    file.write_text(content)
    with pytest.raises(BadInput, match=message):
        regrouped(file, TRAIN, VAL)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no table of groups"):
        regrouped(tmp_path / "g.csv", TRAIN, VAL)


def test_the_configuration_stays_plain_json(tmp_path: Path) -> None:
    file = table(tmp_path / "g.csv", {"train": [k % 2 for k in range(60)], "val": [k % 2 for k in range(40)]})
    run = execute(DATA, Plan("erm", groups_from=file), tmp_path / "out")
    assert len(json.loads((run.folder / "config.json").read_text())["groups_sha256"]) == 64
