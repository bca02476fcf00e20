"""The metric table: test vector, a loop reference, Fairlearn and scikit-learn as oracles, invariances."""

import math

import numpy as np
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from evenhand.errors import BadInput
from evenhand.metrics import METRICS, count, equalized_odds_difference, evaluate

Y = [0] * 6 + [1] * 6
ATTRIBUTE = [0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1]
PREDICTION = [0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0]

CONTRACT = {
    "worst_group_accuracy": 0.5,
    "best_group_accuracy": 0.75,
    "accuracy_gap": 0.25,
    "accuracy": 2 / 3,
    "group_mean_accuracy": 0.625,
    "demographic_parity_difference": 1 / 3,
    "equal_opportunity_difference": 0.25,
    "equalized_odds_difference": 0.25,
    "average_odds_difference": 0.25,
}
EXTRA = {"worst_class_accuracy": 2 / 3, "train_weighted_accuracy": 0.745}


def random_rows(seed, n_classes=2, n_attributes=2, n=300):
    rng = np.random.default_rng(seed)
    y, attribute = rng.integers(0, n_classes, n), rng.integers(0, n_attributes, n)
    prediction = np.where(rng.random(n) < 0.4 + 0.4 * (attribute == 0), y, rng.integers(0, n_classes, n))
    return y, prediction, attribute


def test_names_are_the_contract_and_two_more():
    assert set(METRICS) == {*CONTRACT, *EXTRA}


def test_every_metric_describes_itself():
    for metric in METRICS.values():
        assert metric.description
        assert metric.source
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == [
        "accuracy_gap",
        "demographic_parity_difference",
        "equal_opportunity_difference",
        "equalized_odds_difference",
        "average_odds_difference",
    ]


def test_vector():
    values = evaluate(count(Y, PREDICTION, ATTRIBUTE), train_count_G=[97, 1, 1, 1])
    assert values == pytest.approx(CONTRACT | EXTRA, abs=1e-12)


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 0.25), ("sum", 0.5), ("max", 0.25)])
def test_vector_of_equalized_odds(reduction, expected):
    assert equalized_odds_difference(count(Y, PREDICTION, ATTRIBUTE), reduction) == pytest.approx(expected)


def test_opposite_errors_cancel_in_average_odds_only():
    counts = count([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0, 1, 1])
    values = evaluate(counts, ["average_odds_difference", "equalized_odds_difference"])  # FPR 0, .5; TPR 1, .5
    assert values == {"average_odds_difference": 0.0, "equalized_odds_difference": 0.5}


def rate(rows):
    return sum(rows) / len(rows) if rows else math.nan


def spread(values):
    values = [value for value in values if not math.isnan(value)]
    return max(values) - min(values) if len(values) > 1 else math.nan


def reference(y, prediction, attribute, C, A, *, positive):
    """Every metric by loops over rows and cells, as its definition reads."""
    rows = list(zip(y, prediction, attribute, strict=True))
    groups = [rate([p == t for t, p, a in rows if (t, a) == (c, b)]) for c in range(C) for b in range(A)]
    classes = [rate([p == t for t, p, _ in rows if t == c]) for c in range(C)]
    parity, opportunity, odds, average = [], [], [], []
    for c in range(C):
        selection = [rate([p == c for _, p, a in rows if a == b]) for b in range(A)]
        tpr = [rate([p == c for t, p, a in rows if a == b and t == c]) for b in range(A)]
        fpr = [rate([p == c for t, p, a in rows if a == b and t != c]) for b in range(A)]
        parity.append(spread(selection))
        opportunity.append(spread(tpr))
        odds.append((spread(tpr) + spread(fpr)) / 2)
        average.append(spread([(t + f) / 2 for t, f in zip(tpr, fpr, strict=True)]))

    def over_classes(values):
        defined = [value for value in values if not math.isnan(value)]
        return values[positive] if C == 2 else max(defined, default=math.nan)

    present = [value for value in groups if not math.isnan(value)]
    return {
        "worst_group_accuracy": min(present),
        "best_group_accuracy": max(present),
        "accuracy_gap": spread(groups),
        "accuracy": rate([p == t for t, p, _ in rows]),
        "group_mean_accuracy": sum(present) / len(present),
        "worst_class_accuracy": min(value for value in classes if not math.isnan(value)),
        "demographic_parity_difference": over_classes(parity),
        "equal_opportunity_difference": over_classes(opportunity),
        "equalized_odds_difference": over_classes(odds),
        "average_odds_difference": over_classes(average),
    }


@st.composite
def small_tables(draw):
    C, A = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    cell = st.tuples(st.integers(0, C - 1), st.integers(0, C - 1), st.integers(0, A - 1))
    rows = draw(st.lists(cell, min_size=1, max_size=30))
    return *np.array(rows).T, C, A


@pytest.mark.filterwarnings("error")
@settings(max_examples=100, deadline=None)
@given(small_tables(), st.integers(0, 1))
def test_agrees_with_a_loop_and_never_warns(table, positive):
    values = evaluate(count(*table), positive=positive)
    assert values == pytest.approx(reference(*table, positive=positive), abs=1e-12, nan_ok=True)
    assert all(math.isnan(value) or 0 <= value <= 1 for value in values.values())


