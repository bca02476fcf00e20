"""The figures of label bias: what they measure of runs, what they say of it, and their statistics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from evenhand.errors import BadInput
from evenhand.metrics import count, holm
from evenhand.metrics.rates import f1
from evenhand.runs import Run
from evenhand.study import figures
from evenhand.study.comparison import Comparison, Entry
from evenhand.study.figures import medical_deltas, medical_split
from evenhand.study.figures._medical import biased_groups, kendall, mann_whitney
from evenhand.study.findings import findings
from evenhand.study.papers import read_study
from evenhand.study.record import explanations, save_study, tables
from evenhand.study.reproduction import Reproduction, StudyReproduction, reproduce_study

ROWS = {"early": "early", "final": "final"}
SEXES = {"attributes": [{"name": "sex", "values": ["male", "female"]}]}


class Made:
    """Finished runs from figures alone."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0

    def run(
        self, nc1: list[float], *, distance: float = 1.0, wrong: int = 0, options: Mapping[str, Any] | None = None
    ) -> Run:
        """A run with so much train NC1 by epoch; of test the last epoch is selected, `wrong` of 20 positives missed."""
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir()
        last = len(nc1) - 1
        found = {"labels": SEXES, "selection": {"rule": "last", "epoch": last, "score": 0.9},
                 "test": {"roc_auc": 0.5 + distance / 10}, "seconds": 1.0}  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(found))
        (folder / "config.json").write_text(json.dumps({"data": {"name": "made", "options": dict(options or {})}}))
        lines = []
        for epoch, value in enumerate(nc1):
            groups = {"distance": [distance, 3 * distance, None, 2 * distance], "count": [30.0, 10.0, 0.0, 30.0]}
            scalars = {"nc1_distance": value, "nc1_quotient": value / 2}
            train = {"scalars": scalars, "classes": {"mean_norm": [1.0, 3.0]}}
            parts = {"train": train, "test": {"groups": groups}}
            lines.append(json.dumps({"stage": 0, "epoch": epoch, "parts": parts}))
        (folder / "collapse.jsonl").write_text("\n".join(lines) + "\n")
        y, attribute = np.repeat([0, 0, 1, 1], 20), np.tile(np.repeat([0, 1], 20), 2)
        predicted = y.copy()
        predicted[60 : 60 + wrong] = 0
        table = pl.DataFrame({
            "split": ["test"] * 80, "row": np.arange(80), "y": y, "attribute_sex": attribute,
            "group": 2 * y + attribute, "logit_0": 1.0 - predicted, "logit_1": predicted.astype(float),
        })  # fmt: skip
        pl.concat([table, table.with_columns(split=pl.lit("val"), y=1 - pl.col("y"))]).write_parquet(
            folder / "predictions.parquet"
        )
        return Run(folder)

    def part(self, figure: str, label: str, entries: dict[str, list[Run]]) -> Reproduction:
        """A part of the figure's study with these runs."""
        table = next(part for part in read_study(figure).parts if part.part == label)
        rows = tuple(Entry(name, "erm", {}, tuple(runs)) for name, runs in entries.items())
        return Reproduction(table, Comparison(table.data, (0, 1), rows), "small", {})


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def collapse(made: Made) -> StudyReproduction:
    clean = [made.run([2.0, 1.0, 0.5, 0.1]), made.run([2.2, 1.0, 0.5, 0.1])]
    biased = [made.run([3.0, 2.0, 1.0, 0.2]), made.run([3.2, 2.0, 1.0, 0.2])]
    parts = [
        made.part("medical-figure2", f"HAM10000 sex, {kind}", {"final": runs})
        for kind, runs in (("clean", clean), ("biased", biased))
    ]
    return StudyReproduction(read_study("medical-figure2"), tuple(parts))


