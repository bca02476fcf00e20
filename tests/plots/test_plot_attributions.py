"""Bars of columns come in the order of their size; the words of a text stay in theirs, coloured by sign."""

from __future__ import annotations

import math

import pytest

from evenhand.plots.attributions import losses, strengths, words

NAMES = ["age", "hours", "job", "tax"]


def test_columns_come_strongest_first_with_the_numbers_of_each_group() -> None:
    figure = strengths(NAMES, {"a": [1.0, 3.0, 0.0, 2.0], "b": [1.0, 4.0, math.nan, 1.0]})
    first, second = figure.data
    assert (first.name, second.name) == ("a", "b")
    assert list(first.y) == ["hours", "tax", "age", "job"]
    assert list(first.x) == [3.0, 2.0, 1.0, 0.0]
    assert list(second.x)[:3] == [4.0, 1.0, 1.0]
    assert figure.layout.yaxis.autorange == "reversed"  # the first at the top
    assert figure.layout.showlegend


def test_a_group_without_rows_hides_no_column() -> None:
    figure = strengths(NAMES, {"a": [1.0, 3.0, 0.0, 2.0], "b": [None] * 4})
    assert list(figure.data[0].y) == ["hours", "tax", "age", "job"]


def test_of_many_columns_the_largest_are_shown_and_it_is_said() -> None:
    figure = strengths([str(k) for k in range(30)], {"all": [float(k) for k in range(30)]}, most=5)
    assert list(figure.data[0].y) == ["29", "28", "27", "26", "25"]
    assert "of 30 columns the 5 largest" in figure.layout.xaxis.title.text
    assert "largest" not in strengths(NAMES, {"all": [1.0] * 4}).layout.xaxis.title.text


def test_losses_are_in_points_with_a_deviation_to_both_sides() -> None:
    figure = losses(NAMES, [0.1, -0.05, 0.2, None], [0.01, 0.02, 0.03, None])
    (bar,) = figure.data
    assert list(bar.y) == ["job", "age", "hours", "tax"]
    assert list(bar.x)[:3] == pytest.approx([20, 10, -5])
    assert list(bar.error_x.array)[:3] == pytest.approx([3, 1, 2])
    assert list(bar.error_x.arrayminus)[:3] == pytest.approx([3, 1, 2])
    assert not figure.layout.showlegend


def test_losses_without_deviations_have_no_intervals() -> None:
    assert losses(NAMES, [0.1] * 4).data[0].error_x.array is None


def test_words_are_in_order_and_grounds_have_the_colour_of_their_sign() -> None:
    figure = words(["a", "good", "day"], [0.0, 2.0, -1.0])
    assert list(figure.data[0].text) == ["a", "good", "<u>day</u>"]
    speaking, against = figure.layout.shapes
    assert speaking.fillcolor == "rgba(0,114,178,0.6)"
    assert against.fillcolor == "rgba(213,94,0,0.34)"
    assert list(figure.data[0].hovertext) == ["+0.000", "+2.000", "-1.000"]
    x = list(figure.data[0].x)
    assert speaking.x0 < x[1] < speaking.x1 < against.x0 < x[2] < against.x1


def test_long_texts_are_broken_into_lines_and_no_word_leaves_the_figure() -> None:
    texts = ["word"] * 50 + ["x" * 200]
    figure = words(texts, [1.0] * 51, across=40)
    places = list(zip(figure.data[0].x, figure.data[0].y, strict=True))
    assert all(x + min(len(text), 40) <= 40 for (x, _), text in zip(places, texts, strict=True))
    assert len({y for _, y in places}) == 8  # eight words of five letters in a line, and the long one
    assert figure.data[0].text[-1] == "x" * 39 + "…"
    assert max(y for _, y in places) < figure.layout.yaxis.range[0]


def test_words_are_text_and_never_markup() -> None:
    assert list(words(["<b>", "&"], [1.0, 1.0]).data[0].text) == ["&lt;b&gt;", "&amp;"]


def test_a_text_without_words_is_an_empty_strip() -> None:
    figure = words([], [])
    assert len(figure.layout.shapes) == 0
    assert len(figure.data[0].text) == 0


def test_scores_of_nought_are_not_coloured() -> None:
    assert len(words(["a", "b"], [0.0, 0.0]).layout.shapes) == 0
