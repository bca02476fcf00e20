"""Every figure against scikit-learn and Fairlearn, on random rows, binary and multi-class, crossed and weighted."""

import fairlearn.metrics as fair
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from evenhand import metrics
from evenhand.auditing import audit

EASY = settings(max_examples=40, deadline=None)


@st.composite
def tables(draw, classes=2):
    """Random rows from a drawn size and seed, which is much faster than drawing every value."""
    n, rng = draw(st.integers(1, 60)), np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = {"y": classes, "p": classes, "a": 2, "b": 3}
    return {name: rng.integers(0, size, n) for name, size in sizes.items()} | {"w": rng.integers(1, 6, n) + 0.0}


def audited(table, *, weighted=False, positive=1, groups=("a", "b")):
    weight = "w" if weighted else None
    return audit(table, label="y", prediction="p", group=list(groups), weight=weight, positive=positive)


def has_classes(table, classes):
    return set(table["y"]) | set(table["p"]) == set(range(classes))


def masks(table, found):
    for group in found.record["groups"]:
        yield group, np.all([table[name] == value for name, value in group["group"].items()], axis=0)


def assert_same(measured, expected):
    np.testing.assert_allclose(float(measured), expected, atol=1e-12)


@EASY
@given(tables(), st.booleans())
def test_binary_figures_are_those_of_scikit_learn(table, weighted):
    if not has_classes(table, 2):
        return
    found = audited(table, weighted=weighted)
    assert sum(group["count"] for group in found.record["groups"]) == len(table["y"])
    for group, mask in masks(table, found):
        y, p, w = table["y"][mask], table["p"][mask], table["w"][mask] if weighted else None
        assert group["count"] == mask.sum()
        if not mask.any():
            assert np.isnan(group["accuracy"])
            assert (group["accuracy"].low, group["accuracy"].high) == (0, 1)
            continue
        assert_same(group["accuracy"], sk.accuracy_score(y, p, sample_weight=w))
        assert_same(group["error"], sk.zero_one_loss(y, p, sample_weight=w))
        for name, function in (
            ("true_positive_rate", sk.recall_score),
            ("precision", sk.precision_score),
            ("f1", sk.f1_score),
        ):
            assert_same(group[name], function(y, p, sample_weight=w, zero_division=np.nan))
        assert_same(group["selection_rate"], np.average(p, weights=w))
        expected = np.average(p[y == 0], weights=None if w is None else w[y == 0]) if (y == 0).any() else np.nan
        assert_same(group["false_positive_rate"], expected)
        np.testing.assert_array_equal(group["confusion"], sk.confusion_matrix(y, p, labels=[0, 1]))


@EASY
@given(tables(classes=4))
def test_figures_of_many_classes_are_means_of_one_against_rest(table):
    if not has_classes(table, 4):
        return
    found = audited(table, positive=None)
    assert "selection_rate" not in found.overall
    for group, mask in masks(table, found):
        y, p = table["y"][mask], table["p"][mask]
        if not mask.any():
            continue
        recall = sk.recall_score(y, p, average=None, labels=range(4), zero_division=np.nan)
        precision = sk.precision_score(y, p, average=None, labels=range(4), zero_division=np.nan)
        f1 = sk.f1_score(y, p, average=None, labels=range(4), zero_division=np.nan)
        assert_same(group["true_positive_rate"], np.nanmean(recall))
        assert_same(group["precision"], np.nanmean(precision))
        assert_same(group["f1"], np.nanmean(f1))
    for record in found.record["by_class"]:
        y, p = table["y"] == record["class"], table["p"] == record["class"]
        assert record["count"] == y.sum()
        assert_same(record["accuracy"], y[y].size and (p[y].mean()) if y.any() else np.nan)
        assert_same(record["selection_rate"], p.mean())
        assert_same(record["false_positive_rate"], p[~y].mean() if (~y).any() else np.nan)


@EASY
@given(tables(classes=3), st.integers(0, 2))
def test_a_positive_class_makes_many_classes_binary(table, positive):
    if not has_classes(table, 3):
        return
    found = audited(table, positive=positive)
    y, p = table["y"] == positive, table["p"] == positive
    assert_same(found.overall["f1"], sk.f1_score(y, p, zero_division=np.nan))
    assert_same(found.overall["selection_rate"], p.mean())


