"""The figures of NC-debias: what they measure of runs, and that each of the paper's statements can hold and fail."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evenhand import data as data_sets
from evenhand import features
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.files import json_text
from evenhand.plan import Plan
from evenhand.runs import Run
from evenhand.study import figures
from evenhand.study.comparison import Comparison, Entry
from evenhand.study.figures import _epochs, cosines, group_losses
from evenhand.study.papers import read_study
from evenhand.study.record import save_study, study_as_dict
from evenhand.study.reproduction import Reproduction, StudyReproduction
from table import write_table

NAMES = [f"kdd24-figure{number}" for number in (1, 2, 3, 4, 5, 6, 8, 9)]
GROUPS = ("y=0, a=0", "y=0, a=1", "y=1, a=0", "y=1, a=1")
TRAIN = (90, 10, 20, 80)  # the majorities are the first and the last group
Curves = Mapping[str, Sequence[float | None]]


class Made:
    """Finished runs of four groups from curves alone."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0

    def run(self, curves: Curves, *, loss: Sequence[Sequence[float]] = ((0.1,) * 4,) * 3, warm: int = 0) -> Run:
        """A run with these cosines by epoch on test, losses of groups by epoch, and variances that halve each epoch."""
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir()
        epochs = max(len(loss), *(len(curve) for curve in curves.values()), 0) if curves else len(loss)
        metrics = {
            "groups": [{"group": name, "train": n} for name, n in zip(GROUPS, TRAIN, strict=True)],
            "labels": {"label": "y", "classes": ["0", "1"], "attributes": [{"name": "a", "values": ["0", "1"]}]},
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "config.json").write_text(json.dumps({"settings": {"seed": self.number}}))
        history, tracked = [], []
        for epoch in range(epochs):
            at = {"stage": int(epoch >= warm > 0), "epoch": epoch}
            losses = list(loss[min(epoch, len(loss) - 1)])
            seen = {"loss": losses, "accuracy": [0.9, 0.5, None, 1.0], "count": [90, 10, 0, 100]}
            history.append({**at, "train": seen})
            variance = {"variance": [(g + 1) / 2**epoch for g in range(4)], "variance_share": [0.5 + epoch / 10] * 4}
            scalars = {name: curve[epoch] for name, curve in curves.items()}
            tracked.append({**at, "parts": {"train": {}, "test": {"scalars": scalars, "groups": variance}}})
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
        if curves:
            (folder / "collapse.jsonl").write_text("".join(json.dumps(line) + "\n" for line in tracked))
        return Run(folder)

    def study(self, name: str, rows: Mapping[str, Sequence[Run]]) -> StudyReproduction:
        study = read_study(name)
        entries = tuple(Entry(label, "erm", {}, tuple(runs)) for label, runs in rows.items())
        seeds = tuple(range(len(next(iter(rows.values())))))
        part = Reproduction(study.parts[0], Comparison("waterbirds", seeds, entries), "full", {})
        return StudyReproduction(study, (part,))

    def record(self, name: str, rows: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
        found = self.study(name, rows)
        record: dict[str, Any] = figures.measured(found.study.figure, found, found.study.figure_options)
        return json.loads(json_text(record))  # type: ignore[no-any-return]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def curves(w_sim: float, d_cls: float, d_maj: float | None, d_min: float | None, start: float = 0.95) -> Curves:
    """From the same start to these ends, in three epochs."""
    ends = {"w_sim": w_sim, "d_cls": d_cls, "d_maj": d_maj, "d_min": d_min}
    return {name: [start, None if end is None else (start + end) / 2, end] for name, end in ends.items()}


LIKE_PAPER = curves(-0.97, 0.4, 0.2, 0.6)


def finding(record: Mapping[str, Any], words: str) -> str:
    """The only finding with these words."""
    (line,) = [line for line in figures.findings(record) if words in line]
    return line


# --- what is shared ---


def test_groups_know_their_class_and_their_rank_in_training(made: Made) -> None:
    groups = _epochs.groups_of(made.run(LIKE_PAPER))
    assert [(g["class"], g["attribute"], g["rank"], g["train"]) for g in groups] == [
        (0, 0, 0, 90), (0, 1, 1, 10), (1, 0, 1, 20), (1, 1, 0, 80),
    ]  # fmt: skip
    assert _epochs.pairs(groups) == [(0, 1), (3, 2)]
    assert _epochs.pairs([{"class": 0, "rank": 0}]) == []


def test_training_accuracy_is_over_rows(made: Made) -> None:
    assert _epochs.train_accuracy(made.run({})) == pytest.approx((0.9 * 90 + 0.5 * 10 + 100) / 200)


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([], "cannot be judged here"),
        ([-1.0, -2.0], "this holds here (in 2 of 2 seeds)"),
        ([-1.0, 0.5], "this holds on average only (in 1 of 2 seeds)"),
        ([-1.0, 1.5], "this does not hold here (in 1 of 2 seeds)"),
        ([1.0], "this does not hold here (in 0 of 1 seed)"),
    ],
)
def test_a_statement_is_judged_by_the_mean_and_by_each_seed(differences: list[float], words: str) -> None:
    assert _epochs.verdict(differences, lambda value: value < 0) == words


