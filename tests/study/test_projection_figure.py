"""The figure of projected features: rows of one class, purity of the attribute, and sentences that follow from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenhand import projection
from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study import figures
from evenhand.study.comparison import Comparison, Entry
from evenhand.study.papers import PaperStudy, PaperTable, Row, read_study
from evenhand.study.reproduction import Reproduction, StudyReproduction

LABELS = {
    "label": "necklace",
    "classes": ["no", "yes"],
    "attributes": [{"name": "sex", "values": ["Male", "Female"]}],
}
PCA = {"projection": "pca"}


def run(folder: Path, apart: tuple[float, float], *, seed: int = 0, tracked: bool = True, **labels: Any) -> Run:
    """A run whose attribute values lie so far apart at the first and the last epoch."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"labels": LABELS | labels}))
    if tracked:
        rng = np.random.default_rng(seed)
        group_N = np.concatenate([rng.integers(0, 4, 196), [-1, -1, 0, 1]])
        first_ND, last_ND = (
            (rng.normal(size=(200, 6)) + distance * (group_N % 2)[:, None]).astype(np.float16) for distance in apart
        )
        np.savez_compressed(
            folder / "points.npz", first_ND=first_ND, last_ND=last_ND, rows_N=np.arange(200), y_N=group_N.clip(0) // 2,
            group_N=group_N, predicted_first_N=np.zeros(200, int), predicted_last_N=np.zeros(200, int),
            part=np.array("test"),
        )  # fmt: skip
    return Run(folder)


def study(entries: dict[str, list[Run]], part: str = "") -> StudyReproduction:
    rows = tuple(Row(label, "erm", {}, {}) for label in entries)
    table = PaperTable("t", "T", "S", "d", "d", ("accuracy",), 3, {}, {"seeds": 1, "epochs": 1}, rows, part=part)
    seeds = tuple(range(max(map(len, entries.values()))))
    compared = Comparison("d", seeds, tuple(Entry(label, "erm", {}, tuple(runs)) for label, runs in entries.items()))
    reproduced = Reproduction(table, compared, "full", {})
    return StudyReproduction(PaperStudy("t", "T", "S", (table,), figure="projection"), (reproduced,))


def two(tmp_path: Path, n_seeds: int = 1) -> StudyReproduction:
    """ERM learns the attribute, ClusterFix forgets it."""
    return study({
        label: [run(tmp_path / f"{label}{seed}", apart, seed=seed) for seed in range(n_seeds)]
        for label, apart in {"ERM": (0.0, 9.0), "ClusterFix": (9.0, 0.0)}.items()
    })  # fmt: skip


def test_purity_is_of_the_rows_of_the_class_whose_attribute_is_known(tmp_path: Path) -> None:
    found = two(tmp_path)
    record = figures.measured("projection", found, PCA | {"class_index": 1, "neighbours": 5})
    points = found.parts[0].comparison.shown[0].finished[0].points()
    assert points is not None
    chosen_N = points["group_N"] >= 2
    (part,) = record["parts"]
    expected = projection.purity(points["first_ND"][chosen_N], points["group_N"][chosen_N], n_neighbors=5)
    assert part["rows"][0]["first"]["purity"] == [pytest.approx(expected)]
    assert part["rows"][0]["attribute"] == (points["group_N"][chosen_N] - 2).tolist()
    assert part["class"] == "necklace=yes"
    assert len(part["rows"][0]["first"]["x"]) == chosen_N.sum()