def test_collapse_by_epoch(made: Made) -> None:
    record = json.loads(json.dumps(figures.measured("medical_collapse", collapse(made), {"row": "final"})))
    (panel,) = record["panels"]
    assert panel["name"] == "HAM10000 sex"
    assert panel["clean"]["values"] == [[2.0, 1.0, 0.5, 0.1], [2.2, 1.0, 0.5, 0.1]]
    assert panel["biased"]["relative"][0] == [1.5, 1.0, 0.5, 0.1]
    drawn = figures.drawn(record)
    assert list(drawn) == ["HAM10000-sex", "HAM10000-sex-relative"]
    traces = {trace.name: trace for trace in drawn["HAM10000-sex"].data if trace.name}
    assert list(traces["clean labels"].y) == pytest.approx([2.1, 1.0, 0.5, 0.1])
    assert (traces["clean labels"].line.dash, traces["biased labels"].line.dash) == ("dash", "solid")
    band = next(trace for trace in drawn["HAM10000-sex"].data if trace.fill == "toself")
    assert band.y[0] == pytest.approx(2.1 + math.sqrt(0.02))
    (table,) = figures.tables(record)
    assert table.rows[0][:3] == ("HAM10000 sex", "clean", "2.100±0.141")
    lines = figures.findings(record)
    assert "higher in 2 of 2 seeds: as in the paper" in lines[0]
    assert "5% of that of the first with clean labels and 6% with biased ones: both approach zero" in lines[1]
    assert lines[2].endswith(
        "0.100 and 0.050 at the end: biased training is further from collapse early and at the end."
    )


def test_collapse_the_other_way_is_said(made: Made) -> None:
    found = collapse(made)
    labels = [part.table.part for part in reversed(found.parts)]
    swapped = [replace(p, table=replace(p.table, part=label)) for p, label in zip(found.parts, labels, strict=True)]
    record = figures.measured("medical_collapse", replace(found, parts=tuple(swapped)), {"row": "final"})
    assert "the paper's higher values under bias are not seen here" in figures.findings(record)[0]


def test_both_kinds_of_labels_are_needed(made: Made) -> None:
    found = collapse(made)
    with pytest.raises(BadInput, match="needs finished runs of these parts of one data set: clean, biased"):
        figures.measured("medical_collapse", replace(found, parts=found.parts[:1]), {"row": "final"})
    (found.parts[0].comparison.entries[0].finished[0].folder / "collapse.jsonl").unlink()
    again = replace(found, parts=tuple(fresh(part) for part in found.parts))
    with pytest.raises(BadInput, match="not trained with tracking"):
        figures.measured("medical_collapse", again, {"row": "final"})


def fresh(part: Reproduction) -> Reproduction:
    """The same runs, read anew."""
    entries = tuple(replace(e, runs=tuple(Run(run.folder) for run in e.finished)) for e in part.comparison.entries)
    return replace(part, comparison=replace(part.comparison, entries=entries))


def deltas(made: Made, seeds: int, wrong: tuple[int, ...]) -> dict[str, Any]:
    """Clean runs miss 0, 1, … positives of the second group, biased ones more."""
    parts = []
    for kind, more, distance in (("clean", 0, 1.0), ("biased", wrong[0], 1.5)):
        options = {"flip": 0.25} if kind == "biased" else {}
        runs = {
            row: [made.run([1.0, 0.5], distance=distance, wrong=s + more, options=options) for s in range(seeds)]
            for row in ("early", "final")
        }
        parts.append(made.part("medical-figure4", f"HAM10000 sex, {kind}", runs))
    found = StudyReproduction(read_study("medical-figure4"), tuple(parts))
    return json.loads(json.dumps(figures.measured("medical_deltas", found, ROWS)))


def test_differences_on_test_by_group(made: Made) -> None:
    record = deltas(made, 5, (10,))
    male, female = (group for group in record["groups"] if group["stage"] == "final")
    assert (male["group"], male["biased"]) == ("male", False)
    assert (female["group"], female["biased"]) == ("female", True)
    # 30 rows at 1 and none of the other class; 10 rows at 3 and 30 at 2.
    assert male["nc1"]["clean"] == pytest.approx([1.0] * 5)
    assert female["nc1"]["clean"] == pytest.approx([2.25] * 5)
    assert medical_deltas.difference(female["nc1"])[0] == pytest.approx(1.125)
    assert medical_deltas.difference(female["relative"])[0] == pytest.approx(1.125 / 2)
    assert female["f1"]["clean"] == pytest.approx([2 * (20 - k) / (40 - k) for k in range(5)])
    assert female["p"] == pytest.approx(2 / math.comb(10, 5))
    assert female["method"] == "exact"
    assert male["p"] == 1.0
    assert female["p_holm"] == pytest.approx(2 * female["p"])
    drawn = figures.drawn(record)
    assert list(drawn) == ["early", "final"]
    star = drawn["final"].data[-1]
    assert (list(star.text), list(star.x[1])) == (["*"], ["female"]), "on F1 of the group that was biased"
    lines = figures.findings(record)
    assert lines[0].startswith("early: F1 differs with p < 0.05 in 1 of 2 groups (1 of them worse with biased labels)")
    assert "final: in groups with changed labels F1 is lower on average in 1 of 1" in lines[4]
    assert len(figures.tables(record)) == 2