# --- cosines ---


def test_the_record_holds_every_seed_and_epoch(made: Made) -> None:
    record = made.record("kdd24-figure1", {"ERM": [made.run(LIKE_PAPER), made.run(curves(-0.9, 0.5, 0.1, 0.3))]})
    (row,) = record["rows"]
    assert row["cosines"]["d_maj"] == [[0.95, pytest.approx(0.575), 0.2], [0.95, pytest.approx(0.525), 0.1]]
    assert row["variance"][2] == [[3.0, 1.5, 0.75]] * 2
    assert (row["epochs"], row["seeds"], row["begins"]) == ([3, 3], 2, 0)
    assert set(figures.drawn(record)) == {"cosines", "variance"}
    first, second = figures.tables(record)
    assert first.rows[2] == ("ERM", "d_maj", "0.950±0.000", "0.150±0.071")
    assert second.rows[3] == ("y=1, a=1", "80", "4.000±0.000", "1.000±0.000", "0.500±0.000", "0.700±0.000")


def test_what_the_paper_says_of_plain_training_is_found(made: Made) -> None:
    record = made.record("kdd24-figure1", {"ERM": [made.run(LIKE_PAPER)]})
    assert "this holds here (y=0, a=0 1.000 → 0.250;" in finding(record, "Variance within groups falls")
    assert "As a share of the variance of all rows it falls in 0 of 4" in finding(record, "Variance within groups")
    assert "all do here" in finding(record, "all four cosines")
    assert finding(record, "w_sim goes").endswith("it comes near, as in the paper.")
    assert "1.370 below d_cls" in finding(record, "w_sim ends")
    assert "this holds here (in 1 of 1 seed)" in finding(record, "w_sim ends")
    assert "this holds here" in finding(record, "d_maj ends at 0.200 and d_min at 0.600")
    assert "93.0 % of the rows trained on are right" in finding(record, "after 3 epochs")


def test_what_the_paper_says_of_plain_training_is_not_found(made: Made) -> None:
    grown = {"w_sim": [0.1, 0.9], "d_cls": [0.1, 0.4], "d_maj": [0.9, 0.7], "d_min": [0.1, 0.6]}
    record = made.record("kdd24-figure1", {"ERM": [made.run(grown, loss=((0.1,) * 4,) * 2)]})
    for of in record["rows"][0]["variance"]:
        of[0].reverse()
    assert "this does not hold here" in finding(record, "Variance within groups falls")
    assert "only d_maj do here" in finding(record, "all four cosines")
    assert finding(record, "w_sim goes").endswith("it does not come near in so many epochs.")
    assert "0.500 above d_cls (0.400); in the paper it is much smaller: this does" in finding(record, "w_sim ends")
    assert "this does not hold here" in finding(record, "d_maj ends")


def test_variance_may_fall_in_some_groups_only(made: Made) -> None:
    record = made.record("kdd24-figure1", {"ERM": [made.run(LIKE_PAPER)]})
    record["rows"][0]["variance"][1][0].reverse()
    assert "here in 3 of 4 groups" in finding(record, "Variance within groups falls")


