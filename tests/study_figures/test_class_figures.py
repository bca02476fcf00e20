"""The figures of class fairness: relations and orders by hand, and every kind on runs of a small table."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from evenhand import data as data_sets
from evenhand import features
from evenhand.errors import BadInput
from evenhand.execute import execute
from evenhand.files import json_text
from evenhand.plan import Plan
from evenhand.study import Contender, figures
from evenhand.study.classes import class_accuracy
from evenhand.study.comparison import Comparison, Entry
from evenhand.study.figures import _bias, _classes, _relations
from evenhand.study.papers import PaperStudy, PaperTable, Row
from evenhand.study.reproduction import Reproduction, StudyReproduction, _fitting

KINDS = {
    "class_accuracy": {}, "class_variance": {"projection": "pca"}, "class_frequency": {}, "class_bias": {},
    "class_weights": {"k": 5}, "class_false_positives": {}, "class_augmentation": {},
}  # fmt: skip
CLASSES = ("ant", "bee", "cow", "dog", "elk", "fox")
DESCRIPTION = """
path = "animals.csv"
label = "animal"
attributes = []
split = "part"
[training]
encoder = "mlp"
epochs = 4
batch_size = 32
lr = 0.01
"""


# --- relations ---


@pytest.mark.parametrize("n", [4, 7, 8, 9, 40])
def test_rank_correlation_is_scipys(n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(0, 2 * n, n).astype(float)
    y = x + rng.normal(0, n, n)
    found, expected = _relations.spearman(list(x), list(y)), scipy.stats.spearmanr(x, y)
    assert found["rho"] == pytest.approx(expected.statistic)
    assert found["low"] <= found["rho"] <= found["high"]
    if n > _relations.EXACT:
        assert found["p"] == pytest.approx(expected.pvalue)
    else:
        exact = scipy.stats.permutation_test(
            (x,), lambda x: scipy.stats.spearmanr(x, y).statistic, permutation_type="pairings", n_resamples=np.inf
        ) if n < 6 else None  # fmt: skip
        assert exact is None or found["p"] == pytest.approx(exact.pvalue)


def test_an_order_that_is_the_same_is_judged_by_all_orders() -> None:
    found = _relations.spearman([1, 2, 3, 4, 5], [10, 20, 30, 40, 50])
    assert (found["rho"], found["high"], found["p"]) == (1.0, 1.0, pytest.approx(2 / 120))
    # Swapping two neighbours makes it 0.9.
    assert found["low"] == pytest.approx(math.tanh(math.atanh(0.9) - 1.959964 * math.sqrt(1.5 / 2)))
    assert _relations.verdict(found, 1) == "holds here"
    assert _relations.verdict(found, -1) == "does not hold here: it is the other way round"
    assert _relations.verdict(found, 0) == "does not hold here"


@pytest.mark.parametrize(("x", "y"), [([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([None, 1, 2, 3], [1] * 4)])
def test_nothing_is_told_of_few_classes_or_of_equal_values(x: list[float], y: list[float]) -> None:
    found = _relations.spearman(x, y)
    assert found["rho"] is None
    assert _relations.verdict(found, 1) == "cannot be judged"


def test_classes_that_differ_are_told_as_a_table_of_counts_tells_them() -> None:
    right, count = np.array([50, 40, 10]), np.array([60, 60, 50])
    expected = scipy.stats.chi2_contingency([right, count - right], correction=False).pvalue
    assert _relations.unequal(list(right / count), list(count)) == pytest.approx(expected)
    assert _relations.unequal([1.0, 1.0], [5, 5]) is None


def test_a_difference_has_welchs_interval() -> None:
    first, second = [1.0, 2.0, 4.0], [0.0, 0.5, 0.7, 0.2]
    expected = scipy.stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    mean, low, high = _relations.difference(first, second) or (0, 0, 0)
    assert mean == pytest.approx(np.mean(first) - np.mean(second))
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert _relations.difference([1.0], second) is None


def test_a_trend_is_a_line_or_a_running_mean() -> None:
    assert _classes.trend([1, 3, 5, 7]) == pytest.approx([1, 3, 5, 7])
    assert _classes.trend([2.0] * 100) == pytest.approx([2.0] * 100)
    assert _classes.trend([1, None, 2]) == [None] * 3


# --- runs ---


def write_animals(folder: Path) -> Path:
    """Six classes in a long tail that lie ever nearer to each other; the description's path."""
    draw = random.Random(0)
    lines = ["size,speed,colour,part,animal"]
    for c, name in enumerate(CLASSES):
        for part, rows in (("train", 130 // (c + 1)), ("val", 12), ("test", 20 + c)):
            for _ in range(rows):
                place = [
                    draw.gauss(4 / (1 + c) * np.cos(c), 1),
                    draw.gauss(4 / (1 + c) * np.sin(c), 1),
                    draw.gauss(0, 1),
                ]
                lines.append(",".join([*(f"{value:.3f}" for value in place), part, name]))
    (folder / "animals.csv").write_text("\n".join(lines) + "\n")
    path = folder / "animals.toml"
    path.write_text(DESCRIPTION)
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StudyReproduction:
    """Plain training with two seeds, classifier re-training and a fixed classifier with one each."""
    folder = tmp_path_factory.mktemp("animals")
    path = write_animals(folder)
    data = data_sets.load(str(path))
    entries = []
    for label, method, options, seeds in (
        ("Plain", "erm", {}, 2), ("Rebalanced", "crt", {"crt_epochs": 2}, 1), ("Fixed", "etf", {}, 1)
    ):  # fmt: skip
        runs = [
            execute(data, Plan(method, options, {"seed": seed, "select": "average"}), folder) for seed in range(seeds)
        ]
        entries.append(Entry(label, method, options, (*runs, *[None] * (2 - seeds))))
    rows = tuple(Row(entry.label, entry.method, {}, {}) for entry in entries)
    table = PaperTable("t", "T", "S", str(path), "d", ("accuracy",), 2, {}, {"seeds": 1, "epochs": 1}, rows, "Plain")
    comparison = Comparison("animals", (0, 1), tuple(entries), (), "Plain")
    part = Reproduction(table, comparison, "full", {}, None, str(path))
    return StudyReproduction(PaperStudy("t", "T", "S", (table,)), (part,))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_from_its_stored_record(kind: str, found: StudyReproduction) -> None:
    record = figures.measured(kind, found, KINDS[kind])
    stored = json.loads(json_text(record))
    panels = figures.drawn(stored)
    assert all(len(figure.data) for figure in panels.values())
    assert panels == figures.drawn(record)
    assert all(len(row) == len(table.columns) for table in figures.tables(stored) for row in table.rows)
    lines = figures.findings(stored)
    assert lines == figures.findings(record)
    assert all(line.startswith("animals") and line.endswith(".") for line in lines)
    (part,) = stored["parts"]
    assert sorted(part["classes"]) == sorted(CLASSES)
    assert [size for _, size in part["thirds"]] == [2, 2, 2]


def test_classes_are_sorted_by_the_mean_accuracy_of_the_reference(found: StudyReproduction) -> None:
    (part,) = figures.measured("class_accuracy", found, {})["parts"]
    runs = found.parts[0].comparison.entries[0].finished
    mean_C = np.mean([class_accuracy(run) for run in runs], axis=0)
    shown = part["series"]["Plain"]
    assert shown["mean"] == pytest.approx(sorted(mean_C, reverse=True))
    places = [CLASSES.index(name) for name in part["classes"]]
    both = np.array([class_accuracy(run)[places] for run in runs])
    assert shown["sd"] == pytest.approx(both.std(axis=0, ddof=1))
    assert part["series"]["Fixed"]["sd"] is None
    assert part["count"] == [20 + c for c in places]


def test_rare_classes_come_last_where_rows_are_counted(found: StudyReproduction) -> None:
    (part,) = figures.measured("class_frequency", found, {})["parts"]
    assert part["classes"] == list(CLASSES)
    assert part["count"] == [130 // (c + 1) for c in range(6)]
    assert part["thirds"] == [["Many", 2], ["Medium", 2], ["Few", 2]], "no class has fewer than 20 rows"
    model = features.load_model(found.parts[0].comparison.entries[1].finished[0], data_sets.load(found.parts[0].path))
    expected = model.classifier.weight.norm(dim=1).tolist()
    assert part["norm"]["Rebalanced"]["mean"] == pytest.approx(expected, rel=1e-5)


def test_many_and_few_are_those_of_the_benchmark(found: StudyReproduction) -> None:
    ordered = _classes.by_count(found.parts[0], np.array([5, 101, 100, 20, 19, 400]))
    assert ordered.thirds == (("Many", 2), ("Medium", 2), ("Few", 2))
    assert list(ordered.order_C) == [5, 1, 2, 3, 4, 0]
    assert list(ordered.members("Few")) == [4, 0]


def test_bias_on_the_rows_of_a_third_is_counted_row_by_row(found: StudyReproduction) -> None:
    part = found.parts[0]
    ordered, run = _classes.by_accuracy(part), part.comparison.entries[2].finished[0]
    rows = run.predictions().filter(split="test")
    probability = torch.softmax(torch.tensor(rows.select([f"logit_{c}" for c in range(6)]).to_numpy()).double(), 1)
    hard, expected, count = set(ordered.members("Hard").tolist()), np.zeros(6), 0
    for row, y in enumerate(rows["y"].to_list()):
        if y in hard:
            count += 1
            expected += [0 if c == y else float(probability[row, c]) for c in range(6)]
    got = _bias.by_third(part.comparison.entries[2], ordered)["Hard"]["mean"]
    assert got == pytest.approx((expected / count)[ordered.order_C])


def test_two_classes_are_one_easy_and_one_hard(found: StudyReproduction) -> None:
    assert _classes._thirds(_classes.THIRDS, 2) == (("Easy", 1), ("Medium", 0), ("Hard", 1))
    assert _classes.third_means([0.9, 0.1], {"thirds": [["Easy", 1], ["Medium", 0], ["Hard", 1]]}) == {
        "Easy": 0.9, "Hard": 0.1
    }  # fmt: skip


def test_features_of_a_run_are_capped_and_give_the_stored_predictions(found: StudyReproduction) -> None:
    part = found.parts[0]
    run, data = part.comparison.entries[0].finished[0], data_sets.load(part.path)
    model = features.load_model(run, data)
    rows = features.encoded(model, data, "test", device="cpu")
    stored = run.predictions().filter(split="test")
    np.testing.assert_allclose(rows.logits, stored.select([f"logit_{c}" for c in range(6)]).to_numpy(), atol=1e-4)
    assert rows.y.tolist() == stored["y"].to_list()
    few = features.encoded(model, data, "train", most=10, device="cpu")
    assert len(few.y) == 10
    assert few.rows.tolist() == sorted(set(few.rows.tolist()))
    everything = features.encoded(model, data, "train", device="cpu")
    torch.testing.assert_close(few.features, everything.features[few.rows])
    with pytest.raises(BadInput, match="unknown part of the data 'tset'"):
        features.encoded(model, data, "tset")


def test_a_run_without_a_model_has_no_weights(found: StudyReproduction, tmp_path: Path) -> None:
    from evenhand.runs import Run

    with pytest.raises(BadInput, match="has no classifier to look at"):
        _classes.classifier_weights(Run(tmp_path))


def test_rows_that_differ_in_networks_for_images_are_one_on_a_table(tmp_path: Path) -> None:
    rows = [
        Contender("erm", {}, "Wide", {"encoder": "resnet18", "epochs": 3}),
        Contender("erm", {}, "Deep", {"encoder": "resnet50", "epochs": 3}),
        Contender("etf", {}, "Fixed", {"encoder": "resnet50"}),
    ]
    assert _names(_fitting(rows, str(write_animals(tmp_path)), "Deep")) == ["Deep", "Fixed"]
    assert _fitting(rows, str(write_animals(tmp_path)), "Deep")[0].settings == {"epochs": 3}
    assert _fitting(rows, "digits", "Deep") == rows


def _names(contenders: Sequence[Any]) -> list[str]:
    return [each.name for each in contenders]
