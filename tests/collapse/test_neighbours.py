"""k nearest neighbours against loops and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made import clouds
from sklearn.neighbors import KNeighborsClassifier

from evenhand.collapse import knn, nearest_rows, vote
from evenhand.errors import BadInput


def test_the_example_is_decided_by_the_weighting() -> None:
    cosine, label = torch.tensor([[0.9, 0.85, 0.84, 0.2]], dtype=torch.float64), torch.tensor([[0, 1, 1, 1]])
    weighted = vote(cosine, label, 2)
    # Relative to the nearest: 383518.0 of class 0, 350520 of class 1.
    assert (weighted[0, 1] / weighted[0, 0]).item() == pytest.approx(350520 / 383518, abs=1e-5)
    assert weighted.argmax(1).item() == 0
    assert vote(cosine, label, 2, weighting="uniform").tolist() == [[1, 3]]


def cosines(memory, features) -> np.ndarray:
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (features, memory)]
    return units[0] @ units[1].T


def test_against_scikit_learn() -> None:
    memory, y, _ = clouds(300, 5, 4, seed=1)
    features = np.random.default_rng(2).normal(size=(80, 5)) + memory[:80]
    oracle = KNeighborsClassifier(7, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07))
    assert knn(memory, y, features, 4, 7).tolist() == oracle.fit(memory, y).predict(features).tolist()
    oracle = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(memory, y)
    assert knn(memory, y, features, 4, 1, weighting="uniform").tolist() == oracle.predict(features).tolist()


@pytest.mark.parametrize("exclude_self", [False, True])
def test_blocks_of_memory_and_features_change_nothing(monkeypatch, exclude_self: bool) -> None:
    memory, _, _ = clouds(130, 6, 3)
    cosine_NM = cosines(memory, memory)
    if exclude_self:
        np.fill_diagonal(cosine_NM, -np.inf)
    wanted = np.argsort(-cosine_NM, axis=1)[:, :9]
    monkeypatch.setattr("evenhand.collapse.neighbours.MEMORY_ROWS", 31)
    monkeypatch.setattr("evenhand.collapse.neighbours.PRODUCTS_AT_ONCE", 31 * 17)
    cosine_NK, row_NK = nearest_rows(memory, memory, 9, exclude_self=exclude_self)
    assert row_NK.tolist() == wanted.tolist()
    np.testing.assert_allclose(cosine_NK, np.take_along_axis(cosine_NM, wanted, 1), atol=1e-6)
    assert bool((row_NK[:, 0] == torch.arange(130)).any()) is not exclude_self


def test_scale_and_order_of_the_memory_do_not_matter() -> None:
    memory, y, _ = clouds(200, 5, 4)
    features = np.random.default_rng(2).normal(size=(50, 5))
    order = np.random.default_rng(3).permutation(200)
    plain = knn(memory, y, features, 4)
    assert torch.equal(knn(9 * memory[order], y[order], 0.1 * features, 4), plain)


def test_equal_votes_go_to_the_smaller_class() -> None:
    memory = np.array([[1.0, 0.1], [1.0, -0.1]])
    assert knn(memory, np.array([2, 1]), np.array([[1.0, 0]]), 3, 2, weighting="uniform").item() == 1


def test_small_temperatures_do_not_overflow() -> None:
    memory, y, _ = clouds(50, 5, 4)
    assert knn(memory, y, memory, 4, 5, temperature=1e-4).tolist() == y.tolist()


def test_features_without_length_are_near_to_nothing() -> None:
    cosine_NK, _ = nearest_rows(np.eye(3), np.zeros((2, 3)), 3)
    assert cosine_NK.abs().max() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 4}, r"k must be in 1..3, the rows there are, got 4"),
        ({"k": 0}, r"k must be in 1..3"),
        ({"k": 3, "exclude_self": True}, r"k must be in 1..2"),
        ({"weighting": "linear"}, "weighting must be"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"memory_y_M": np.array([0, 1, 2])}, "memory_y must be in 0..1, got 2 in row 2"),
        ({"features_ND": np.eye(4)}, r"features must have shape \[N, 3\]"),
        ({"features_ND": np.eye(3)[:2], "exclude_self": True}, "got 2 and 3 rows"),
        ({"features_ND": np.array([[1.0, 1, 1], [0, np.nan, 0]])}, "features must be finite, but row 1 is not"),
    ],
)
def test_what_cannot_be_used_is_said(options: dict, message: str) -> None:
    given = {
        "memory_MD": np.eye(3),
        "memory_y_M": np.array([0, 1, 1]),
        "features_ND": np.eye(3),
        "n_classes": 2,
        "k": 2,
    }
    with pytest.raises(BadInput, match=message):
        knn(**(given | options))
