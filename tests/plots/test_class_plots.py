"""Figures of sorted classes: what is drawn where, and how classes are named."""

from __future__ import annotations

import pytest

from evenhand.plots import save
from evenhand.plots.classes import NAMED, SMOOTHED, Strip, class_plane, class_scatter, sorted_curves, third_bars

THIRDS = (("Easy", 1), ("Medium", 2), ("Hard", 1))
NAMES = ["a", "b", "c", "d"]


def test_parts_of_the_order_are_shaded_and_named_without_gaps() -> None:
    figure = sorted_curves([Strip("y", {"one": [1, 2, 3, 4]})], NAMES, THIRDS)
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(0.5, 1.5), (1.5, 3.5), (3.5, 4.5)]
    assert [note.text for note in figure.layout.annotations] == ["Easy", "Medium", "Hard"]
    assert list(figure.layout.xaxis.range) == [0.5, 4.5]


def test_an_empty_part_is_left_out() -> None:
    figure = sorted_curves([Strip("y", {"one": [1, 2]})], ["a", "b"], (("Easy", 1), ("Medium", 0), ("Hard", 1)))
    assert [note.text for note in figure.layout.annotations] == ["Easy", "Hard"]


@pytest.mark.parametrize(("size", "named"), [(NAMED, True), (NAMED + 1, False)])
def test_few_classes_are_named_and_of_many_the_rank_is_shown(size: int, named: bool) -> None:
    names = [f"class {k}" for k in range(size)]
    figure = sorted_curves([Strip("y", {"one": list(range(size))})], names, (("Easy", size),))
    assert (figure.layout.xaxis.ticktext is not None) == named


def test_strips_have_axes_of_their_own_and_share_colours_and_legend() -> None:
    strips = [Strip("rows", {"one": [1, 10, 100, 5]}, log=True), Strip("share", {"one": [1, 2, 3, 4], "two": [0] * 4})]
    figure = sorted_curves(strips, NAMES, THIRDS, title="t", x_title="x")
    assert (figure.layout.yaxis.type, figure.layout.yaxis2.type) == ("log", "linear")
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
    first, again, two = figure.data
    assert first.line.color == again.line.color != two.line.color
    assert [trace.showlegend for trace in figure.data] == [True, False, True]
    assert figure.layout.height > sorted_curves(strips[:1], NAMES, THIRDS).layout.height


def test_bands_lie_around_their_curve() -> None:
    strip = Strip("y", {"one": [1.0, 2.0, 3.0, 4.0]}, {"one": ([0.0] * 4, [5.0] * 4)})
    band, _ = sorted_curves([strip], NAMES, THIRDS).data
    assert (band.fill, list(band.y)) == ("toself", [5.0] * 4 + [0.0] * 4)


def test_values_of_many_classes_stand_back_behind_their_trend() -> None:
    size = SMOOTHED + 1
    values = [float(k) for k in range(size)]
    strip = Strip("y", {"one": values}, trends={"one": values})
    curve, trend = sorted_curves([strip], NAMES * 16, (("Easy", size),)).data
    assert curve.opacity < 1
    assert trend.line.width > curve.line.width


def test_points_of_few_classes_are_named_once() -> None:
    points = {"one": ([0.0, 1.0, 2.0, None], [0.0, 1.0, 2.0, 1.0]), "two": ([1.0] * 4, [1.0] * 4)}
    one, two = class_scatter(points, NAMES, x_title="x", y_title="y").data
    assert (one.mode, two.mode) == ("markers+text", "markers")
    assert len(one.textposition) == 4


def test_names_keep_away_from_a_neighbour() -> None:
    left, right = class_scatter({"one": ([0.0, 0.1, 1.0], [0.0, 0.0, 1.0])}, NAMES[:3]).data[0].textposition[:2]
    assert (left, right) != ("middle right", "middle left")


def test_classes_on_a_plane_are_grouped_by_their_part() -> None:
    points = {"a": ([0.0, 1.0], [0.0, 1.0]), "b": ([2.0], [2.0]), "c": ([3.0], [1.0])}
    figure = class_plane(points, {"a": "Easy", "b": "Easy", "c": "Hard"})
    assert [trace.legendgroup for trace in figure.data] == ["Easy", "Easy", "Hard"]
    assert figure.data[0].marker.symbol == figure.data[1].marker.symbol != figure.data[2].marker.symbol


def test_a_picture_has_the_size_of_its_layout(tmp_path: object) -> None:
    figure = third_bars({"one": [1.0, -1.0]}, ["Easy", "Hard"], title="t<br>u")
    assert (figure.layout.width, figure.layout.height) == (760, 420)
    path = save(figure, tmp_path / "f.json")  # type: ignore[operator]
    assert '"height":420' in path.read_text()