def test_too_few_seeds_for_any_star_are_named(made: Made) -> None:
    record = deltas(made, 3, (10,))
    assert all(group["p"] >= 0.05 for group in record["groups"])
    assert figures.findings(record)[0].startswith("With 3 seeds against 3 the test cannot give p < 0.05 (the least it")
    assert "0.100" in figures.findings(record)[0]


def test_groups_that_were_changed_are_found_by_number_and_name(made: Made) -> None:
    for options, wanted in (
        ({}, [False, True]), ({"flip_group": 0}, [True, False]), ({"flip_group": ["female"]}, [False, True]),
        ({"flip_group": ["sex=male", 1]}, [True, True]),
    ):  # fmt: skip
        assert biased_groups(made.run([1.0], options=options)) == wanted


def test_separability(made: Made) -> None:
    """From numbers: the training of models and fits to features have tests of their own."""
    points = [
        {"name": name, "inputs": [x - 0.01, x + 0.01], "early": [x, x - 0.01], "final": [y, y + 0.02],
         "intervals": {"early": [[None, None]] * 2, "final": [[None, None]] * 2}}
        for name, x, y in (("A", 0.9, 0.6), ("B", 0.7, 0.72), ("C", 0.8, 0.75))
    ]  # fmt: skip
    means = [[sum(point[key]) / 2 for point in points] for key in ("inputs", "early", "final")]
    taus = {stage: kendall(means[0], of) for stage, of in zip(("early", "final"), means[1:], strict=True)}
    record = {"kind": "medical_split", "points": points, "kendall": taus}
    assert taus["early"]["tau"] == pytest.approx(1.0)
    drawn = figures.drawn(record)
    line = drawn["early"].data[0]
    assert list(line.x) == list(line.y), "y = x"
    assert drawn["final"].data[1].error_y.array[0] == pytest.approx(math.sqrt(2e-4))
    lines = figures.findings(record)
    assert lines[0].startswith("early: Kendall's τ = 1.00 over 3 data sets and attributes")
    assert "features tell the attribute with AUC 0.895 early (like the 0.900 from the inputs) and 0.610" in lines[2]
    assert "tell less (lower in 2 of 2 seeds), as the paper finds for some data" in lines[2]
    assert figures.tables(record)[0].rows[0] == ("A", "0.900±0.014", "0.895±0.007", "0.610±0.014", "2")
    one = {**record, "points": points[:1], "kendall": {"early": kendall([0.9], [0.9]), "final": kendall([0.9], [0.6])}}
    assert "needs several data sets and attributes, here 1 (6 in the paper)" in medical_split.findings(one)[0]
    assert figures.drawn(one)["early"].layout.annotations == ()


def test_mann_whitney_as_published() -> None:
    clean, biased = [0.80, 0.82, 0.84, 0.81, 0.83], [0.79, 0.78, 0.805, 0.77, 0.76]
    found = mann_whitney(clean, biased)
    assert (found["u"], found["method"]) == (24.0, "exact")
    assert found["p"] == pytest.approx(0.015873, abs=1e-6)
    ten = [float(k) for k in range(10)]
    assert mann_whitney(ten, [10 + value for value in ten])["p"] == pytest.approx(1.0825e-5, rel=1e-4)
    tied = mann_whitney([1.0, 2.0, 2.0], [2.0, 3.0, 4.0])
    assert tied["method"] == "asymptotic"
    assert mann_whitney([1.0, 1.0], [1.0, 1.0])["p"] == 1.0
    assert mann_whitney([1.0], [math.nan])["p"] is None
    assert mann_whitney([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])["p"] == pytest.approx(0.1)
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])