def test_a_record_survives_json_and_is_drawn_and_told_from_it(tmp_path: Path) -> None:
    record = json.loads(json.dumps(figures.measured("projection", two(tmp_path), PCA), allow_nan=False))
    (panel,) = figures.drawn(record).values()
    headings = [annotation.text for annotation in panel.layout.annotations]
    assert len(headings) == 4
    assert headings[0].startswith("<b>ERM, first epoch</b>")
    assert "trustworthiness" in headings[0]
    assert {trace.name for trace in panel.data} == {"sex=Male", "sex=Female"}
    (table,) = figures.tables(record)
    assert [row[0] for row in table.rows] == ["ERM", "ClusterFix"]
    assert table.rows[0][2] == "100.00"
    lines = figures.findings(record)
    assert "training sets the attribute's values apart" in lines[0]
    assert "training mixes the attribute's values, down to chance" in lines[1]
    assert lines[2] == (
        "At the last epoch sex is least visible among the features of ClusterFix; one seed cannot say more."
    )


def test_with_seeds_it_is_said_whether_the_least_can_be_told(tmp_path: Path) -> None:
    record = figures.measured("projection", two(tmp_path, 3), PCA)
    assert figures.findings(record)[-1].endswith("among the features of ClusterFix, beyond the noise.")
    same = study({
        label: [run(tmp_path / f"{label}{seed}", (0.0, 0.0), seed=seed) for seed in range(place, place + 3)]
        for place, label in enumerate("AB")
    })  # fmt: skip
    record = figures.measured("projection", same, PCA)
    assert figures.findings(record)[-1].endswith("cannot be told from it.")
    assert "training changes little about it" in figures.findings(record)[0]


def test_parts_have_a_panel_each(tmp_path: Path) -> None:
    first, second = (study({"ERM": [run(tmp_path / part, (0.0, 1.0))]}, part) for part in ("Chubby", "Bangs"))
    both = replace(first, parts=(*first.parts, *second.parts))
    record = figures.measured("projection", both, PCA)
    assert list(figures.drawn(record)) == ["Chubby", "Bangs"]
    assert [line.partition(":")[0] for line in figures.findings(record)] == ["Chubby", "Bangs"]


def test_several_attributes_are_one(tmp_path: Path) -> None:
    several = [{"name": "a", "values": ["0"]}, {"name": "b", "values": ["x", "y"]}]
    found = study({"ERM": [run(tmp_path / "run", (0.0, 1.0), attributes=several)]})
    (part,) = figures.measured("projection", found, PCA)["parts"]
    assert part["values"] == ["a=0, b=x", "a=0, b=y"]
    assert part["attribute"] == "a and b"


def test_without_umap_another_projection_is_drawn_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.study.figures.projection.find_spec", lambda name: None)
    record = figures.measured("projection", two(tmp_path), {})
    assert record["projection"] == "tsne"
    assert "UMAP of the paper needs the extra evenhand[explain]" in figures.findings(record)[-1]
    assert "t-SNE" in figures.drawn(record)[""].layout.title.text


def test_what_the_figure_cannot_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="was not tracked"):
        figures.measured("projection", study({"ERM": [run(tmp_path / "a", (0, 0), tracked=False)]}), PCA)
    with pytest.raises(BadInput, match=r"0\.\.1, got 2"):
        figures.measured("projection", study({"ERM": [run(tmp_path / "b", (0, 0))]}), PCA | {"class_index": 2})
    with pytest.raises(BadInput, match="coloured by an attribute, and d has none"):
        figures.measured("projection", study({"ERM": [run(tmp_path / "c", (0, 0), attributes=[])]}), PCA)
    with pytest.raises(BadInput, match="no finished run"):
        figures.measured("projection", study({"ERM": []}), PCA)
    empty = run(tmp_path / "d", (0, 0), classes=["a", "b", "c"])
    with pytest.raises(BadInput, match="no rows of class 2"):
        figures.measured("projection", study({"ERM": [empty]}), PCA | {"class_index": 2})


def test_the_paper_asks_for_it() -> None:
    paper = read_study("clusterfix-figure3c")
    assert (paper.figure, paper.parts[0].track) == ("projection", "collapse")
    assert paper.figure_options["class_index"] == 0
    assert paper.parts[0].data_options["target"] == "Wearing_Necklace"
