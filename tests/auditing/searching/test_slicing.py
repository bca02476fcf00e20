"""Columns as codes: what becomes of categories, numbers and missing values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.auditing.searching.slicing import SliceColumn, binned, categorical
from evenhand.errors import BadInput


def test_categories_are_the_distinct_values():
    column = categorical("c", ["b", "a", "b"])
    assert (column.labels, column.code_N.tolist()) == (["a", "b"], [1, 0, 1])
    mixed = categorical("c", np.array(["b", None, 3, float("nan")], dtype=object))
    assert (mixed.labels, mixed.code_N.tolist()) == (["3", "b"], [1, -1, 0, -1])
    assert categorical("c", [1.5, np.nan, 0]).code_N.tolist() == [1, -1, 0]
    assert categorical("c", []).labels == []


def test_bins_are_equally_full_and_named():
    column = binned("age", np.arange(100))
    assert column.labels == ["<25", "25 to <50", "50 to <75", "≥75"]
    assert np.bincount(column.code_N).tolist() == [25, 25, 25, 25]


@given(st.lists(st.integers(0, 5) | st.just(float("nan")), max_size=40), st.integers(2, 6))
def test_equal_numbers_stay_together_and_every_bin_has_rows(values, bins):
    column = binned("x", np.array(values, dtype=float), bins)
    known = ~np.isnan(np.array(values, dtype=float))
    assert (column.code_N[~known] == -1).all()
    code, value = column.code_N[known], np.array(values, dtype=float)[known]
    assert all(len(set(code[value == v])) == 1 for v in value)
    assert (np.diff(code[np.argsort(value)]) >= 0).all()
    assert set(code) == set(range(len(column.labels))) or not known.any()
    assert len(column.labels) <= bins


def test_bad_columns_are_refused():
    with pytest.raises(BadInput, match="'x' must be numbers to be binned, got <U1"):
        binned("x", ["a"])
    with pytest.raises(BadInput, match="bins must be at least 2, got 1"):
        binned("x", [1, 2], 1)
    with pytest.raises(BadInput, match=r"codes of 'x' must be in -1..1, got 0..2"):
        SliceColumn("x", ["a", "b"], np.array([0, 2]))
    with pytest.raises(BadInput, match="codes of 'x' must be whole numbers"):
        SliceColumn("x", ["a", "b"], np.array([0.0, 1.0]))


def test_edges_are_rounded_where_bins_stay_apart():
    values = np.linspace(0, 1, 1001) ** 2
    assert binned("p", values).labels == ["<0.0625", "0.0625 to <0.25", "0.25 to <0.562", "≥0.562"]
    close = np.repeat([1000001.0, 1000002.0, 1000003.0, 1000004.0], 5)
    column = binned("id", close)
    np.testing.assert_array_equal(column.code_N, np.repeat([0, 1, 2, 3], 5))