def test_the_limit_of_w_sim_is_that_of_a_simplex(made: Made) -> None:
    record = made.record("kdd24-figure1", {"ERM": [made.run(curves(-0.45, 0.4, 0.2, 0.6))]})
    assert "have −1.000: it does not" in finding(record, "w_sim goes")
    record["classes"] = ["0", "1", "2"]
    assert "have −0.500: it comes near" in finding(record, "w_sim goes")


def minmax(made: Made, mmsgd: Curves) -> dict[str, Any]:
    return made.record("kdd24-figure5", {"ERM": [made.run(LIKE_PAPER)], "MMSGD": [made.run(mmsgd)]})


def test_min_max_fairness_at_the_level_of_the_minority(made: Made) -> None:
    record = minmax(made, curves(-0.9, 0.6, 0.55, 0.62))
    assert [row["label"] for row in record["rows"]] == ["MMSGD", "ERM"]
    gap = finding(record, "narrows the gap")
    assert gap.startswith("d_min − d_maj ends at 0.070 with MMSGD and 0.400 with ERM")
    assert gap.endswith("this holds here (in 1 of 1 seed).")
    assert "this holds here" in finding(record, "nearer to d_min")
    assert set(figures.drawn(record)) == {"cosines"}
    names = {trace.name for trace in figures.drawn(record)["cosines"].data if trace.name}
    assert len(names) == 6
    assert {"ERM, majority means", "ERM, minority means"} <= names


def test_min_max_fairness_that_widens_the_gap_near_the_majority(made: Made) -> None:
    record = minmax(made, curves(-0.9, 0.6, -0.2, 0.4))
    assert "this does not hold here" in finding(record, "narrows the gap")
    assert "this does not hold here" in finding(record, "nearer to d_min")


def test_features_that_collapsed_to_nothing_are_said_to_have(made: Made) -> None:
    record = minmax(made, curves(-0.9, 0.6, None, None))
    assert "features of a group have collapsed to 0" in finding(record, "MMSGD: d_maj or d_min is not defined")
    assert "Nothing can be said of the gap." in figures.findings(record)
    figures.drawn(record)
    assert figures.tables(record)[0].rows[2][3] == "–"


@pytest.mark.parametrize(
    ("ours", "verdicts"),
    [(curves(0.1, 0.1, 0.05, 0.25), ["holds here"] * 3), (curves(0.1, 0.1, 0.3, 0.7), ["does not hold here"] * 3)],
)
def test_their_method_sets_groups_further_apart_or_not(made: Made, ours: Curves, verdicts: list[str]) -> None:
    rows = {"ERM": [made.run(LIKE_PAPER)], "NC-debias": [made.run(ours, warm=1)]}
    record = made.record("kdd24-figure9", rows)
    words = ("d_maj ends at 0.050" if "holds here" in verdicts else "d_maj ends at 0.300", "d_min ends", "d_min of NC")
    for start, wanted in zip(words, verdicts, strict=True):
        assert f"this {wanted}" in finding(record, start)
    assert record["rows"][0]["begins"] == 1
    assert "above 0 in 1 of 1 seed" in finding(record, "A gap between")


def test_an_untracked_run_and_a_missing_row_are_told(made: Made) -> None:
    with pytest.raises(BadInput, match=r"has no collapse.jsonl with the test part"):
        made.record("kdd24-figure1", {"ERM": [made.run({})]})
    with pytest.raises(BadInput, match="kdd24-figure5 needs a finished run of MMSGD"):
        made.record("kdd24-figure5", {"ERM": [made.run(LIKE_PAPER)]})


def test_data_without_an_attribute_have_no_majority(made: Made) -> None:
    run = made.run(LIKE_PAPER)
    run.metrics["labels"]["attributes"] = []
    with pytest.raises(BadInput, match="waterbirds has no attribute"):
        made.record("kdd24-figure1", {"ERM": [run]})


# --- losses ---

GUESSING = math.log(2)
PLAIN = [[0.3, 0.9, 0.8, 0.3], [0.1, 0.6, 0.5, 0.1], [0.0, 0.2, 0.1, 0.0]]
BALANCED = [[0.4, 0.5, 0.5, 0.4], [0.3, 0.3, 0.2, 0.3], [0.2, 0.1, 0.1, 0.2]]


