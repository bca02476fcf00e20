"""What every rule of selection leads to, recomputed from the runs' own records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import tiny
from evenhand import study
from evenhand.data import Data, Sealed
from evenhand.errors import BadInput
from evenhand.evaluation import count, selection_score
from evenhand.execute import execute
from evenhand.plan import Plan
from evenhand.runs import Run, read_lines
from evenhand.study import selection
from evenhand.study.comparison import Comparison, Entry

WGA = "worst_group_accuracy"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("runs")
    data = Data(
        "d", tiny.split(90, classes=3), tiny.split(70, classes=3, seed=1), Sealed(tiny.split(80, classes=3, seed=2)),
        "f", {"encoder": "mlp", "epochs": 12, "batch_size": 16, "lr": 0.05},
    )  # fmt: skip
    runs = [execute(data, Plan("erm", settings={"seed": seed}, oracle=True), out) for seed in (0, 1)]
    return Comparison("d", (0, 1), (Entry("erm", "erm", {}, tuple(runs)),))


@pytest.mark.parametrize("rule", ["worst_group", "worst_class", "class_gap", "average", "group_mean"])
def test_a_rule_leads_to_what_a_run_selected_by_it_reports(comparison: Comparison, rule: str, tmp_path: Path) -> None:
    data = Data(
        "d", tiny.split(90, classes=3), tiny.split(70, classes=3, seed=1), Sealed(tiny.split(80, classes=3, seed=2)),
        "f", {"encoder": "mlp", "epochs": 12, "batch_size": 16, "lr": 0.05},
    )  # fmt: skip
    run = execute(data, Plan("erm", settings={"select": rule}), tmp_path)
    found = selection.by_rule(comparison)["erm"][rule]
    assert found[0] == pytest.approx(run.metrics["test"][WGA])


def test_the_last_epoch_is_the_last(comparison: Comparison) -> None:
    for run, value in zip(comparison.entries[0].finished, selection.by_rule(comparison)["erm"]["last"], strict=True):
        nested = read_lines(run.folder / "test_by_epoch.jsonl")[-1]["counts"]
        per_group = [nested[a][y][y] / sum(nested[a][y]) for a in range(2) for y in range(3) if sum(nested[a][y])]
        assert value == pytest.approx(min(per_group))


def test_the_table_and_the_record(comparison: Comparison) -> None:
    table = study.shown(comparison)[-1]
    assert table.title == "What selection leads to, %"
    (row,) = table.rows
    assert len(row) == len(table.columns)
    record = study.as_dict(comparison)["selection"]["erm"]
    assert set(record) == set(selection.WORDS)
    assert json.loads(json.dumps(record)) == record


def test_runs_without_test_figures_by_epoch_say_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    assert selection.table(Comparison("d", (0,), (Entry("erm", "erm", {}, (Run(folder),)),))) is None


def test_test_figures_of_other_epochs_than_the_history_are_named(comparison: Comparison, tmp_path: Path) -> None:
    whole = comparison.entries[0].finished[0].folder
    folder = Path(shutil.copytree(whole, tmp_path / "r"))
    lines = (folder / "test_by_epoch.jsonl").read_text().splitlines(keepends=True)
    (folder / "test_by_epoch.jsonl").write_text("".join(lines[:-1]))
    damaged = Comparison("d", (0,), (Entry("erm", "erm", {}, (Run(folder),)),))
    with pytest.raises(BadInput, match=r"test_by_epoch\.jsonl is damaged: it holds 11 epochs of stage 0, .* 12"):
        selection.table(damaged)


def test_the_class_gap_is_the_difference_between_the_best_and_the_worst_class() -> None:
    split = tiny.split(60, classes=3)
    logits = torch.nn.functional.one_hot(split.y, 3).float()
    rows = torch.nonzero(split.y == 1).flatten()
    logits[rows[: len(rows) // 2]] = torch.tensor([1.0, 0.0, 0.0])
    wanted = 1 - (len(rows) // 2) / len(rows)
    assert selection_score(logits, split, "class_gap") == pytest.approx(wanted)
    assert count(logits, split).accuracy_C.tolist()[1] == pytest.approx(wanted)
