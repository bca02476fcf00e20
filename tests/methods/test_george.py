from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, silhouette_samples

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods import _strata
from evenhand.methods._strata import Found, keeps, reduced, searched, split_further
from evenhand.methods.erm import ERM
from evenhand.methods.george import George
from evenhand.methods.groupdro import GroupDRO
from evenhand.model import Model


def blobs(k: int, n_rows: int = 240, seed: int = 0, spread: float = 0.3) -> tuple[Any, Any]:
    """Points on a plane around `k` far points, and whose they are."""
    rng = np.random.default_rng(seed)
    label = np.arange(n_rows) % k
    angle = 2 * np.pi * label / k
    points = 10 * np.stack([np.cos(angle), np.sin(angle)], 1) + spread * rng.standard_normal((n_rows, 2))
    return points.astype(np.float32), label


def hidden_strata() -> tuple[Split, Any, Model]:
    """Two classes of three and two strata, which the features show, and a model whose features are the inputs."""
    three, label_3 = blobs(3, 90)
    two, label_2 = blobs(2, 60, seed=1)
    x = torch.from_numpy(np.concatenate([three, two]))
    y = torch.tensor([0] * 90 + [1] * 60)
    return Split.of(x, y), np.concatenate([label_3, 3 + label_2]), Model.linear(torch.nn.Identity(), 2, 2)


def begin(data: Split, model: Model | None = None, **options: Any) -> tuple[George, Any, Any]:
    method, model = George(**options), model or tiny.network(data.n_classes, dtype=data.inputs.x.dtype)
    torch.manual_seed(0)
    return method, model, method.start(data, model, data)


# --- over-clustering ---


@pytest.mark.parametrize(
    ("candidate", "kept"),
    [
        ((0.35, 1.2, 60, 30), True),
        ((0.35, 0.9, 60, 30), False),
        ((0.28, 1.2, 60, 30), False),
        ((0.35, 1.2, 49, 30), False),
        ((0.35, 1.2, 50, 30), True),
        ((0.35, 1.2, 60, 24), False),
    ],
)
def test_what_is_kept_of_the_example(candidate: tuple[float, float, int, int], kept: bool) -> None:
    silhouette, loss, n_train, n_val = candidate
    assert keeps(silhouette, 0.3, loss, 1.0, n_train=n_train, n_val=n_val, n_rows=10_000) is kept


def test_small_data_ask_for_25_rows_and_silhouettes_above_zero() -> None:
    assert keeps(0.1, -0.5, 1.0, 1.0, n_train=25, n_val=25, n_rows=100)
    assert not keeps(0.1, -0.5, 1.0, 1.0, n_train=24, n_val=25, n_rows=100)
    assert not keeps(-0.1, -0.5, 1.0, 1.0, n_train=25, n_val=25, n_rows=100)


def over_clustered(loss: dict[int, float], most: int = 99) -> tuple[Found, Any]:
    """Five blobs found as one cluster, beside a far one: what is made of it, and whose points they are."""
    points, label = blobs(5, 200)
    points = np.concatenate([points, points[:40] + 40])
    label = np.concatenate([label, np.full(40, 5)])
    found = Found((label == 5).astype(np.int64), (label == 5).astype(np.int64), 2)
    loss_M = np.array([loss.get(each, 1.0) for each in label])
    return split_further(found, points, points, loss_M, "kmeans", most=most, seed=0), label


def test_parts_that_are_hard_become_clusters_and_others_go_back() -> None:
    found, label = over_clustered({2: 3.0, 4: 3.0})
    wanted = np.where(np.isin(label, (2, 4, 5)), label, 0)
    assert adjusted_rand_score(wanted, found.train) == 1
    assert found.k == 4
    assert np.array_equal(found.train, found.val)


def test_where_all_parts_are_kept_the_cluster_is_gone() -> None:
    found, label = over_clustered({})
    assert adjusted_rand_score(label, found.train) == 1
    assert set(found.train) == set(range(6))


def test_no_more_clusters_than_there_is_room_for() -> None:
    found, _ = over_clustered({}, most=4)
    assert found.k == 4
    assert set(found.train) == set(range(4))