@pytest.mark.filterwarnings("ignore")
@EASY
@given(tables())
def test_differences_and_ratios_are_those_of_fairlearn(table):
    if not has_classes(table, 2) or not (table["y"] == 1).any() or not (table["y"] == 0).any():
        return
    found = audited(table)
    features = np.stack([table["a"], table["b"]], axis=1)
    frame = fair.MetricFrame(
        metrics={"accuracy": sk.accuracy_score, "selection_rate": fair.selection_rate},
        y_true=table["y"], y_pred=table["p"], sensitive_features=features,
    )  # fmt: skip
    present = [group for group in found.record["groups"] if group["count"]]
    for name in ("accuracy", "selection_rate"):
        by_group = {tuple(group["group"].values()): float(group[name]) for group in present}
        assert by_group == pytest.approx(frame.by_group[name].dropna().to_dict())
        assert_same(found.overall[f"worst_group_{name}"], min(by_group.values()))
        assert_same(found.overall[f"group_mean_{name}"], np.mean(list(by_group.values())))
        if len(by_group) > 1:
            assert_same(found.overall[f"{name}_gap"], max(by_group.values()) - min(by_group.values()))
            if max(by_group.values()) > 0:
                assert_same(found.overall[f"{name}_ratio"], min(by_group.values()) / max(by_group.values()))
    crossed = np.char.add(table["a"].astype(str), table["b"].astype(str))
    if len(set(crossed)) > 1:
        difference = fair.demographic_parity_difference(table["y"], table["p"], sensitive_features=crossed)
        assert_same(found.overall["demographic_parity_difference"], difference)
    if all((table["y"][crossed == name] == 1).any() for name in set(crossed)) and len(set(crossed)) > 1:
        difference = fair.equal_opportunity_difference(table["y"], table["p"], sensitive_features=crossed)
        assert_same(found.overall["equal_opportunity_difference"], difference)


CONTRACT = (
    "worst_group_accuracy", "best_group_accuracy", "accuracy_gap", "accuracy", "group_mean_accuracy",
    "worst_class_accuracy", "demographic_parity_difference", "equal_opportunity_difference",
    "equalized_odds_difference", "average_odds_difference",
)  # fmt: skip


@pytest.mark.parametrize("classes", [2, 4])
@EASY
@given(st.data())
def test_with_the_label_among_the_groups_every_contract_name_means_the_same_as_in_training(classes, data):
    table = data.draw(tables(classes))
    if not has_classes(table, classes):
        return
    found = audited(table, positive=1 if classes == 2 else None, groups=("y", "b"))
    expected = metrics.evaluate(metrics.count(table["y"], table["p"], table["b"], n_classes=classes), CONTRACT)
    assert {name: float(found.overall[name]) for name in CONTRACT} == pytest.approx(expected, nan_ok=True)
    counts = metrics.count(table["y"], table["p"], table["b"], n_classes=classes)
    worst = metrics.worst_group(counts.correct_G, counts.count_G)
    measured = found.overall["worst_group_accuracy"]
    assert (measured, measured.low, measured.high) == pytest.approx((worst.value, worst.low, worst.high))


@EASY
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_and_of_groups_is_irrelevant(table, random):
    if not has_classes(table, 2):
        return
    order = random.sample(range(len(table["y"])), len(table["y"]))
    shuffled = {name: column[order] for name, column in table.items()}
    assert audited(table).to_json() == audited(shuffled).to_json()
    one, other = audited(table).overall, audited(table, groups=("b", "a")).overall
    for name in one.keys() - {"confusion"}:
        assert_same(one[name], float(other[name]))


@EASY
@given(tables())
def test_marginal_groups_are_audits_by_one_column(table):
    if not has_classes(table, 2):
        return
    both, alone = audited(table), audited(table, groups=("b",))
    marginal = [group for group in both.record["marginals"] if set(group["group"]) == {"b"}]
    assert len(marginal) == len(alone.record["groups"])
    for one, other in zip(marginal, alone.record["groups"], strict=True):
        assert one["group"] == other["group"]
        assert one["confusion"] == other["confusion"]
        assert float(one["f1"]) == pytest.approx(float(other["f1"]), nan_ok=True)


def test_missing_predictions_are_errors_and_no_class_of_their_own():
    y = np.array(["ant", "bee", "cat"] * 40)
    p = y.astype(object).copy()
    p[::7] = None
    found = audit(label=y, prediction=p, group=np.arange(120) % 2, missing="group")
    wrong_class = np.where(np.arange(120) % 7 == 0, "none", y)
    wanted = sk.f1_score(y, wrong_class, average="macro", labels=["ant", "bee", "cat"])
    assert found.overall["f1"] == pytest.approx(wanted)
    assert found.overall["accuracy"] == pytest.approx((np.arange(120) % 7 != 0).mean())
    assert {one["class"] for one in found.record["by_class"]} == {"ant", "bee", "cat"}
    assert {one["third"] for one in found.record["by_class"]} == {"hard", "medium", "easy"}
    assert found.record["classes"] == ["ant", "bee", "cat", "(missing)"]
    two = audit(label=y == "ant", prediction=np.where(np.arange(120) % 7, y == "ant", None), group=y, missing="group")
    assert two.record["positive"] is True
    assert two.overall["true_positive_rate"] == pytest.approx((np.arange(0, 120, 3) % 7 != 0).mean())
