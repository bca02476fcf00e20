"""Features as points on a plane: the same every time, near where they were near, and refused where they are bad."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as of_scikit_learn

from evenhand import projection
from evenhand.errors import BadInput

needs_umap = pytest.mark.skipif(find_spec("umap") is None, reason="the extra evenhand[explain] is not installed")
UMAP = pytest.param("umap", marks=[needs_umap, pytest.mark.slow])  # compiles for ten seconds
KINDS = ["pca", "tsne", UMAP]


def three_clouds(n_rows: int = 60, n_features: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    cloud_N = np.arange(n_rows) % 3
    return rng.normal(size=(n_rows, n_features)) + 12 * np.eye(3, n_features)[cloud_N], cloud_N


@pytest.mark.parametrize("kind", KINDS)
def test_clouds_stay_apart_and_the_same_seed_gives_the_same_points(kind: str) -> None:
    features_ND, cloud_N = three_clouds()
    points_NK = projection.project(features_ND, kind, seed=3)
    assert points_NK.shape == (60, 2)
    assert points_NK.dtype == np.float64
    np.testing.assert_array_equal(points_NK, projection.project(features_ND, kind, seed=3))
    squared_NN = ((points_NK[:, None] - points_NK) ** 2).sum(2) + np.diag(np.full(60, np.inf))
    assert (cloud_N[squared_NN.argmin(1)] == cloud_N).all()


@pytest.mark.parametrize("kind", ["tsne", UMAP])
def test_another_seed_gives_other_points(kind: str) -> None:
    features_ND, _ = three_clouds()
    first, second = (projection.project(features_ND, kind, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("n_rows", "n_features"), [(30, 5), (200, 150)])
def test_principal_components_are_those_of_scikit_learn(n_rows: int, n_features: int) -> None:
    features_ND = np.random.default_rng(0).normal(size=(n_rows, n_features)) * np.linspace(3, 1, n_features) + 100
    expected_NK = PCA(2, svd_solver="full").fit_transform(features_ND)
    np.testing.assert_allclose(np.abs(projection.project(features_ND, "pca")), np.abs(expected_NK), atol=1e-6)


def test_principal_components_have_their_largest_loading_positive() -> None:
    along = np.linspace(-1, 1, 9)
    points_NK = projection.project(np.stack([-3 * along, along], 1), "pca")
    np.testing.assert_allclose(points_NK[:, 0], -np.sqrt(10) * along, atol=1e-12)
    np.testing.assert_allclose(points_NK[:, 1], 0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_rows", [0, 1, 2, 4, 5, 9, 17])
def test_few_rows_are_projected(kind: str, n_rows: int) -> None:
    points_NK = projection.project(np.random.default_rng(0).normal(size=(n_rows, 3)), kind)
    assert points_NK.shape == (n_rows, 2)
    assert np.isfinite(points_NK).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_all_the_same_are_at_the_origin(kind: str) -> None:
    np.testing.assert_array_equal(projection.project(np.full((40, 3), 0.1), kind), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_twice_there_are_projected(kind: str) -> None:
    features_ND = np.repeat(np.random.default_rng(0).normal(size=(2, 3)), 20, axis=0)
    assert np.isfinite(projection.project(features_ND, kind)).all()


def test_more_dimensions_than_features_are_nought() -> None:
    points_NK = projection.project(np.arange(6.0)[:, None], "pca", n_dimensions=3)
    np.testing.assert_array_equal(points_NK[:, 1:], 0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 6), st.sampled_from([1e-30, 1.0, 1e30]), st.integers(0, 99))
def test_principal_components_scale_with_the_features(n_rows: int, n_features: int, scale: float, seed: int) -> None:
    features_ND = np.random.default_rng(seed).normal(size=(n_rows, n_features))
    expected_NK = projection.project(features_ND, "pca")
    np.testing.assert_allclose(projection.project(features_ND * scale, "pca") / scale, expected_NK, atol=1e-7)


def test_half_precision_does_not_overflow() -> None:
    features_ND = np.array([[60000, 0], [-60000, 0], [0, 1]], dtype=np.float16)
    np.testing.assert_allclose(np.ptp(projection.project(features_ND, "pca"), axis=0)[0], 120000, rtol=1e-3)


def test_two_epochs_are_projected_each_on_its_own_and_turned_alike() -> None:
    features_ND, _ = three_clouds(30, 2)
    turned_ND = features_ND @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    first_NK, last_NK = projection.joint(features_ND, turned_ND, "pca")
    np.testing.assert_allclose(first_NK, last_NK, atol=1e-9)
    alone_NK = projection.project(turned_ND, "pca")
    apart = [((points[:, None] - points) ** 2).sum(2) for points in (alone_NK, last_NK)]
    np.testing.assert_allclose(*apart, atol=1e-9)


def test_no_rows_are_two_projections_of_no_rows() -> None:
    assert [len(points) for points in projection.joint(np.zeros((0, 3)), np.zeros((0, 3)), "pca")] == [0, 0]


def test_trust_is_that_of_scikit_learn_and_one_where_nothing_is_lost() -> None:
    features_ND, _ = three_clouds()
    points_NK = projection.project(features_ND, "pca")
    expected = of_scikit_learn(features_ND, points_NK, n_neighbors=10)
    assert projection.trustworthiness(features_ND, points_NK) == pytest.approx(expected)
    assert projection.trustworthiness(points_NK, points_NK) == pytest.approx(1)


def test_trust_with_few_rows() -> None:
    rng = np.random.default_rng(0)
    assert np.isnan(projection.trustworthiness(rng.normal(size=(2, 3)), rng.normal(size=(2, 2))))
    assert 0 <= projection.trustworthiness(rng.normal(size=(3, 3)), rng.normal(size=(3, 2))) <= 1


def test_purity_is_that_of_a_slow_loop() -> None:
    rng = np.random.default_rng(1)
    features_ND, kind_N = rng.normal(size=(40, 3)), rng.integers(0, 3, 40) * 5
    shares: dict[int, list[float]] = {}
    for row in range(40):
        others = [other for other in range(40) if other != row]
        others.sort(key=lambda other: float(((features_ND[row] - features_ND[other]) ** 2).sum()))
        shares.setdefault(kind_N[row], []).append(
            float(np.mean([kind_N[row] == kind_N[other] for other in others[:7]]))
        )
    expected = np.mean([np.mean(each) for each in shares.values()])
    assert projection.purity(features_ND, kind_N, n_neighbors=7) == pytest.approx(expected)


def test_purity_is_one_where_kinds_are_apart_and_chance_where_all_are_neighbours() -> None:
    features_ND, cloud_N = three_clouds()
    assert projection.purity(features_ND, cloud_N) == 1
    uneven_N = np.array([0] * 9 + [1])
    assert projection.chance(uneven_N) == pytest.approx((8 / 9 + 0) / 2)
    assert projection.purity(np.random.default_rng(0).normal(size=(10, 2)), uneven_N, n_neighbors=50) == pytest.approx(
        projection.chance(uneven_N)
    )
    assert np.isnan(projection.purity(np.zeros((1, 2)), np.zeros(1)))
    assert np.isnan(projection.chance(np.zeros(1)))


def test_what_cannot_be_projected_is_refused() -> None:
    good_ND = np.zeros((6, 2))
    bad_ND = good_ND.copy()
    bad_ND[4, 1] = np.nan
    with pytest.raises(BadInput, match="1 of 6 rows are not, the first is row 4"):
        projection.project(bad_ND)
    with pytest.raises(BadInput, match=r"table \(N, D\), got float64 of shape \(6,\)"):
        projection.project(good_ND[:, 0])
    with pytest.raises(BadInput, match="did you mean 'umap'"):
        projection.project(good_ND, "umab")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="at least 1 dimension, got 0"):
        projection.project(good_ND, n_dimensions=0)
    with pytest.raises(BadInput, match="got 6 and 5"):
        projection.joint(good_ND, good_ND[:5])
    with pytest.raises(BadInput, match="6 rows of features and 5 kinds"):
        projection.purity(good_ND, np.zeros(5))
    with pytest.raises(BadInput, match="6 rows of features and 5 points"):
        projection.trustworthiness(good_ND, good_ND[:5])


def test_without_umap_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(BadInput, match=r"evenhand\[explain\]"):
        projection.project(three_clouds()[0], "umap")
