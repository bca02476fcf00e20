"""Two models on the same rows, group by group; and audits as scorers of scikit-learn."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from evenhand.auditing import Scorer, audit
from evenhand.errors import BadInput
from evenhand.metrics.mcnemar import paired_groups


@pytest.fixture
def models():
    rng = np.random.default_rng(0)
    y, g = rng.integers(0, 2, 600), rng.integers(0, 3, 600)
    better = np.where(rng.random(600) < 0.9, y, 1 - y)
    worse = np.where((g == 1) & (rng.random(600) < 0.5), 1 - y, better)
    return pl.DataFrame({"y": y, "p": better, "g": g}), pl.DataFrame({"y": y, "p": worse, "g": g})


def against(first, second, **options):
    return audit(first, label="y", prediction="p", group="g", against=second, **options).record["against"]


def test_every_group_is_compared_by_mcnemar(models):
    first, second = models
    found = against(first, second)
    right = [(table["p"] == table["y"]).to_numpy() for table in models]
    expected = {row.group: row for row in paired_groups(right[1], right[0], first["g"].to_numpy(), 3)}
    assert found["overall"]["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    for record in found["groups"]:
        row = expected[record["group"]["g"]]
        assert (record["count"], record["difference"], record["low"], record["high"]) == (
            row.n, row.difference, row.low, row.high,
        )  # fmt: skip
        assert record["p_adjusted"] == row.p_adjusted
    changed = next(record for record in found["groups"] if record["group"]["g"] == 1)
    assert changed["p_adjusted"] < 0.001
    assert "Against the other table" in str(audit(first, label="y", prediction="p", group="g", against=second))


def test_files_of_different_kinds_are_compared(models, tmp_path):
    first, second = models
    first.write_csv(tmp_path / "a.csv")
    second.write_parquet(tmp_path / "b.parquet")
    found = against(tmp_path / "a.csv", tmp_path / "b.parquet")
    assert found["overall"] == against(first, second)["overall"]


def test_rows_are_matched_by_id_where_ids_are_unique(models):
    first, second = (table.with_columns(i=pl.int_range(600)) for table in models)
    shuffled = second.sample(fraction=1.0, shuffle=True, seed=1)
    assert against(first, shuffled, id="i")["overall"] == against(first, second, id="i")["overall"]
    twice = shuffled.with_columns(i=pl.col("i") // 2)
    with pytest.raises(BadInput, match=r"different orders and cannot be matched by 'i': .* 2 times"):
        against(first.with_columns(i=pl.col("i") // 2), twice, id="i")


def test_other_rows_are_refused(models):
    first, second = models
    with pytest.raises(BadInput, match="must hold the same rows, got 600 and 599"):
        against(first, second[1:])
    with pytest.raises(BadInput, match="the labels differ in"):
        against(first, second.with_columns(y=1 - pl.col("y")))
    with pytest.raises(BadInput, match="unknown column of the other table 'p'"):
        against(first, second.rename({"p": "q"}))


def test_predictions_from_scores_are_compared(models):
    first, _ = models
    scored = first.with_columns(s=0.2 + 0.6 * pl.col("p"))
    found = audit(scored, label="y", score="s", group="g", against=scored, replicates=2).record["against"]
    assert found["overall"]["difference"] == 0


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"sex": rng.integers(0, 2, 300), "u": rng.normal(size=300), "v": rng.normal(size=300)})
    return X, (X.u + X.v * X.sex + 0.3 * rng.normal(size=300) > 0).astype(int)


@pytest.mark.parametrize("metric", ["worst_group_accuracy", "accuracy_gap", "worst_group_auc", "log_loss"])
def test_audits_are_scorers(data, metric):
    X, y = data
    scores = cross_val_score(LogisticRegression(), X, y, scoring=Scorer(metric, group="sex"), cv=3)
    assert (scores > 0).all() if metric.startswith("worst") else (scores <= 0).all()
    model = LogisticRegression().fit(X, y)
    found = audit(label=y, prediction=model.predict(X), score=model.predict_proba(X), group=X.sex, replicates=2)
    sign = 1 if metric.startswith("worst") else -1
    for group in ("sex", 0, lambda X: np.asarray(X)[:, 0]):
        assert Scorer(metric, group)(model, X, y) == pytest.approx(sign * float(found.overall[metric]))


def test_scorers_refuse_what_is_not_there(data):
    X, y = data
    model = LogisticRegression().fit(X, y)
    with pytest.raises(BadInput, match="unknown metric 'worst_accuracy'"):
        Scorer("worst_accuracy", "sex")(model, X, y)
    with pytest.raises(BadInput, match="unknown column of X 'gender'"):
        Scorer("accuracy", "gender")(model, X, y)
    with pytest.raises(BadInput, match="index in 0"):
        Scorer("accuracy", 7)(model, X, y)
