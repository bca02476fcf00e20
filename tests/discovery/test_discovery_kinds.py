"""Kinds of discovery on groups that are planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hidden_groups import planted
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, roc_auc_score, silhouette_score

from evenhand.discovery import centres, kinds
from evenhand.discovery.kinds._base import Array, Rows
from evenhand.discovery.kinds.errors import p_values
from evenhand.errors import BadInput

OPTIONS: dict[str, dict[str, Any]] = {
    "clusters": {"clusters": 2},
    "errors": {"clusters": 2},
    "critical": {"clusters": 2},
    "domino": {"components": 4, "weight_y": 1, "weight_prediction": 1},
}


def agreement(rows: Rows, cluster_N: Array, hidden_N: Array) -> float:
    """The least adjusted Rand index of a class."""
    return min(adjusted_rand_score(hidden_N[rows.y == c], cluster_N[rows.y == c]) for c in range(rows.n_classes))


def test_the_kinds_are_those_that_are_tested() -> None:
    assert set(kinds.names()) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_planted_groups_are_found_and_rows_of_another_split_are_put_into_them(name: str) -> None:
    rows, hidden_N = planted()
    fitted = kinds.make(name, **OPTIONS[name]).fit(rows)
    placed = fitted.place(rows)
    assert agreement(rows, placed.cluster, hidden_N) > 0.95
    assert len(fitted.names) == placed.cluster.max() + 1 == 4
    other, other_hidden_N = planted(((80, 50), (60, 70)), seed=1)
    assert agreement(other, fitted.place(other).cluster, other_hidden_N) > 0.95


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_seed_gives_the_same(name: str) -> None:
    rows, _ = planted(apart=1.5)
    one, two = (kinds.make(name, **OPTIONS[name], seed=3).fit(planted(apart=1.5)[0]).place(rows) for _ in range(2))
    assert np.array_equal(one.cluster, two.cluster)
    assert one.scores.keys() == two.scores.keys()
    assert all(np.array_equal(one.scores[key], two.scores[key]) for key in one.scores)


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_that_is_given_is_changed(name: str) -> None:
    rows, _ = planted()
    before = rows.features.copy()
    kinds.make(name, **OPTIONS[name]).fit(rows).place(rows)
    np.testing.assert_allclose(rows.features, before, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_default_score_points_at_the_badly_served(name: str) -> None:
    rows, hidden_N = planted()
    kind = kinds.make(name, **OPTIONS[name])
    scores = kind.fit(rows).place(rows).scores
    chosen = next(score for score in kind.best_scores if score in scores)
    area = roc_auc_score(hidden_N, scores[chosen])
    assert area > 0.9 if name != "critical" else np.isfinite(area)


def test_the_scores_are_those_of_a_slow_reference() -> None:
    rows, _ = planted(apart=2)
    fitted = kinds.make("clusters", clusters=3).fit(rows)
    placed = fitted.place(rows)
    for n in range(0, len(rows), 37):
        same = placed.cluster == placed.cluster[n]
        logits = rows.predicted[n].astype(float)
        loss = np.log(np.exp(logits).sum()) - logits[rows.y[n]]
        centre = rows.features[same].astype(float).mean(0)
        wanted = {
            "loss": loss,
            "group_loss": rows.loss[same].mean(),
            "group_error": (rows.predicted[same].argmax(1) != rows.y[same]).mean(),
            "rarity": 1 - same.sum() / (rows.y == rows.y[n]).sum(),
            "distance": np.linalg.norm(rows.features[n] - centre),
        }
        assert {key: values[n] for key, values in placed.scores.items()} == pytest.approx(wanted, rel=1e-4)


def test_without_predictions_distance_is_the_score_and_others_say_what_they_need() -> None:
    rows = replace(planted()[0], logits=None)
    placed = kinds.make("clusters").fit(rows).place(rows)
    assert set(placed.scores) == {"rarity", "distance"}
    assert {"cluster_loss", "weight"} < set(kinds.make("critical").fit(rows).place(rows).scores)
    for name in ("errors", "domino"):
        assert kinds.find(name).needs_predictions
        with pytest.raises(BadInput, match="needs predictions: name a finished run"):
            kinds.make(name).fit(rows)


def test_a_class_that_was_not_there_has_no_group() -> None:
    rows, _ = planted()
    only = np.flatnonzero(rows.y == 0)
    some = Rows(rows.features[only], rows.y[only], 2, rows.predicted[only])
    for name in ("clusters", "critical", "errors"):
        placed = kinds.make(name, **OPTIONS[name]).fit(some).place(rows)
        assert np.array_equal(placed.cluster == -1, rows.y == 1)
        assert np.isnan(placed.scores["group_error"][rows.y == 1]).all()


# --- centres ---


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 100), st.floats(-1000, 1000))
def test_distances_are_those_of_numpy(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    x, centre = (rng.normal(offset, scale, size=(n, 4)) for n in (7, 3))
    found = centres.squared_distances(x, centre)
    np.testing.assert_allclose(found, ((x[:, None] - centre) ** 2).sum(2), rtol=1e-6, atol=1e-6 * scale**2)


def test_the_silhouette_finds_how_many_groups_there_are() -> None:
    rows, hidden_N = planted(((90, 80, 70, 60), (100, 90)))
    found = centres.class_centres(rows, None, 0)
    assert np.bincount(found.label).tolist() == [4, 2]
    assert agreement(rows, found.nearest(rows)[0], hidden_N) > 0.95
    of_class = rows.features[rows.y == 0]
    by_count = {k: silhouette_score(of_class, centres.k_means(of_class, k, 0)) for k in range(2, 11)}
    assert max(by_count, key=lambda k: by_count[k]) == 4


@pytest.mark.parametrize("values", [[[0.0]], [[1.0]] * 5, [[0.0], [1.0]]])
def test_too_few_different_rows_are_one_cluster(values: list[list[float]]) -> None:
    assert centres.by_silhouette(np.array(values, dtype=np.float32), 0) == 1


def test_fewer_rows_than_clusters() -> None:
    rows = Rows(np.eye(3, dtype=np.float32), np.array([0, 0, 1]), 2)
    found = centres.class_centres(rows, 8, 0)
    assert [tuple(name) for name in found.names] == [(0, "1"), (0, "2"), (1, "1")]
    assert found.nearest(rows)[1] == pytest.approx([0, 0, 0])


# --- errors ---


def test_the_test_of_errors_is_fishers() -> None:
    from scipy.stats import fisher_exact

    rows, _ = planted(apart=2)
    found = centres.class_centres(rows, 3, 0)
    cluster_N, _ = found.nearest(rows)
    for cluster, value in enumerate(p_values(rows, cluster_N, found.label)):
        of_class, inside = rows.y == found.label[cluster], cluster_N == cluster
        table = [[int((rows.wrong[part] == w).sum()) for w in (1, 0)] for part in (inside, of_class & ~inside)]
        assert value == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-8)


def test_clusters_without_more_than_their_share_of_errors_are_the_rest() -> None:
    rows, hidden_N = planted()
    fitted = kinds.make("errors", clusters=6).fit(rows)
    words = [name.word for name in fitted.names if name.label == 0]
    assert words[-1] == "rest"
    placed = fitted.place(rows)
    rest = [k for k, name in enumerate(fitted.names) if name.word == "rest"]
    assert (np.isin(placed.cluster, rest) == (hidden_N == 0)).mean() > 0.97
    random = Rows(rows.features, rows.y, 2, np.random.default_rng(5).permutation(rows.predicted))
    assert {name.word for name in kinds.make("errors", clusters=6).fit(random).names} == {"rest"}


def test_a_model_without_errors_has_no_slices() -> None:
    rows, _ = planted()
    perfect = Rows(rows.features, rows.y, 2, np.eye(2, dtype=np.float32)[rows.y])
    with pytest.raises(BadInput, match=r"makes no error on the rows looked at.*--fit val"):
        kinds.make("errors").fit(perfect)


# --- critical ---


def test_the_cluster_loss_is_that_of_a_regression_of_the_clusters() -> None:
    from sklearn.linear_model import LogisticRegression

    rows, _ = planted(((90, 80, 70), (100, 90)), apart=3)
    placed = kinds.make("critical", clusters=3, penalty=0.01).fit(rows).place(rows)
    for c in range(2):
        own = rows.y == c
        x = rows.features[own].astype(float)
        x = (x - x.mean(0)) / x.std(0)
        head = LogisticRegression(C=1 / (2 * 0.01 * own.sum()), tol=1e-8, max_iter=1000).fit(x, placed.cluster[own])
        log = head.predict_log_proba(x)
        wanted = -log[np.arange(len(x)), np.searchsorted(head.classes_, placed.cluster[own])]
        np.testing.assert_allclose(placed.scores["cluster_loss"][own], wanted, atol=5e-3)


def test_the_weight_is_that_of_equation_8() -> None:
    rows, _ = planted(apart=3)
    placed = kinds.make("critical", clusters=3, gamma=0.7).fit(rows).place(rows)
    for cluster in np.unique(placed.cluster):
        own = placed.cluster == cluster
        total = rows.loss[own] + 0.7 * placed.scores["cluster_loss"][own]
        np.testing.assert_allclose(placed.scores["weight"][own], total.mean() / own.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clusters", {"clusters": 0}, "clusters of a class must be at least 1, got 0"),
        ("errors", {"level": 1.0}, r"level must lie in \(0, 1\), got 1.0"),
        ("critical", {"penalty": 0.0}, "penalty positive"),
        ("domino", {"components": 0}, "components, dimensions and steps must be at least 1"),
        ("domino", {"components": 10_000}, "no more than the 570 rows looked at, got 10000"),
        ("domino", {"weight_y": -1.0}, "weight_y, weight_prediction and tolerance must be at least 0"),
    ],
)
def test_options_that_do_not_fit(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        kinds.make(name, **options).fit(planted()[0])


def test_a_kind_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="unknown kind of discovery 'cluster'; did you mean 'clusters'"):
        kinds.find("cluster")