def test_kendall_as_published() -> None:
    found = kendall([0.986, 0.95, 0.9, 0.8, 0.75, 0.642], [0.95, 0.96, 0.85, 0.70, 0.72, 0.55])
    assert found["tau"] == pytest.approx(0.733333, abs=1e-6)
    assert found["p"] == pytest.approx(0.055556, abs=1e-6)
    assert kendall([1, 2, 2, 3], [1, 3, 2, 3])["tau"] == pytest.approx(0.8)
    assert kendall([1.0, math.nan], [1.0, 2.0]) == {"tau": None, "p": None, "n": 1}


def test_f1_of_classes_and_attribute_values() -> None:
    rng = np.random.default_rng(0)
    y, guess, attribute = (rng.integers(0, size, 300) for size in (3, 3, 2))
    found = f1(count(y, guess, attribute)).value
    for a in range(2):
        mine = attribute == a
        assert found[:, a].tolist() == pytest.approx(f1_score(y[mine], guess[mine], average=None).tolist())
    empty = f1(count([0, 0], [0, 0], [0, 0], n_classes=2, n_attributes=1))
    assert math.isnan(empty.value[1, 0])
    assert empty.rows[:, 0].tolist() == [2, 0]


def test_overview_of_the_data_beside_the_paper() -> None:
    study = read_study("medical-table1")
    table = next(part for part in study.parts if part.part == "HAM10000 age")
    age = {"name": "age", "values": ["<60", ">=60"]}
    labels = {"label": "lesion", "classes": ["benign", "malignant"], "attributes": [age]}
    counts = {"labels": labels, "train": [60, 20, 10, 10], "val": [6, 2, 1, 1], "test": [6, 2, 1, 1]}
    part = Reproduction(table, Comparison("ham10000", (), ()), "full", {}, counts=counts)
    whole = StudyReproduction(study, (part,))
    record = json.loads(json.dumps(figures.measured("medical_overview", whole, study.figure_options)))
    (found,) = record["parts"]
    assert (found["samples"], found["positives"]) == (120, 24)
    assert found["splits"] == pytest.approx([100 / 120, 10 / 120, 10 / 120])
    assert [group["share"] for group in found["groups"]] == pytest.approx([0.7, 0.3])
    assert [group["positive"] for group in found["groups"]] == pytest.approx([12 / 84, 12 / 36])
    sizes, groups = figures.tables(record)
    assert sizes.rows[0] == ("HAM10000 age", "120 (24)", "9958 (1438)", "83-8-8", "80-10-10")
    assert groups.rows[1] == ("HAM10000 age", ">=60", "36", "30.0", "28.1", "33.3", "26.9")
    (line,) = figures.findings(record)
    assert line.startswith("HAM10000 age: 120 samples with 24 positives, not 9958 with 1438 as in the paper; groups")
    assert "those of patients above 60" in line
    assert [list(trace.y) for trace in figures.drawn(record)[""].data][1] == pytest.approx([9.55, 26.9])


def test_nothing_is_trained_for_an_overview(tmp_path: Path) -> None:
    found = reproduce_study("medical-table1", data="digits", out=tmp_path)
    (part,) = found.parts
    assert part.comparison.entries == ()
    assert sum(part.counts["test"]) == 1440
    assert not list(tmp_path.iterdir())
    assert tables(part) == explanations(part) == findings(part) == []
    written = save_study(found, tmp_path, figures.measured("medical_overview", found, {}))
    assert "digits, background" in written[1].read_text()
    assert json.loads(written[0].read_text())["figure"]["parts"][0]["name"] == "digits, background"


def test_an_epoch_that_nothing_chose_is_not_said_to_be_chosen(made: Made) -> None:
    both = made.part("medical-figure4", "HAM10000 sex, clean", {"early": [made.run([1.0])], "final": [made.run([1.0])]})
    assert "here: 2 seeds, the last epoch, whatever validation says." in explanations(both)[0]
    early = both.comparison.entries[0].finished[0]
    found = early.metrics | {"selection": {"rule": "worst_class", "epoch": 0, "score": 0.5}}
    (early.folder / "metrics.json").write_text(json.dumps(found))
    said = explanations(fresh(both))[0]
    assert "epoch chosen on validation; of final the last epoch, whatever validation says." in said
