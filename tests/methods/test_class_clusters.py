from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_info, threadpool_limits

import tiny
from evenhand.batch import Split
from evenhand.errors import RunFailed
from evenhand.methods import _clusters
from evenhand.methods._clusters import class_clusters, features_in_memory, k_means, quietly_on_one_thread, some_rows
from evenhand.model import Model


def blobs(n_rows: int = 300, k: int = 4, spread: float = 0.05, seed: int = 0) -> tuple[Any, Any]:
    """Float32 points around `k` far points, and whose they are."""
    rng = np.random.default_rng(seed)
    label = rng.integers(k, size=n_rows)
    centres = 10 * np.eye(k, 6)
    return (centres[label] + spread * rng.standard_normal((n_rows, 6))).astype(np.float32), label


def as_split(x: Any, y: Any) -> tuple[Split, Model]:
    """A split whose features are its inputs."""
    x = torch.as_tensor(x)
    return Split.of(x, torch.as_tensor(y), n_classes=2), Model.linear(torch.nn.Identity(), x.shape[1], 2)


# --- k-means ---


def test_separate_blobs_are_found() -> None:
    x, label = blobs()
    assert adjusted_rand_score(label, k_means(x, 4, seed=0)) == 1


def test_large_classes_are_seeded_on_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clusters, "SEEDING_ROWS", 50)
    x, label = blobs(2000)
    assert adjusted_rand_score(label, k_means(x, 4, seed=0)) == 1


@pytest.mark.parametrize("seeding_rows", [40, 1000])
def test_every_point_is_in_the_cluster_of_the_nearest_mean(monkeypatch: pytest.MonkeyPatch, seeding_rows: int) -> None:
    monkeypatch.setattr(_clusters, "SEEDING_ROWS", seeding_rows)
    x = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    label = k_means(x.copy(), 5, seed=0)
    means = [x[label == k].mean(0) for k in range(5)]
    for i in range(200):
        distances = [((x[i] - mean) ** 2).sum() for mean in means]
        assert distances[label[i]] <= min(distances) + 1e-3


@settings(max_examples=20, deadline=None)
@given(n_rows=st.integers(0, 12), k=st.integers(1, 9), distinct=st.integers(1, 4), seed=st.integers(0, 5))
def test_labels_are_in_range_for_tiny_classes_and_equal_rows(n_rows: int, k: int, distinct: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(distinct, size=(n_rows, 2)).astype(np.float32)
    label = k_means(x, k, seed)
    assert label.shape == (n_rows,)
    assert label.dtype == np.int64
    assert all(0 <= each < min(k, n_rows) for each in label)


def test_scikit_learn_has_one_thread_so_that_sums_have_one_order() -> None:
    x, _ = blobs()
    with threadpool_limits(2):
        with quietly_on_one_thread():
            assert {each["num_threads"] for each in threadpool_info()} == {1}
        assert max(each["num_threads"] for each in threadpool_info()) == 2
        two = k_means(x, 7, seed=3)
    assert np.array_equal(two, k_means(x, 7, seed=3))


# --- of classes ---


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_clusters_are_of_one_class_each(metric: Any) -> None:
    data, model = tiny.split(100, classes=3), tiny.network(3)
    torch.manual_seed(0)
    cluster_N = class_clusters(data, model, 4, metric)
    assert cluster_N.dtype == torch.int64
    assert torch.equal(cluster_N // 4, data.y)
    assert all(len(torch.unique(cluster_N[data.y == c])) == 4 for c in range(3))


def test_classes_are_clustered_one_by_one() -> None:
    """Where one class's rows lie does not matter for the other's clusters."""
    x, _ = blobs(120)
    y = np.arange(120) % 2
    found = []
    for shift in (0, 100):
        torch.manual_seed(0)
        found.append(class_clusters(*as_split(x + shift * y[:, None].astype(np.float32), y), 3, "euclidean"))
    assert torch.equal(found[0][y == 0], found[1][y == 0])


def test_cosine_does_not_see_lengths() -> None:
    x, _ = blobs(120)
    y = np.arange(120) % 2
    lengths = np.random.default_rng(0).uniform(0.1, 10, (120, 1)).astype(np.float32)
    found = {}
    for metric in ("cosine", "euclidean"):
        for scale in (1, lengths):
            torch.manual_seed(0)
            found.setdefault(metric, []).append(class_clusters(*as_split(x * scale, y), 4, metric).numpy())
    assert adjusted_rand_score(*found["cosine"]) == 1
    assert adjusted_rand_score(*found["euclidean"]) < 0.9


def test_classes_without_rows_or_with_one_are_no_obstacle() -> None:
    data = Split.of(torch.randn(9, 3), torch.tensor([0] * 8 + [2]), n_classes=4)
    cluster_N = class_clusters(data, Model.linear(torch.nn.Identity(), 3, 4), 8, "euclidean")
    assert cluster_N[:8].max() < 8
    assert cluster_N[8] == 16


def test_the_global_generator_decides_and_moves_by_one_number() -> None:
    data, model = tiny.split(100), tiny.network()
    torch.manual_seed(0)
    first = class_clusters(data, model, 3, "euclidean")
    after = torch.get_rng_state()
    torch.manual_seed(0)
    assert torch.equal(class_clusters(data, model, 3, "euclidean"), first)
    torch.manual_seed(0)
    torch.randint(2**31 - 1, ())
    assert torch.equal(torch.get_rng_state(), after)


# --- features ---


def test_features_are_those_of_eval_mode_in_single_precision() -> None:
    data, model = tiny.split(300, dtype=torch.float64), tiny.network(dtype=torch.float64)
    model.encoder.append(torch.nn.Dropout(0.9))
    model.train()
    features_ND = features_in_memory(data, model, normalise=False)
    assert model.training
    assert features_ND.dtype == np.float32
    model.eval()
    np.testing.assert_allclose(features_ND, model.encoder(data.inputs.x).detach().numpy(), rtol=1e-5, atol=1e-6)
    unit_ND = features_in_memory(data, model, normalise=True)
    np.testing.assert_allclose(np.linalg.norm(unit_ND, axis=1), 1, rtol=1e-5)


def test_features_that_are_not_finite_are_named() -> None:
    x = torch.zeros(300, 2)
    x[200, 1] = torch.nan
    with pytest.raises(RunFailed, match="clusters need finite features, got NaN or infinite ones in rows from 128 on"):
        class_clusters(*as_split(x, torch.arange(300) % 2), 2, "euclidean")


def test_some_rows_are_distinct_and_ordered() -> None:
    rows = some_rows(100, 30, seed=1)
    assert len(rows) == 30
    assert bool((np.diff(rows) > 0).all())
    assert some_rows(20, 30, seed=1).tolist() == list(range(20))
