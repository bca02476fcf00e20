"""Figures from scores against scikit-learn; what scores predict; clusters and weights in intervals."""

import numpy as np
import pytest
from sklearn import metrics as sk

from evenhand.auditing import audit
from evenhand.auditing.figures.clusters import Clusters, effective_rows
from evenhand.auditing.figures.scored import FromResamples, Resampling, Scores, score_figures
from evenhand.errors import BadInput
from evenhand.metrics.resampled import Resampled


def rows(n=400, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y, a = rng.integers(0, classes, n), rng.integers(0, 2, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return y, a, p, logits


def test_binary_scores_agree_with_scikit_learn():
    y, a, p, _ = rows()
    found = audit(label=y, score=p[:, 1], group=a, replicates=20)
    for group in found.record["groups"]:
        mask = a == group["group"]["group"]
        truth, score = y[mask], p[mask, 1]
        assert group["accuracy"] == pytest.approx(((score >= 0.5) == truth).mean())
        assert group["auc"] == pytest.approx(sk.roc_auc_score(truth, score))
        assert group["average_precision"] == pytest.approx(sk.average_precision_score(truth, score))
        assert group["brier"] == pytest.approx(sk.brier_score_loss(truth, score))
        assert group["log_loss"] == pytest.approx(sk.log_loss(truth, score))
        for name in ("auc", "average_precision", "calibration_error", "brier", "log_loss"):
            assert group[name].low <= group[name].high
    assert found.overall["worst_group_auc"] == min(group["auc"] for group in found.record["groups"])
    assert found.overall["worst_group_log_loss"] == max(group["log_loss"] for group in found.record["groups"])


def test_scores_of_many_classes_agree_with_scikit_learn():
    y, a, p, logits = rows(classes=3)
    found = audit(label=y, score=p, group=a, replicates=5)
    assert found.overall["accuracy"] == pytest.approx((p.argmax(axis=1) == y).mean())
    assert found.overall["auc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))
    assert found.overall["average_precision"] == pytest.approx(sk.average_precision_score(np.eye(3)[y], p))
    assert found.overall["log_loss"] == pytest.approx(sk.log_loss(y, p))
    assert found.overall["brier"] == pytest.approx(((p - np.eye(3)[y]) ** 2).sum(axis=1).mean())
    same = audit(label=y, score=logits, score_kind="logit", group=a, replicates=5)
    assert same.overall["log_loss"] == pytest.approx(found.overall["log_loss"])
    one = audit(label=y, score=p, group=a, positive=2, replicates=5)
    assert one.overall["auc"] == pytest.approx(sk.roc_auc_score(y == 2, p[:, 2]))
    assert one.overall["brier"] == pytest.approx(sk.brier_score_loss(y == 2, p[:, 2]))


def test_two_columns_of_scores_are_one():
    y, a, p, _ = rows()
    two, one = audit(label=y, score=p, group=a, replicates=5), audit(label=y, score=p[:, 1], group=a, replicates=5)
    assert float(two.overall["auc"]) == one.overall["auc"]
    assert float(two.overall["brier"]) == pytest.approx(one.overall["brier"])


def test_columns_of_scores_find_their_class_by_name():
    y, a, p, _ = rows(classes=3)
    words = np.array(["ant", "bee", "cat"])[y]
    table = {"y": words, "a": a, "p_cat": p[:, 2], "p_ant": p[:, 0], "p_bee": p[:, 1]}
    found = audit(table, label="y", score=["p_cat", "p_ant", "p_bee"], group="a", replicates=5)
    assert found.overall["accuracy"] == pytest.approx((p.argmax(axis=1) == y).mean())
    assert found.overall["auc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))


def test_scores_that_only_rank_have_no_calibration():
    y, a, p, _ = rows()
    found = audit(label=y, prediction=p.argmax(axis=1), score=10 * p[:, 1] - 3, score_kind="score", group=a)
    assert found.overall["auc"] == pytest.approx(sk.roc_auc_score(y, p[:, 1]))
    assert "brier" not in found.overall


def test_weights_are_repetitions():
    y, a, p, _ = rows(n=120)
    w = np.random.default_rng(1).integers(1, 4, len(y))
    weighted = audit(label=y, score=p[:, 1], group=a, weight=w, replicates=5)
    repeated = audit(label=y.repeat(w), score=p[:, 1].repeat(w), group=a.repeat(w), replicates=5)
    for name in ("accuracy", "f1", "auc", "average_precision", "brier", "log_loss", "calibration_error"):
        assert float(weighted.overall[name]) == pytest.approx(float(repeated.overall[name]))
    width = weighted.overall["accuracy"].high - weighted.overall["accuracy"].low
    assert width > repeated.overall["accuracy"].high - repeated.overall["accuracy"].low


def test_equal_weights_change_nothing():
    y, a, p, _ = rows()
    plain = audit(label=y, prediction=p.argmax(axis=1), group=a)
    weighted = audit(label=y, prediction=p.argmax(axis=1), group=a, weight=np.full(len(y), 2.5))
    for name in ("accuracy", "f1", "true_positive_rate", "worst_group_accuracy", "accuracy_gap"):
        one, other = plain.overall[name], weighted.overall[name]
        assert (one, one.low, one.high) == pytest.approx((other, other.low, other.high))


@pytest.mark.parametrize("interval", ["wilson", "clopper_pearson"])
def test_repeated_rows_of_a_patient_add_no_certainty(interval):
    y, a, p, _ = rows(n=100)
    said = p.argmax(axis=1)
    once = audit(label=y, prediction=said, group=a, interval=interval)
    patient = np.arange(100).repeat(8)
    again = audit(label=y.repeat(8), prediction=said.repeat(8), group=a.repeat(8), id=patient, interval=interval)
    naive = audit(label=y.repeat(8), prediction=said.repeat(8), group=a.repeat(8), interval=interval)
    for name in ("accuracy", "true_positive_rate", "precision", "f1", "selection_rate"):
        width, honest, wrong = (found.overall[name].high - found.overall[name].low for found in (once, again, naive))
        assert honest == pytest.approx(width, rel=0.05)
        assert wrong < honest / 2
    assert again.record["clusters"] == 100


def test_effective_rows_of_singletons_are_the_rows():
    y, a, p, _ = rows(n=60)
    said = p.argmax(axis=1)
    value = {"accuracy": np.array([(y == said)[a == g].mean() for g in (0, 1)])}
    found = effective_rows(Clusters(np.arange(60), 60), a, (y, said), None, value)
    np.testing.assert_allclose(found["accuracy"], np.bincount(a), rtol=0.05)


def test_clusters_widen_the_interval_of_auc():
    y, a, p, _ = rows(n=150)
    repeated = {"label": y.repeat(6), "score": p[:, 1].repeat(6), "group": a.repeat(6)}
    naive, honest = audit(**repeated), audit(**repeated, id=np.arange(150).repeat(6))
    assert float(naive.overall["auc"]) == float(honest.overall["auc"])
    width = honest.overall["auc"].high - honest.overall["auc"].low
    assert width > 1.8 * (naive.overall["auc"].high - naive.overall["auc"].low)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p * 2, r"probabilities must lie in \[0, 1\], got .* --score-kind logit"),
        (lambda p: p * 0.5, "must sum to 1"),
        (
            lambda p: np.where(p == p.max(), np.nan, p),
            r"scores must be numbers, got nan in .*, row \d+ \(1 such rows\); --missing drop",
        ),
    ],
)
def test_what_are_no_probabilities_is_refused(change, message):
    y, a, p, _ = rows(classes=3)
    with pytest.raises(BadInput, match=message):
        audit(label=y, score=change(p), group=a)


def test_bad_scores_of_a_file_name_the_line(tmp_path):
    path = tmp_path / "t.csv"
    text = "y,s,g\n1,0.9,a\n\n0,0.2,b\n0,{},b\n1,0.7,a\n"
    options = {"label": "y", "score": "s", "group": "g", "replicates": 2}
    for score, message in (("1.5", r"\[0, 1\], got 1.5 in 's'"), ("high", "got 'high' in 's'"), ("", "--missing drop")):
        path.write_text(text.format(score))
        with pytest.raises(BadInput, match=rf"{message}.*") as caught:
            audit(path, **options)
        assert "line 5" in str(caught.value)
    found = audit(path, **options, missing="drop")
    assert (found.record["rows"], found.record["dropped"], found.record["missing"]) == (3, 1, {"s": 1})


def test_scores_must_be_one_or_one_per_class():
    y, a, p, _ = rows(classes=3)
    with pytest.raises(BadInput, match=r"there are 2 score columns .* but 3 classes"):
        audit(label=y, score={"u": p[:, 0], "v": 1 - p[:, 0]}, group=a)
    with pytest.raises(BadInput, match="one score column says which of two classes"):
        audit(label=y, score=p[:, 0], group=a)
    with pytest.raises(BadInput, match="one score column, but 3 classes"):
        audit(label=y, prediction=p.argmax(axis=1), score=p[:, 0], group=a)
    with pytest.raises(BadInput, match="a score that only ranks"):
        audit(label=y > 0, score=p[:, 0], score_kind="score", group=a)


@pytest.mark.parametrize(("sizes", "confused"), [((80, 80, 80), False), ((160, 60, 20), True)])
def test_macro_auc_varies_as_a_joint_bootstrap_says(sizes, confused):
    """Whether the AUC of the classes rise and fall together or not: all come from the same resamples."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(3), sizes))
    score = rng.normal(size=(240, 3)) + np.eye(3)[y]
    if confused:  # 0 is taken for 1, and 1 for 0
        score = np.stack([-score[:, 1], score[:, 1], 3.0 * (y == 2)], axis=1)
    scores = Scores(score, are_probabilities=False, how=Resampling(None, 400, 0))
    found = score_figures(scores, y, np.zeros(240, dtype=np.int64), 1)["auc"]
    naive = [
        np.mean([sk.roc_auc_score(y[rows] == c, score[rows, c]) for c in range(3)])
        for rows in rng.integers(0, 240, (400, 240))
    ]
    assert found.of.replicates.std() == pytest.approx(np.std(naive), rel=0.15)
    low, high = found.interval(0.95)
    assert (low[0], high[0]) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.15 * (high[0] - low[0]))


def test_a_class_that_a_group_lacks_is_left_out_of_its_mean():
    y, a, p, _ = rows(n=120, classes=3)
    lacking = (a == 0) & (y == 2)
    y, a, p = y[~lacking], a[~lacking], p[~lacking]
    found = audit(label=y, score=p, group=a, replicates=50)
    group = next(one for one in found.record["groups"] if one["group"]["group"] == 0)
    wanted = np.mean([sk.roc_auc_score(y[a == 0] == c, p[a == 0, c]) for c in (0, 1)])
    assert group["auc"] == pytest.approx(wanted)
    assert group["auc"].low < wanted < group["auc"].high


def test_resamples_without_a_value_do_not_widen_an_interval():
    replicates = np.random.default_rng(0).normal(0.7, 0.05, (40, 1))
    holes = np.where(np.arange(40)[:, None] % 4 == 0, np.nan, replicates)
    value = np.array([0.7])
    low, high = FromResamples(Resampled(value, holes)).interval(0.95)
    assert high - low == pytest.approx(2 * 1.96 * np.nanstd(holes, ddof=1), rel=1e-3)
