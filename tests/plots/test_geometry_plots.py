"""Curves of geometry by epoch, and vectors in space: what is drawn where, and that nothing is distorted."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.plots.geometry import COSINES, cosines, group_curves, over_seeds
from evenhand.plots.space import MOST_NAMED, space
from evenhand.plots.style import colour

GROUPS = [
    {"name": f"y={c}, a={a}", "class": c, "rank": rank}
    for c, ranks in enumerate([(0, 1), (1, 0)])
    for a, rank in enumerate(ranks)
]


# --- curves ---


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=2, max_size=4))
def test_bands_are_one_sd_around_the_mean(curves: list[list[float]]) -> None:
    mean, band = over_seeds(curves)
    assert band is not None
    for epoch, values in enumerate(zip(*curves, strict=True)):
        sd = statistics.stdev(values)
        assert mean[epoch] == pytest.approx(statistics.mean(values), abs=1e-9)
        assert [band[0][epoch], band[1][epoch]] == pytest.approx(
            [statistics.mean(values) - sd, statistics.mean(values) + sd], abs=1e-6
        )


def test_seeds_of_other_length_and_undefined_values_are_left_out() -> None:
    mean, band = over_seeds([[1.0, None, 3.0], [3.0, None]])
    assert mean == [2.0, None, 3.0]
    assert band == ([2 - math.sqrt(2), None, 3.0], [2 + math.sqrt(2), None, 3.0])
    assert over_seeds([[1.0, 2.0]]) == ([1.0, 2.0], None)
    assert over_seeds([]) == ([], None)


def shown(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data if trace.name}


def test_cosines_of_one_method_have_a_colour_and_a_dash_each() -> None:
    figure = cosines({"ERM": {name: [[0.1, 0.2]] for name in COSINES}})
    lines = shown(figure)
    assert list(lines) == [f"{what} ({name})" for name, (what, _) in COSINES.items()]
    assert len({line.line.color for line in lines.values()}) == len({line.line.dash for line in lines.values()}) == 4
    low, high = figure.layout.yaxis.range
    assert low < -1 < 1 < high


def test_several_methods_have_a_colour_each_and_measures_keep_their_dash() -> None:
    first = {name: [[0.1, 0.2], [0.2, 0.3]] for name in COSINES}
    figure = cosines({"A": first, "B": {"d_maj": [[0.5]], "d_min": [[0.6]]}}, begins=1)
    lines = shown(figure)
    assert {name: line.line.dash for name, line in lines.items()}["B, majority means"] == "solid"
    assert lines["A, minority means"].line.dash == lines["B, minority means"].line.dash == "dash"
    assert {line.line.color for name, line in lines.items() if name[0] == "A"} == {colour(0)}
    assert {line.line.color for name, line in lines.items() if name[0] == "B"} == {colour(1)}
    assert [shape.x0 for shape in figure.layout.shapes] == [1.5]
    assert sum(trace.fill == "toself" for trace in figure.data) == 4  # one seed of B has no band


def test_groups_have_the_colour_of_their_class_and_the_majority_is_solid() -> None:
    figure = group_curves([[[g + 1.0, g + 2.0]] for g in range(4)], GROUPS, top=10)
    lines = shown(figure)
    assert list(lines) == [
        "y=0, a=0 (majority)", "y=0, a=1 (minority)", "y=1, a=0 (minority)", "y=1, a=1 (majority)",
    ]  # fmt: skip
    assert [line.line.dash for line in lines.values()] == ["solid", "dash", "dash", "solid"]
    assert [line.line.color for line in lines.values()] == [colour(0), colour(0), colour(1), colour(1)]
    assert list(figure.layout.yaxis.range) == [0, 10.5]
    assert not figure.layout.shapes


def test_groups_between_largest_and_smallest_differ_in_dash_and_single_ones_are_not_sized() -> None:
    groups = [{"name": str(rank), "class": 0, "rank": rank} for rank in range(4)]
    groups.append({"name": "alone", "class": 1, "rank": 0})
    lines = shown(group_curves([[[1.0, None]]] * 5, groups))
    assert list(lines) == ["0 (majority)", "1", "2", "3 (minority)", "alone"]
    assert len({line.line.dash for line in list(lines.values())[:4]}) == 4


# --- space ---


def vectors(classes: int = 2, attributes: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """Random means and weights; the first attribute value has the most rows."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for c in range(classes):
        for a in range(attributes):
            of = {"name": f"y={c}, a={a}", "class": c, "attribute": a, "count": 10 - a}
            found.append({"kind": "group_mean", **of, "xyz": rng.normal(size=3).tolist()})
        for kind in ("class_mean", "weight"):
            of = {"name": str(c), "class": c, "attribute": None, "count": 9}
            found.append({"kind": kind, **of, "xyz": rng.normal(size=3).tolist()})
    return found


