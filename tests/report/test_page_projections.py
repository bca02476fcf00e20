"""The part of a page on projected features: tracked runs alone, every point as stored, in a moment."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from run_folders import GROUPS, comparison_folder, run_folder

from evenhand import projection
from evenhand.report.blocks import Charts, Section, Table
from evenhand.report.found import find
from evenhand.report.sections import projections


def with_points(folder: Path, n_rows: int = 90, n_features: int = 6, part: str = "test") -> Path:
    """Groups lie apart at the last epoch only; of the last ten rows the group is not known."""
    rng = np.random.default_rng(len(folder.name))
    group_N = np.arange(n_rows) % 4
    apart = 30 * np.eye(4, n_features)[group_N]
    known_N = np.where(np.arange(n_rows) < n_rows - 10, group_N, -1)
    first_ND, last_ND = (rng.normal(size=(n_rows, n_features)) + each for each in (0, apart))
    y_N = group_N // 2
    np.savez_compressed(
        folder / "points.npz", first_ND=first_ND.astype(np.float16), last_ND=last_ND.astype(np.float16),
        rows_N=np.arange(n_rows), y_N=y_N, group_N=known_N, predicted_first_N=np.zeros(n_rows, np.int64),
        predicted_last_N=y_N, part=np.array(part),
    )  # fmt: skip
    return folder


def section(path: Path) -> Section:
    (found,) = projections.sections(find(path))
    return found


def test_runs_that_were_not_tracked_have_no_such_part(tmp_path: Path) -> None:
    run_folder(tmp_path)
    assert projections.sections(find(tmp_path)) == []


def test_points_are_the_projection_of_the_stored_features(tmp_path: Path) -> None:
    with_points(run_folder(tmp_path))
    run = find(tmp_path).runs[0]
    points = run.points()
    assert points is not None
    _, last_N2 = projection.joint(points["first_ND"], points["last_ND"], "pca")
    shown = section(tmp_path)
    by_class, by_group, by_error = [block for block in shown.blocks if isinstance(block, Charts)]
    assert [chart.title for chart in by_class.charts] == ["erm, first epoch", "erm, last epoch"]
    assert [name for name, _ in by_group.legend] == list(GROUPS)
    traces = by_class.charts[1].figure["data"]
    drawn = {(trace["name"], x, y) for trace in traces for x, y in zip(trace["x"], trace["y"], strict=True)}
    names = np.array(["black", "white"])[points["y_N"]].tolist()
    expected_N2 = (last_N2 / np.abs(last_N2).max()).round(3).tolist()
    assert drawn == {(name, *xy) for name, xy in zip(names, expected_N2, strict=True)}
    assert {trace["name"] for trace in by_group.charts[0].figure["data"]} == {*GROUPS, "group not known"}
    assert "48.9 % predicted wrong" in by_error.charts[0].alt  # 44 of 90 rows are not of the first class
    assert "0.0 % predicted wrong" in by_error.charts[1].alt


def test_numbers_behind_the_points(tmp_path: Path) -> None:
    with_points(run_folder(tmp_path))
    (table,) = [block for block in section(tmp_path).blocks if isinstance(block, Table)]
    first, last = ([cell.sort for cell in row] for row in table.rows)
    columns = dict(zip(table.columns, zip(first, last, strict=True), strict=True))
    assert columns["purity of group, %"][1] == 1
    assert columns["purity of group, %"][0] == pytest.approx(0.25, abs=0.12)
    assert columns["wrong, %"] == (44 / 90, 0)
    for value in columns["trustworthiness"]:
        assert 0.3 < float(str(value)) <= 1


def test_the_reference_comes_first_and_epochs_are_rows(tmp_path: Path) -> None:
    comparison_folder(tmp_path, seeds=1)
    for folder in tmp_path.glob("*-seed0-*"):
        with_points(folder)
    charts = next(block for block in section(tmp_path).blocks if isinstance(block, Charts)).charts
    assert [chart.title for chart in charts] == [
        f"{method}, {epoch} epoch" for epoch in ("first", "last") for method in ("erm", "groupdro", "rwg")
    ]


def test_a_damaged_file_of_points_is_named(tmp_path: Path) -> None:
    comparison_folder(tmp_path, ("erm", "rwg"), seeds=1)
    erm, rwg = sorted(tmp_path.glob("*-seed0-*"))
    with_points(erm)
    (rwg / "points.npz").write_bytes(b"PK")
    found = find(tmp_path)
    (shown,) = projections.sections(found)
    assert any(rwg.name in problem for problem in found.problems)
    assert all("erm" in chart.title for block in shown.blocks if isinstance(block, Charts) for chart in block.charts)


def test_a_folder_of_many_runs_is_shown_in_a_moment(tmp_path: Path) -> None:
    comparison_folder(tmp_path, seeds=8)
    for folder in tmp_path.glob("*-seed?-*"):
        with_points(folder, 2000, 64)
    found = find(tmp_path)
    projections.sections(found)  # what is imported stays
    start = time.process_time()
    (shown,) = projections.sections(found)
    assert time.process_time() - start < 3
    (charts, *_) = [block for block in shown.blocks if isinstance(block, Charts)]
    assert len(charts.charts) == 6
    assert all(sum(len(trace["x"]) for trace in chart.figure["data"]) <= 600 for chart in charts.charts)
