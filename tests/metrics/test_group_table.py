"""One row per group."""

import math

import pytest

from evenhand.errors import BadInput
from evenhand.metrics import clopper_pearson, count, group_table, wilson

COUNTS = count([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1])


@pytest.mark.parametrize(("method", "function"), [("wilson", wilson), ("clopper_pearson", clopper_pearson)])
def test_rows_hold_size_accuracy_and_interval(method, function):
    rows = group_table(COUNTS, ["no", "yes"], ["female", "male"], confidence=0.9, method=method)
    low, high = function(2, 3, 0.9)
    assert rows[3] == {
        "group": 3,
        "y": 1,
        "attribute": 1,
        "class_name": "yes",
        "attribute_name": "male",
        "count": 3,
        "correct": 2,
        "accuracy": pytest.approx(2 / 3),
        "low": pytest.approx(float(low)),
        "high": pytest.approx(float(high)),
    }
    assert [row["group"] for row in rows] == [0, 1, 2, 3]


def test_values_are_plain_python():
    assert {type(value) for row in group_table(COUNTS) for value in row.values()} == {int, float, str}


def test_names_default_to_indices():
    assert [(row["class_name"], row["attribute_name"]) for row in group_table(COUNTS)][1:3] == [("0", "1"), ("1", "0")]


@pytest.mark.filterwarnings("error")
def test_empty_group_is_nan_and_knows_nothing():
    row = group_table(COUNTS)[1]
    assert row["count"] == 0
    assert math.isnan(row["accuracy"])
    assert (row["low"], row["high"]) == (0, 1)


def test_bad_arguments_are_refused():
    with pytest.raises(BadInput, match="class_names must name 2 values, got 1: no"):
        group_table(COUNTS, class_names=["no"])
    with pytest.raises(BadInput, match="attribute_names must name 2 values, got 3"):
        group_table(COUNTS, attribute_names=["a", "b", "c"])
    with pytest.raises(BadInput, match="method must be"):
        group_table(COUNTS, method="wald")