def tips(figure: go.Figure) -> dict[str, list[float]]:
    """Where each vector ends, by the name in the legend."""
    found = {}
    for trace in figure.data:
        if trace.type == "scatter3d" and trace.mode == "markers" and trace.name and trace.x[0] is not None:
            found[trace.name] = [trace.x[0], trace.y[0], trace.z[0]]
        if trace.type == "cone":
            name = next(t.name for t in figure.data if t.legendgroup == trace.legendgroup and t.name)
            found[name] = [trace.x[0], trace.y[0], trace.z[0]]
    return found


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_the_scene_is_only_turned(classes: int) -> None:
    given = vectors(classes, seed=classes)
    found = np.array(list(tips(space(given)).values()))
    wanted = np.array([vector["xyz"] for vector in given])
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=1e-9)
    reach_x, reach_y, reach_z = (found**2).sum(0)
    assert reach_x >= reach_z >= reach_y


def test_every_vector_lies_within_the_frame() -> None:
    figure = space(vectors(3, seed=5))
    for tip in tips(figure).values():
        for value, axis in zip(tip, ("xaxis", "yaxis", "zaxis"), strict=True):
            low, high = figure.layout.scene[axis].range
            assert low <= min(value, 0) <= max(value, 0) <= high
    lengths = [np.ptp(figure.layout.scene[axis].range) for axis in ("xaxis", "yaxis", "zaxis")]
    ratio = figure.layout.scene.aspectratio
    shares = [ratio[axis] / length for axis, length in zip("xyz", lengths, strict=True)]
    np.testing.assert_allclose(shares, shares[0])  # a unit is as long along every axis


def symbols(figure: go.Figure) -> dict[str, str]:
    return {t.name: t.marker.symbol for t in figure.data if t.type == "scatter3d" and t.mode == "markers" and t.name}


def test_majority_is_filled_and_minority_open_by_rows_or_as_told() -> None:
    by_rows = symbols(space(vectors()))
    assert by_rows["y=0, a=0: majority mean"] == "circle"
    assert by_rows["y=0, a=1: minority mean"] == "circle-open"
    told = symbols(space(vectors(), majority={0: 1, 1: 0}))
    assert told["y=0, a=1: majority mean"] == told["y=1, a=0: majority mean"] == "circle"
    assert told["y=0, a=0: minority mean"] == told["y=1, a=1: minority mean"] == "circle-open"


def test_groups_between_are_neither() -> None:
    names = [name for name in symbols(space(vectors(1, 3))) if name.startswith("y=0")]
    assert names == ["y=0, a=0: majority mean", "y=0, a=1: group mean", "y=0, a=2: minority mean"]


def test_classifier_vectors_end_in_cones_in_the_colour_of_their_class() -> None:
    cones = [trace for trace in space(vectors()).data if trace.type == "cone"]
    assert [cone.colorscale[0][1] for cone in cones] == [colour(0), colour(1)]
    for cone in cones:
        along, tip = np.array([cone.u[0], cone.v[0], cone.w[0]]), np.array([cone.x[0], cone.y[0], cone.z[0]])
        np.testing.assert_allclose(along, tip / np.linalg.norm(tip))


@pytest.mark.parametrize(("classes", "entries"), [(2, 8), (5, 5 + 4)])
def test_the_legend_names_vectors_or_what_they_are(classes: int, entries: int) -> None:
    given = vectors(classes)
    assert (len(given) <= MOST_NAMED) == (classes == 2)
    assert sum(trace.showlegend is not False and bool(trace.name) for trace in space(given).data) == entries


def test_turning_keeps_the_cameras_height_and_distance() -> None:
    eyes = [space(vectors(), turn=turn).layout.scene.camera.eye for turn in (0, 90, 360)]
    for one, other in itertools.pairwise(eyes):
        assert math.hypot(one.x, one.y) == pytest.approx(math.hypot(other.x, other.y))
        assert one.z == other.z
    assert eyes[2].x == pytest.approx(eyes[0].x)
    assert eyes[1].x == pytest.approx(-eyes[0].y)


@pytest.mark.parametrize("xyz", [[], [[0.0, 0.0, 0.0]]])
def test_nothing_and_nothing_but_the_origin_can_be_drawn(xyz: list[list[float]]) -> None:
    of = {"kind": "weight", "name": "a", "class": 0, "attribute": None, "count": 1}
    figure = space([{**of, "xyz": each} for each in xyz])
    low, high = figure.layout.scene.xaxis.range
    assert low < 0 < high


def test_names_are_text_not_markup() -> None:
    given = vectors(1, 1)
    given[0]["name"] = "<b>x %{y}"
    names = [trace.name for trace in space(given).data if trace.name and "x" in trace.name]
    assert names
    assert all("<b>" not in name for name in names)
