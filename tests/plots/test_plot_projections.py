"""Panels of projected features: every point is there, kinds look alike in all panels, rare ones lie on top."""

from __future__ import annotations

from itertools import combinations

from evenhand.plots.projections import RIGHT, WRONG, by_error, projections

PANELS = {"first epoch": ([0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]), "last epoch": ([1.0] * 4, [2.0] * 4)}
KINDS = {"first epoch": ["a", "b", "a", "a"], "last epoch": ["b", "b", "a", "c"]}


def test_every_point_is_in_its_panel_as_its_kind() -> None:
    figure = projections(PANELS, KINDS)
    found = [(trace.xaxis, trace.name, x, y) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)]
    expected = [
        (axis, *row)
        for axis, name in zip(["x", "x2"], PANELS, strict=True)
        for row in zip(KINDS[name], *PANELS[name], strict=True)
    ]
    assert sorted(found) == sorted(expected)


def test_a_kind_is_once_in_the_legend_and_looks_the_same_everywhere() -> None:
    figure = projections(PANELS, KINDS, order=["c", "b", "a"])
    assert sorted(trace.name for trace in figure.data if trace.showlegend) == ["a", "b", "c"]
    looks = {(trace.name, trace.marker.color, trace.marker.symbol, trace.legendrank) for trace in figure.data}
    assert len(looks) == 3
    assert {name: rank for name, _, _, rank in looks} == {"c": 1, "b": 2, "a": 3}


def test_rare_kinds_are_drawn_last() -> None:
    figure = projections(PANELS, KINDS)
    assert [trace.name for trace in figure.data if trace.xaxis == "x"] == ["a", "b"]
    assert next(trace.name for trace in figure.data if trace.xaxis == "x2") == "b"


def test_many_kinds_all_look_different() -> None:
    names = [f"group {number}" for number in range(60)]
    figure = projections({"": (list(range(60)), list(range(60)))}, {"": names})
    looks = [(trace.marker.color, trace.marker.symbol) for trace in figure.data]
    assert len(set(looks)) == 60
    assert len({trace.marker.symbol for trace in figure.data[:8]}) == 8


def test_panels_do_not_overlap_and_a_unit_is_as_long_across_as_up() -> None:
    panels = {str(number): ([0.0], [0.0]) for number in range(5)}
    figure = projections(panels, {name: ["a"] for name in panels}, columns=2)
    boxes = []
    for number in ("", 2, 3, 4, 5):
        across, up = figure.layout[f"xaxis{number}"].domain, figure.layout[f"yaxis{number}"].domain
        assert figure.layout[f"yaxis{number}"].scaleanchor == f"x{number}"
        boxes.append((*across, *up))
    for (left, right, low, high), (left_2, right_2, low_2, high_2) in combinations(boxes, 2):
        assert right <= left_2 or right_2 <= left or high <= low_2 or high_2 <= low
    assert {round(right - left, 9) for left, right, _, _ in boxes} == {0.48}


def test_headings_carry_their_notes() -> None:
    figure = projections(PANELS, KINDS, notes={"last epoch": "trustworthiness 0.91"})
    assert ["0.91" in annotation.text for annotation in figure.layout.annotations] == [False, True]


def test_errors_stand_out_from_rows_that_are_right() -> None:
    kinds = by_error([False, True, False, False])
    assert kinds == [RIGHT, WRONG, RIGHT, RIGHT]
    right, wrong = projections({"": PANELS["first epoch"]}, {"": kinds}).data
    assert right.marker.color.startswith("rgba(128,128,128")
    assert wrong.marker.size > right.marker.size


def test_a_figure_without_panels_is_empty() -> None:
    assert len(projections({}, {}).data) == 0
