"""`evenhand reproduce` and `evenhand demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusal import assert_refused

from evenhand import study
from evenhand.study.comparison import worst_group
from evenhand.study.papers import names
from evenhand.study.verdict import verdict


def test_tables_are_listed(evenhand: Any, tmp_path: Path) -> None:
    done = evenhand("reproduce", "--json", tmp_path / "tables.json")
    assert done.code == 0
    assert all(name in done.out for name in names())
    assert [table["table"] for table in json.loads((tmp_path / "tables.json").read_text())["tables"]] == list(names())


def test_a_table_on_other_data(evenhand: Any, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    command = ["reproduce", "kdd24-table6", "--data", people, "--scale", "small", "--seeds", 2, "--out", out]
    done = evenhand(*command, "--json", tmp_path / "found.json")
    assert (done.code, done.err) == (0, "")
    assert "The paper's figures are on waterbirds, those here on people: levels cannot be compared" in done.out
    assert "Small scale" in done.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["table"], found["data"], found["seeds"]) == ("kdd24-table6", "people", [0, 1])
    assert [row["label"] for row in found["rows"]] == ["w/o FC", "w/o GMA", "w/o FC,GMA", "Full"]
    for row in found["rows"]:
        assert row["method"] == "ncdebias"
        assert row["paper"]["worst_group_accuracy"]["mean"] > 0.8
        ours, oracle = row["ours"]["worst_group_accuracy"], row["oracle"]["worst_group_accuracy"]
        assert all(leaked >= honest for leaked, honest in zip(oracle["values"], ours["values"], strict=True))
        assert f"{100 * oracle['mean']:.2f}±" in done.out
    assert found["reference"] == "Full"
    for line in found["findings"]:
        assert line in done.out
    assert json.loads((out / "kdd24-table6.json").read_text()) == found
    assert "w/o FC" in (out / "kdd24-table6.md").read_text()
    assert evenhand(*command).out == done.out, "the second time nothing is trained"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["kdd24-tabel5"], ["unknown table 'kdd24-tabel5'; did you mean 'kdd24-table5'?"]),
        (["kdd24-table5"], ["pass --root DIR"]),
        (["kdd24-table5", "--seeds", "0"], ["seeds must be at least 1"]),
        (["kdd24-table5", "--scale", "tiny"], ["unknown scale 'tiny'"]),
        (["kdd24-table5", "--data", "adlut"], ["unknown data set 'adlut'; did you mean 'adult'?"]),
    ],
)
def test_bad_input(evenhand: Any, tmp_path: Path, arguments: list[str], messages: list[str]) -> None:
    assert_refused(evenhand("reproduce", *arguments, "--out", tmp_path / "runs"), *messages)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_table_of_the_paper_on_its_data(evenhand: Any, adult_root: Path, tmp_path: Path) -> None:
    """Tables 5 and 11 at small scale: the second trains nothing."""
    command = ["--root", adult_root, "--scale", "small", "--out", tmp_path]
    done = evenhand("reproduce", "kdd24-table5", *command)
    assert done.code == 0
    assert "57.93±1.18" in done.out
    runs = sorted(tmp_path.glob("*/metrics.json"))
    assert len(runs) == 16
    assert evenhand("reproduce", "kdd24-table11", *command).code == 0
    assert sorted(tmp_path.glob("*/metrics.json")) == runs


# --- demo ---


def test_the_verdict_follows_from_the_figures(people: Path, tmp_path: Path) -> None:
    comparison = study.compare(str(people), ["erm", "rwg"], out=tmp_path, seeds=2)
    who, *helps = verdict(study.as_dict(comparison))
    erm, rwg = comparison.entries
    worst = worst_group(erm)
    by_seed = [{group["group"]: group["accuracy"] for group in run.metrics["groups"]} for run in erm.finished]
    mean = {group: sum(seed[group] for seed in by_seed) / len(by_seed) for group in by_seed[0]}
    assert mean[worst.group] == pytest.approx(min(mean.values()))
    assert who.startswith(f"erm serves {worst.group} worst")
    assert f"right on {100 * worst.accuracy:.1f} % of this group's {worst.count} test rows" in who, (
        "as the table has it"
    )
    (difference,) = comparison.differences()
    if sum(rwg.values("worst_group_accuracy")) > sum(erm.values("worst_group_accuracy")):
        assert f"a difference of {100 * difference.mean:+.1f} points" in helps[0]
        assert ("beyond the noise" in helps[0]) == (difference.p_adjusted <= 0.05)
    else:
        assert helps == ["rwg does not do better on its own worst group."]


@pytest.mark.slow
def test_the_demo_shows_that_plain_training_fails_the_minority_and_that_methods_help(
    evenhand: Any, tmp_path: Path
) -> None:
    done = evenhand("demo", "--out", tmp_path / "demo")
    assert done.code == 0
    assert "The tables are in" in done.out
    assert "erm serves " in done.out
    assert (tmp_path / "demo" / "report.html").is_file()
    assert (tmp_path / "demo" / "table.md").is_file()
    rows = json.loads((tmp_path / "demo" / "comparison.json").read_text())["rows"]
    mean = {row["method"]: {name: figure["mean"] for name, figure in row["metrics"].items()} for row in rows}
    worst = {method: metrics["worst_group_accuracy"] for method, metrics in mean.items()}
    assert mean["erm"]["accuracy"] - worst["erm"] >= 0.20
    for method in ("rwg", "groupdro", "ncdebias"):
        assert worst[method] >= worst["erm"] + 0.10, method
