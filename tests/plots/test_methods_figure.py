"""The worst group against the average, method by method."""

from __future__ import annotations

from statistics import stdev

from evenhand.plots.methods import tradeoff


def test_seeds_are_points_and_their_mean_has_bars_of_one_sd() -> None:
    pairs = [(80.0, 50.0), (82.0, 60.0), (84.0, 58.0)]
    seeds, mean = tradeoff({"erm": pairs}).data
    assert list(zip(seeds.x, seeds.y, strict=True)) == pairs
    assert (mean.x[0], mean.y[0]) == (82.0, 56.0)
    assert mean.error_y.array[0] == stdev([50.0, 60.0, 58.0])
    assert mean.name == "erm"


def test_one_seed_has_no_bar_and_no_seed_no_point() -> None:
    (only,) = tradeoff({"erm": [(80.0, 50.0)], "rwg": []}).data
    assert only.error_x.array is None
    assert only.error_y.array is None


def test_many_methods_can_be_told_apart() -> None:
    figure = tradeoff({f"method {number}": [(1.0, 2.0)] for number in range(40)})
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 40


def test_a_label_is_no_template() -> None:
    (mean,) = tradeoff({"<b>%{x}": [(1.0, 2.0)]}).data
    assert "<b>" not in mean.hovertemplate
    assert mean.hovertemplate.count("%{x") == 1
