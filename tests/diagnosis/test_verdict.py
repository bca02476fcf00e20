"""From measurements to words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tiny
from evenhand import methods
from evenhand.diagnosis import verdict
from evenhand.diagnosis.recovery import Outcome, recovery
from evenhand.diagnosis.rows import Rows
from evenhand.diagnosis.verdict import Criterion, Measured, decide

NAMES = ("gap", "recovered", "separate", "raw_gain", "told_apart", "depth", "unseen", "less_separated")


def measured(*above: str, unsettled: str = "") -> Measured:
    """Criteria that are met if they are named, with intervals that leave no doubt but for one."""

    def criterion(name: str) -> Criterion:
        value, half = (1.0 if name in above else -1.0), (5.0 if name == unsettled else 0.5)
        return Criterion(name, value, value - half, value + half, 0.0)

    return Measured(noisy=1, **{name: criterion(name) for name in NAMES})


@pytest.mark.parametrize(
    ("above", "kind", "cause"),
    [
        ((), "within noise", "nothing"),
        (("gap", "recovered", "told_apart", "depth"), "classifier", "classifier"),
        (("gap", "raw_gain", "told_apart", "depth"), "lost signal", "representation"),
        (("gap", "told_apart", "depth", "unseen"), "label noise", "data"),
        (("gap", "depth", "unseen"), "few rows", "data"),
        (("gap", "depth", "less_separated"), "minority", "representation"),
        (("gap", "told_apart"), "overlap", "data"),
    ],
)
def test_questions_are_asked_in_order(above: tuple[str, ...], kind: str, cause: str) -> None:
    found = decide(measured(*above), 3, "group {}".format)
    assert (found.kind, found.cause, found.sure) == (kind, cause, True)
    assert found.group == (1 if kind == "label noise" else 3)
    assert kind == "within noise" or f"group {found.group}" in found.sentence


def test_a_gap_whose_interval_reaches_the_threshold_is_noise() -> None:
    found = decide(measured("gap", "recovered", unsettled="gap"), 0, str)
    assert found.cause == "nothing"
    assert [criterion.name for criterion in found.asked] == ["gap"]


def test_what_is_not_settled_is_said() -> None:
    found = decide(measured("gap", "recovered", unsettled="recovered"), 0, str)
    assert (found.cause, found.sure, found.doubts) == ("classifier", False, ("recovered",))
    separate = decide(measured("gap", "separate", unsettled="recovered"), 0, str)
    assert (separate.cause, separate.sure) == ("classifier", False)
    settled = decide(measured("gap", "separate", "unseen"), 0, str)
    assert settled.kind == "few rows", "a refit that surely does not help outweighs ranks"


def test_of_two_criteria_one_that_is_clearly_missed_leaves_no_doubt() -> None:
    assert decide(measured("gap", "told_apart", "unseen", unsettled="told_apart"), 0, str).sure
    assert not decide(measured("gap", "told_apart", "depth", unsettled="depth"), 0, str).sure


def test_what_was_not_measured_counts_as_no() -> None:
    unknown = Criterion("raw", math.nan, -math.inf, math.inf, 0.0)
    assert not unknown.above
    assert not unknown.decided


def test_methods_that_are_named_exist() -> None:
    assert {name for named in verdict.METHODS.values() for name in named} <= set(methods.names())


def outcome_rows(right: np.ndarray) -> tuple[Outcome, Rows]:
    """Right answers (4 columns) of rows of the four groups of a small split."""
    split = tiny.split(len(right))
    columns = [torch.from_numpy(column.copy()) for column in right.T]
    return Outcome(*columns), Rows(split, torch.zeros(len(split), 1), columns[0], None)


def test_a_recovery_by_hand() -> None:
    split = tiny.split(400)
    group = split.group.numpy()
    place = np.array([int((group[:n] == group[n]).sum()) for n in range(400)]) / np.bincount(group)[group]
    small = group == 3
    run = np.where(small, place < 0.6, place < 0.9)
    refit, other = np.where(small, place < 0.8, place < 0.85), place < 0.3
    outcome, rows = outcome_rows(np.stack([run, other, refit, place < 0.95], 1))
    found = recovery(outcome, rows)
    before, after, rest = run[small].mean(), refit[small].mean(), run[~small].mean()
    assert found.worst_before == before
    assert found.worst_after.value == after
    assert found.recovered.value == pytest.approx((after - before) / (rest - before))
    raw_worst = min((place < 0.95)[group == g].mean() for g in range(4))
    assert found.raw_gain.value == pytest.approx(raw_worst - after)
    assert found.recovered.low < found.recovered.value < found.recovered.high


def test_guessing_recovers_nothing() -> None:
    split = tiny.split(400)
    group = split.group.numpy()
    place = np.array([int((group[:n] == group[n]).sum()) for n in range(400)]) / np.bincount(group)[group]
    run = np.where(group == 3, place < 0.05, place < 0.95)
    guess = place < 0.5
    outcome, rows = outcome_rows(np.stack([run, guess, guess, guess], 1))
    assert recovery(outcome, rows).recovered.value == pytest.approx(0.0, abs=0.05)


def test_without_raw_inputs_nothing_is_said_of_them() -> None:
    outcome, rows = outcome_rows(np.random.default_rng(0).random((200, 4)) < 0.8)
    assert math.isnan(recovery(outcome._replace(raw=None), rows).raw_gain.value)
