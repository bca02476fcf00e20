"""The two sentences that a comparison comes to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from run_folders import ROWS, comparison_folder, run_folder

from evenhand.report.found import find
from evenhand.study.verdict import verdict


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    record = find(comparison_folder(tmp_path_factory.mktemp("runs"))).compared
    assert record is not None
    return record


def test_who_is_worst_served(compared: dict[str, Any]) -> None:
    first = verdict(compared)[0]
    erm = compared["rows"][0]
    worst = erm["worst_group"]
    assert worst["group"] == "coat=white, light=day"
    below = (erm["metrics"]["accuracy"]["mean"] * sum(ROWS) - worst["accuracy"] * 60) / (sum(ROWS) - 60)
    assert first.startswith("erm serves coat=white, light=day worst: it is right on ")
    assert f"{100 * worst['accuracy']:.1f} % of this group's 60 test rows" in first
    assert f"(95 % interval {100 * worst['low']:.1f} to {100 * worst['high']:.1f} %, mean over 3 seeds)" in first
    assert (
        f"{100 * (below - worst['accuracy']):.1f} points below the rest, of which it has {100 * below:.1f} %" in first
    )


def test_what_helps_is_the_best_and_more_than_noise(compared: dict[str, Any]) -> None:
    second = verdict(compared)[1]
    (found,) = [one for one in compared["differences"] if one["method"] == "groupdro"]
    assert found["p_adjusted"] < 0.05
    assert second.startswith("groupdro helps most")
    assert f"a difference of {100 * found['mean']:+.1f} points" in second
    assert second.endswith("beyond the noise of 3 seeds.")


def test_a_difference_that_may_be_noise_is_called_so(compared: dict[str, Any]) -> None:
    unsure = copy.deepcopy(compared)
    for one in unsure["differences"]:
        one["p_adjusted"] = 0.2
    assert verdict(unsure)[1].endswith("though 3 seeds are too few to tell that from noise.")


def test_one_seed_says_nothing_of_noise(tmp_path: Path) -> None:
    record = find(comparison_folder(tmp_path, seeds=1)).compared
    assert record is not None
    assert verdict(record)[1].endswith("but 1 seed cannot tell that from noise.")
    assert "mean over" not in verdict(record)[0]


def test_one_method_is_not_said_to_be_helped(tmp_path: Path) -> None:
    record = find(run_folder(tmp_path)).compared
    assert record is not None
    assert len(verdict(record)) == 1


def test_no_method_may_help(compared: dict[str, Any]) -> None:
    reversed_ = {**compared, "reference": "groupdro"}
    assert verdict(reversed_)[1] == "None of the 2 other methods does better on its own worst group."


def test_a_worst_group_that_is_everyone_has_no_rest(compared: dict[str, Any]) -> None:
    alone = {**compared, "groups": [{"group": "coat=white, light=day", "train": 1, "val": 1, "test": 60}]}
    assert "below the rest" not in verdict(alone)[0]


def test_nothing_to_judge(compared: dict[str, Any]) -> None:
    assert verdict({**compared, "rows": []}) == ()
    empty = copy.deepcopy(compared)
    empty["rows"][0]["worst_group"]["accuracy"] = None
    assert verdict(empty)[0] == "erm has no group with rows to judge it by."
