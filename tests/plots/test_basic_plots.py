"""Lines, bars and points."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("plotly", reason="figures are drawn by Plotly")

from evenhand.plots import lines


def test_a_value_that_no_line_reaches_is_a_point() -> None:
    series = {"one": [0.5], "gaps": [0.1, None, 0.3, math.nan, 0.5, 0.6], "whole": [0.1, 0.2, 0.3]}
    one, gaps, whole = lines(series).data
    assert one.mode == gaps.mode == "lines+markers"
    assert list(one.marker.size) == [7]
    assert list(gaps.marker.size) == [7, 0, 7, 0, 0, 0]
    assert whole.mode == "lines"


def test_markers_that_were_asked_for_are_all_there() -> None:
    (one,) = lines({"one": [0.5, None, 0.3, 0.4]}, markers=True).data
    assert (one.mode, one.marker.size) == ("lines+markers", 7)