def test_majorities_are_learnt_faster_in_plain_training(made: Made) -> None:
    record = made.record("kdd24-figure6", {"ERM": [made.run({}, loss=PLAIN)]})
    assert record["rows"][0]["loss"][1] == [[0.9, 0.6, 0.2]]
    (table,) = figures.tables(record)
    assert [row[-1] for row in table.rows] == ["1.0", "3.0", "3.0", "1.0"]
    for name in ("y=0, a=0 (majority)", "y=1, a=1 (majority)"):
        line = finding(record, f"the loss of {name}")
        assert line.count("this holds here (in 1 of 1 seed)") == 2
    (panel,) = figures.drawn(record).values()
    assert panel.layout.yaxis.range[0] == 0


def test_majorities_that_are_not_learnt_faster(made: Made) -> None:
    other = [[1.0, 0.3, 0.3, 1.0]] * 3
    record = made.record("kdd24-figure6", {"ERM": [made.run({}, loss=other)]})
    line = finding(record, "the loss of y=0, a=0 (majority)")
    assert "(majority) is never below 0.5 of that of guessing" in line
    assert "(minority) is from epoch 1.0 on below" in line
    assert line.count("this does not hold here") == 2


def test_their_method_balances_losses(made: Made) -> None:
    rows = {"ERM": [made.run({}, loss=PLAIN)], "NC-debias": [made.run({}, loss=BALANCED, warm=1)]}
    record = made.record("kdd24-figure8", rows)
    assert set(figures.drawn(record)) == {"NC-debias", "ERM"}
    line = finding(record, "Largest less smallest loss")
    assert line.startswith(
        "Largest less smallest loss of groups: 0.100 on average over epochs with NC-debias (0.100 at"
    )
    assert "0.433 with ERM (0.200). That groups are more alike with NC-debias, this holds here" in line
    assert "this holds here" in finding(record, "y=0, a=1 (minority): mean loss over epochs 0.300")
    assert "first epoch is plain training with NC-debias" in finding(record, "plain training")
    swapped = made.record("kdd24-figure8", {"ERM": rows["NC-debias"], "NC-debias": rows["ERM"]})
    assert "this does not hold here" in finding(swapped, "Largest less smallest loss")
    assert "this does not hold here" in finding(swapped, "y=0, a=1 (minority): mean loss")


def test_panels_of_losses_share_their_axis(made: Made) -> None:
    rows = {"ERM": [made.run({}, loss=PLAIN)], "NC-debias": [made.run({}, loss=BALANCED)]}
    ranges = [panel.layout.yaxis.range for panel in figures.drawn(made.record("kdd24-figure8", rows)).values()]
    assert ranges[0] == ranges[1] == (0, pytest.approx(0.9 * 1.05))


def test_when_a_group_is_learnt(made: Made) -> None:
    record = {"classes": ["0", "1"]}
    half = 0.5 * GUESSING
    assert group_losses._epochs_until(record, [None, half + 0.01, half - 0.01, 1.0]) == 3
    assert group_losses._epochs_until(record, [half + 0.01]) is None
    assert group_losses._learnt(record, [[0.1], [1.0]]) == "1.0, 1 never"


def test_losses_of_a_method_that_shows_none_are_refused(made: Made) -> None:
    run = made.run({})
    run.history[1]["train"] = None
    with pytest.raises(BadInput, match="has no loss of each group"):
        made.record("kdd24-figure6", {"ERM": [run]})


