"""Rows whose group is not known: used by methods that need no groups, left out by others, counted in no group."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from evenhand import data
from evenhand.batch import Split
from evenhand.data import Data, Sealed
from evenhand.encoders import build
from evenhand.evaluation import count, selection_score
from evenhand.execute import execute
from evenhand.methods import make
from evenhand.plan import Plan
from evenhand.settings import Settings
from evenhand.train import fit

SETTINGS = Settings(epochs=2, batch_size=16, lr=0.05)


def hiding(split: Split, rows: Tensor) -> Split:
    """The split with the attributes of these rows not known."""
    attribute = split.attribute.clone()
    attribute[rows] = -1
    x = split.batch(torch.arange(len(split))).x
    return Split.of(x, split.y, attribute, n_classes=2, attribute_sizes=[2])


FULL, VAL = tiny.split(120), tiny.split(80, seed=1)
HIDDEN = torch.arange(0, 120, 3)
PARTLY = hiding(FULL, HIDDEN)


def trained(method: str, train: Split, val: Split = VAL) -> Tensor:
    torch.manual_seed(0)
    fitted = fit(build("mlp", (5,), 2, widths=(8,)), make(method), train, val, SETTINGS)
    return torch.cat([parameter.detach().flatten() for parameter in fitted.model.parameters()])


def test_a_row_of_no_known_group_is_in_no_group() -> None:
    assert PARTLY.n_unknown == len(HIDDEN)
    assert bool((PARTLY.group[HIDDEN] == -1).all())
    assert torch.equal(PARTLY.count_G, torch.bincount(FULL.group[PARTLY.group >= 0], minlength=4))
    kept = PARTLY.known()
    assert kept.n_unknown == 0
    assert torch.equal(kept.group, FULL.group[PARTLY.group >= 0])
    assert FULL.known() is FULL


def test_several_attributes_are_known_together_or_not_at_all() -> None:
    attributes = torch.tensor([[0, 2], [1, -1], [-1, 0], [1, 1]])
    split = Split.of(torch.zeros(4, 1), torch.tensor([0, 1, 0, 1]), attributes, attribute_sizes=[2, 3])
    assert split.attribute.tolist() == [2, -1, -1, 4]
    assert split.group.tolist() == [2, -1, -1, 10]


@pytest.mark.parametrize("method", ["rwg", "subg", "groupdro", "minimaxfair", "mmsgd", "hsic", "ncdebias"])
def test_methods_that_need_groups_train_on_the_known_rows(method: str) -> None:
    known = Split.of(
        PARTLY.known().batch(torch.arange(80)).x, PARTLY.known().y, PARTLY.known().attribute,
        n_classes=2, attribute_sizes=[2],
    )  # fmt: skip
    assert torch.equal(trained(method, PARTLY), trained(method, known))


@pytest.mark.parametrize("method", ["erm", "rwy"])
def test_methods_that_need_none_train_on_all_rows(method: str) -> None:
    assert torch.equal(trained(method, PARTLY), trained(method, FULL))


def test_figures_of_groups_leave_the_row_out_and_those_of_all_rows_do_not() -> None:
    logits = torch.nn.functional.one_hot(FULL.y, 2).float()
    logits[HIDDEN] = logits[HIDDEN].flip(1)  # wrong exactly where the group is not known
    assert count(logits, PARTLY).accuracy_G.tolist() == [1.0] * 4
    assert selection_score(logits, PARTLY, "worst_group") == 1.0
    assert selection_score(logits, PARTLY, "average") == pytest.approx(80 / 120)


def test_a_run_tells_how_many_rows_have_no_group(tmp_path: Path) -> None:
    rows = torch.arange(0, 80, 4)
    partly = Data("d", PARTLY, hiding(VAL, rows), Sealed(hiding(VAL, rows)), "f", {"encoder": "mlp", "epochs": 1})
    for method in ("erm", "groupdro"):
        run = execute(partly, Plan(method), tmp_path)
        assert run.metrics["unknown_groups"] == {"train": 40, "val": 20, "test": 20}
        assert sum(group["test"] for group in run.metrics["groups"]) == 60
        predictions = run.predictions().filter(split="test")
        assert predictions["group"].null_count() == 20
        right = (predictions["logit_1"] > predictions["logit_0"]).cast(int) == predictions["y"]
        assert run.metrics["test"]["accuracy"] == pytest.approx(right.mean())
        assert [sum(epoch["val"]["count"]) for epoch in run.history] == [60] * len(run.history)


def test_a_table_may_leave_attributes_unknown(tmp_path: Path) -> None:
    lines = ["x,label,sex"] + [f"{k},{k % 2},{'' if k % 5 == 0 else 'fm'[k // 2 % 2]}" for k in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    toml = tmp_path / "t.toml"
    toml.write_text('path = "t.csv"\nlabel = "label"\nattributes = ["sex"]\nmissing = "unknown"\n')
    loaded = data.load(str(toml))
    assert loaded.train.attribute_values == (("f", "m"),)
    assert loaded.train.n_unknown + loaded.val.n_unknown + len(loaded.test) - int(loaded.test.count_G.sum()) == 40


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    execute(Data("d", PARTLY, VAL, Sealed(VAL), "f", {"encoder": "mlp", "epochs": 1}), Plan("erm"), tmp_path)
    (file,) = tmp_path.glob("erm*/metrics.json")
    assert json.loads(file.read_text())["unknown_groups"] == {"train": 40}