# --- the search ---


@pytest.mark.parametrize("model", ["gmm", "kmeans"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_number_of_separate_blobs_is_found(model: Any, k: int) -> None:
    points, label = blobs(k)
    found = searched(points, points[:7], model, k=None, max_k=7, seed=0)
    assert found.k == k
    assert adjusted_rand_score(label, found.train) == 1
    assert np.array_equal(found.val, found.train[:7])


def test_of_equal_numbers_the_largest_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_strata, "_mean_of_means", lambda points, label: 0.5)
    points, _ = blobs(3)
    assert searched(points, points[:0], "kmeans", k=None, max_k=6, seed=0).k == 6


def test_scores_are_means_over_clusters_of_mean_silhouettes() -> None:
    points, label = blobs(3, 50, spread=4.0)
    label = np.where(label == 2, 1, label)
    silhouette = silhouette_samples(points.astype(np.float64), label)
    wanted = (silhouette[label == 0].mean() + silhouette[label == 1].mean()) / 2
    assert _strata._mean_of_means(points, label) == pytest.approx(wanted)


@pytest.mark.parametrize("model", ["gmm", "kmeans"])
@pytest.mark.parametrize("n_rows", [0, 1, 2, 3, 5])
def test_tiny_classes_and_equal_rows(model: Any, n_rows: int) -> None:
    for points in (blobs(2, n_rows)[0], np.ones((n_rows, 2), dtype=np.float32)):
        found = searched(points, points, model, k=None, max_k=4, seed=0)
        assert found.train.shape == (n_rows,)
        assert set(found.train) <= set(range(found.k))
        assert set(found.val) <= set(range(found.k))


def test_large_classes_are_fitted_on_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FITTED_ROWS", "SCORED_ROWS", "CHUNK"):
        monkeypatch.setattr(_strata, name, 60)
    points, label = blobs(3, 500)
    assert adjusted_rand_score(label, searched(points, points, "gmm", k=None, max_k=5, seed=0).train) == 1


# --- reductions ---


def test_pca_keeps_what_varies_most() -> None:
    points, label = blobs(3)
    wide = np.hstack([points, 0.01 * np.random.default_rng(0).standard_normal((240, 6))]).astype(np.float32)
    train, val = reduced(wide, wide[:5], "pca", 2, seed=0)
    assert train.shape == (240, 2)
    np.testing.assert_allclose(train[:5], val, rtol=1e-4, atol=1e-4)
    assert adjusted_rand_score(label, searched(train, val, "gmm", k=3, max_k=5, seed=0).train) == 1


@pytest.mark.skipif(importlib.util.find_spec("umap") is not None, reason="umap-learn is installed")
@pytest.mark.parametrize("options", [{"reduction": "umap"}, {"reduction": "hardness", "components": 2}])
def test_umap_is_refused_where_it_is_not_installed(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="reduction=umap of George needs the library umap-learn, which is not installed"):
        begin(tiny.split(), **options)


def test_hardness_is_the_distance_from_the_boundary() -> None:
    data, model = tiny.split(), tiny.network()
    method = George(reduction="hardness", components=1)
    features = model.encoder(data.inputs.x).detach()
    found, _ = method._reduced(features.numpy(), features.numpy()[:0], model, 0)
    normal = model.classifier.weight[1] - model.classifier.weight[0]
    wanted = (features @ normal / normal.norm()).detach()
    np.testing.assert_allclose(found[:, 0], wanted.numpy(), rtol=1e-4, atol=1e-5)
    begin(data, **{"reduction": "hardness", "components": 1})
    with pytest.raises(BadInput, match="reduction=hardness of George is for two classes, got 3"):
        begin(tiny.split(classes=3), reduction="hardness", components=1)


# --- GroupDRO on clusters ---


@pytest.mark.parametrize("clusterer", ["gmm", "kmeans"])
def test_hidden_strata_are_found_and_become_groups(clusterer: Any) -> None:
    data, label, model = hidden_strata()
    _, _, state = begin(data, model, clusterer=clusterer, unit_features=False, max_clusters=5)
    assert adjusted_rand_score(label, state.cluster_N) == 1
    assert torch.equal(state.cluster_N // 5, data.y)
    assert torch.equal(state.over(data).group, state.cluster_N)
    present = torch.bincount(state.cluster_N, minlength=10) > 0
    assert torch.equal(state.dro.weight_G > 0, present)


@pytest.mark.parametrize("options", [{}, {"step_size": 0.5, "adjustment": 2.0}, {"balanced_batches": False}])
def test_it_is_groupdro_where_clusters_are_the_groups(options: dict[str, Any]) -> None:
    data, label, model = hidden_strata()
    method, _, state = begin(data, model, unit_features=False, clusterer="kmeans", **options)
    # The same clusters, as attributes that a group-aware method sees.
    attribute = torch.from_numpy(np.where(label > 2, label - 3, label))
    seen = Split.of(data.inputs.x, data.y, attribute, n_classes=2, attribute_sizes=[3])
    dro = GroupDRO(**{"balanced_batches": True, **options})
    dro_state: Any = dro.start(seen, model)
    for seed in range(3):
        rng = [torch.Generator().manual_seed(seed) for _ in range(2)]
        orders = list(method.batches(data, state, 16, rng[0])), list(dro.batches(seen, dro_state, 16, rng[1]))
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(*orders, strict=True))
        for rows in orders[0]:
            found = method.loss(data.batch(rows), model, state)
            torch.testing.assert_close(found, dro.loss(seen.batch(rows), model, dro_state))
        method.end_epoch(data, model, state)
        dro.end_epoch(seen, model, dro_state)
    assert state.dro.weight_G.sort().values[-5:].tolist() == pytest.approx(
        dro_state.weight_G.sort().values[-5:].tolist(), rel=1e-4
    )


def test_balanced_batches_have_every_cluster_as_often() -> None:
    data, _, model = hidden_strata()
    rare = torch.cat([torch.arange(8), torch.arange(90, 150)])
    data = data.subset(rare)
    method, _, state = begin(data, model, unit_features=False, clusterer="kmeans")
    drawn = torch.cat(
        [r for seed in range(60) for r in method.batches(data, state, 16, torch.Generator().manual_seed(seed))]
    )
    count = torch.bincount(state.cluster_N[drawn])
    share = count[count > 0] / count.sum()
    torch.testing.assert_close(share, torch.full_like(share, 1 / len(share)), atol=0.02, rtol=0)


def test_the_same_seed_finds_the_same_clusters() -> None:
    data = tiny.split(200)
    found = [begin(data, overcluster=True, max_clusters=3)[2].cluster_N for _ in range(2)]
    assert torch.equal(*found)


def test_one_cluster_a_class_is_groupdro_on_classes() -> None:
    data = tiny.split()
    method, model, state = begin(data, clusters=1)
    seen = Split.of(data.inputs.x, torch.zeros(60, dtype=torch.int64), data.y, n_classes=1, attribute_sizes=[2])
    dro = GroupDRO()
    batch = tiny.whole(data)
    wanted = dro.loss(batch._replace(group=data.y), model, dro.start(seen, model))
    torch.testing.assert_close(method.loss(batch, model, state), wanted)


# --- stages ---


def test_it_clusters_a_plain_model_and_begins_anew() -> None:
    first, second = George(erm_epochs=3, erm_keep="best").stages()
    assert (first.method, first.epochs, first.keep, second.restart) == (ERM(), 3, "best", True)
    assert len(George(erm_epochs=0).stages()) == 1


# --- errors ---


def test_parts_are_judged_on_validation() -> None:
    data = tiny.split()
    with pytest.raises(BadInput, match="overcluster of George needs a validation split"):
        George(overcluster=True).start(data, tiny.network())


@pytest.mark.parametrize(
    ("option", "value", "least"),
    [("components", 0, 1), ("max_clusters", 1, 2), ("clusters", 0, 1), ("step_size", -1.0, 0), ("erm_epochs", -1, 0)],
)
def test_options_out_of_range_are_refused(option: str, value: float, least: int) -> None:
    with pytest.raises(BadInput, match=f"{option} of George must be at least {least}, got {value}"):
        George(**{option: value})