# --- real runs of a small table ---


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The description of a table, and a folder for runs on it."""
    folder = tmp_path_factory.mktemp("people")
    return write_table(folder), folder / "runs"


def real(name: str, rows: Mapping[str, str], people: tuple[Path, Path], **settings: Any) -> StudyReproduction:
    """The study on the table, with a run of each row."""
    path, out = people
    data = data_sets.load(str(path))
    study = read_study(name)
    entries = []
    for label, method in rows.items():
        plan = Plan(method, settings={"widths": (6,), **settings}, oracle=True, track=study.parts[0].track)
        run = execute(data, plan, out)
        entries.append(Entry(label, method, {}, (run,)))
    part = Reproduction(study.parts[0], Comparison(data.name, (0,), tuple(entries)), "small", {}, path=str(path))
    return StudyReproduction(study, (part,))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("kdd24-figure1", {"ERM": "erm"}),
        ("kdd24-figure5", {"ERM": "erm", "MMSGD": "mmsgd"}),
        ("kdd24-figure8", {"ERM": "erm", "NC-debias": "ncdebias"}),
    ],
)
def test_figures_are_measured_and_drawn_from_their_record(
    name: str, rows: Mapping[str, str], people: tuple[Path, Path]
) -> None:
    found = real(name, rows, people)
    record = figures.measured(found.study.figure, found, found.study.figure_options)
    again = json.loads(json_text(record))
    assert figures.findings(again) == figures.findings(record)
    assert figures.tables(again) == figures.tables(record)
    assert figures.drawn(again).keys() == figures.drawn(record).keys()


def test_vectors_in_space_are_means_of_test_features(people: tuple[Path, Path], tmp_path: Path) -> None:
    found = real("kdd24-figure4", {"ERM": "erm"}, people, bottleneck=3, select="last", epochs=4)
    record = figures.measured("space", found, found.study.figure_options)
    run = found.parts[0].comparison.entries[0].finished[0]
    data = data_sets.load(str(people[0]))
    model, split = features.load_model(run, data), features.rows_of(data, "test")
    with torch.no_grad():
        x = model.encoder(split.inputs.take(torch.arange(len(split))))
    (row,) = record["rows"]
    of_kind = {
        kind: [v for v in row["vectors"] if v["kind"] == kind] for kind in ("group_mean", "class_mean", "weight")
    }
    assert {kind: len(vectors) for kind, vectors in of_kind.items()} == {"group_mean": 4, "class_mean": 2, "weight": 2}
    for vector in of_kind["group_mean"]:
        rows = (split.y == vector["class"]) & (split.attribute == vector["attribute"])
        assert vector["count"] == int(rows.sum())
        np.testing.assert_allclose(vector["xyz"], x[rows].mean(0), rtol=1e-4, atol=1e-5)
    first, second = (np.array(vector["xyz"]) for vector in of_kind["weight"])
    lengths = [np.linalg.norm(vector["xyz"]) for vector in of_kind["class_mean"]]
    assert np.mean([np.linalg.norm(first), np.linalg.norm(second)]) == pytest.approx(np.mean(lengths), rel=1e-4)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert row["cosines"]["w_sim"] == [pytest.approx(cosine, abs=1e-4)]
    assert (panel := figures.drawn(record)[""]).layout.scene.camera.eye.z > 0
    assert any("majority mean" in (trace.name or "") for trace in panel.data)
    assert len(figures.findings(record)) == 3
    paths = save_study(found, tmp_path, record)
    assert json.loads(paths[0].read_text())["figure"]["kind"] == "space"


def test_vectors_in_space_need_three_features(people: tuple[Path, Path]) -> None:
    found = real("kdd24-figure4", {"ERM": "erm"}, people)
    with pytest.raises(BadInput, match="has 6 features; vectors in space need bottleneck=3"):
        figures.measured("space", found, found.study.figure_options)


# --- files ---


@pytest.mark.parametrize("name", NAMES)
def test_files_ask_for_rows_that_they_have(name: str) -> None:
    study = read_study(name)
    labels = {row.label for row in study.parts[0].rows}
    options = study.figure_options
    asked = {options.get("row", "ERM"), options.get("beside", "ERM"), *options.get("rows", [])}
    assert asked <= labels
    assert (study.figure == "cosines") == (study.parts[0].track == "collapse")
    assert set(options.get("beside_measures", [])) <= set(cosines.MEASURES)


def test_the_bottleneck_goes_with_the_study_to_other_data() -> None:
    (row,) = read_study("kdd24-figure4").parts[0].rows
    assert row.contender.settings == {"bottleneck": 3}


def test_json_keeps_the_agreed_shape(people: tuple[Path, Path]) -> None:
    found = real("kdd24-figure1", {"ERM": "erm"}, people)
    record = figures.measured("cosines", found, found.study.figure_options)
    written = json.loads(json_text(study_as_dict(found, record)))
    assert written["table"] == "kdd24-figure1"
    assert {"method", "paper", "ours", "oracle"} <= set(written["rows"][0])
    assert written["figure"]["rows"][0]["label"] == "ERM"