@settings(max_examples=50, deadline=None)
@given(small_tables(), st.randoms(use_true_random=False))
def test_relabelling_attributes_changes_nothing(table, random):
    y, prediction, attribute, C, A = table
    new = np.array(random.sample(range(A), A))
    relabelled = evaluate(count(y, prediction, new[attribute], C, A))
    assert relabelled == pytest.approx(evaluate(count(*table)), abs=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(small_tables())
def test_relabelling_classes_changes_only_the_positive_one(table):
    y, prediction, attribute, C, A = table
    mirrored = count(C - 1 - y, C - 1 - prediction, attribute, C, A)
    expected = evaluate(count(*table), positive=1)
    assert evaluate(mirrored, positive=0) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    free = set(expected) - {"equal_opportunity_difference"}
    assert evaluate(mirrored, free) == pytest.approx({name: expected[name] for name in free}, abs=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(small_tables())
def test_readings_of_equalized_odds_are_ordered(table):
    counts = count(*table)
    mean, total, largest = (equalized_odds_difference(counts, reduction) for reduction in ("mean", "sum", "max"))
    assert math.isnan(mean) or mean <= largest <= total
    assert total == pytest.approx(2 * mean, nan_ok=True)


@pytest.mark.parametrize(("seed", "n_attributes"), [(0, 2), (1, 3), (2, 6)])
def test_binary_agrees_with_fairlearn_and_scikit_learn(seed, n_attributes):
    y, prediction, attribute = random_rows(seed, 2, n_attributes)
    counts = count(y, prediction, attribute)
    values = evaluate(counts)
    columns = {"y_true": y, "y_pred": prediction, "sensitive_features": attribute}
    groups = fairlearn.MetricFrame(
        metrics=accuracy_score, y_true=y, y_pred=prediction, sensitive_features=y * n_attributes + attribute
    )
    np.testing.assert_allclose(counts.accuracy_G, groups.by_group.to_numpy())
    assert values["worst_group_accuracy"] == pytest.approx(groups.group_min())
    assert values["best_group_accuracy"] == pytest.approx(groups.group_max())
    assert values["accuracy_gap"] == pytest.approx(groups.difference())
    assert values["accuracy"] == pytest.approx(groups.overall)
    assert values["worst_class_accuracy"] == pytest.approx(recall_score(y, prediction, average=None).min())
    for name in ("demographic_parity_difference", "equal_opportunity_difference"):
        assert values[name] == pytest.approx(getattr(fairlearn, name)(**columns))
    for reduction, agg in (("max", "worst_case"), ("mean", "mean")):
        expected = fairlearn.equalized_odds_difference(**columns, agg=agg)
        assert equalized_odds_difference(counts, reduction) == pytest.approx(expected)


def test_several_attributes_agree_with_fairlearn_on_their_combinations():
    rng = np.random.default_rng(3)
    y, prediction, _ = random_rows(4)
    sex, age = rng.integers(0, 2, y.size), rng.integers(0, 3, y.size)
    columns = {"y_true": y, "y_pred": prediction, "sensitive_features": np.column_stack([sex, age])}
    values = evaluate(count(y, prediction, sex * 3 + age))
    for name in ("demographic_parity_difference", "equal_opportunity_difference"):
        assert values[name] == pytest.approx(getattr(fairlearn, name)(**columns))


def test_many_classes_are_the_maximum_of_fairlearn_one_against_the_rest():
    y, prediction, attribute = random_rows(5, n_classes=4, n_attributes=3)
    values = evaluate(count(y, prediction, attribute))
    for name in ("demographic_parity_difference", "equal_opportunity_difference"):
        per_class = [
            getattr(fairlearn, name)(y_true=y == c, y_pred=prediction == c, sensitive_features=attribute)
            for c in range(4)
        ]
        assert values[name] == pytest.approx(max(per_class))


@pytest.mark.filterwarnings("error")
def test_empty_groups_are_left_out():
    values = evaluate(count([0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0], n_attributes=2))
    assert values["worst_group_accuracy"] == 0.5
    assert values["group_mean_accuracy"] == 0.75
    assert math.isnan(values["demographic_parity_difference"]), "one attribute value has nothing to differ from"


@pytest.mark.filterwarnings("error")
def test_half_of_equalized_odds_is_not_reported_as_the_whole():
    counts = count([0, 0, 1], [0, 1, 1], [0, 1, 0], n_attributes=2)  # nobody with y = 1, a = 1
    assert math.isnan(evaluate(counts)["equalized_odds_difference"])


@pytest.mark.filterwarnings("error")
def test_no_rows_are_nan_everywhere():
    assert all(math.isnan(value) for value in evaluate(count([], []), train_count_G=[1, 1]).values())


def test_training_weights_are_shared_among_the_groups_present():
    counts = count([0, 1, 1], [0, 1, 0], [0, 0, 0], n_attributes=2)
    values = evaluate(counts, ["train_weighted_accuracy"], train_count_G=[1, 50, 3, 50])
    assert values == {"train_weighted_accuracy": (1 * 1 + 3 * 0.5) / 4}


def test_equal_training_weights_are_the_group_mean():
    counts = count(Y, PREDICTION, ATTRIBUTE)
    names = ("train_weighted_accuracy", "group_mean_accuracy")
    weighted, mean = evaluate(counts, names, train_count_G=[7] * 4).values()
    assert weighted == pytest.approx(mean)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["worst_group_acuracy"]}, "worst_group_accuracy"),
        ({"names": ["train_weighted_accuracy"]}, "needs train_count_G"),
        ({"train_count_G": [1, 2]}, r"train_count_G must be 4 whole numbers, got int64 \[2\]"),
        ({"train_count_G": [1, 2, -3, 4]}, "train_count_G must be ≥ 0, got -3 in group 2"),
        ({"train_count_G": [0.5] * 4}, "whole numbers, got float64"),
        ({"positive": 2}, "positive must be a class in 0..1, got 2"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(BadInput, match=message):
        evaluate(count(Y, PREDICTION, ATTRIBUTE), **arguments)


def test_unknown_reduction_is_refused():
    with pytest.raises(BadInput, match="one of mean, sum, max, got 'median'"):
        equalized_odds_difference(count(Y, PREDICTION, ATTRIBUTE), "median")
