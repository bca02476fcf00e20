"""Moments are those of two passes in float64, whatever the offset, the order and the pieces."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import clouds, moments, two_passes

from evenhand.collapse import Moments
from evenhand.collapse._gram import exactly
from evenhand.errors import BadInput

CLASSES, ATTRIBUTES = 3, 2
N_GROUPS = CLASSES * ATTRIBUTES


def in_pieces(features, y, group, size, *, dtype=np.float32, **options) -> Moments:
    found = Moments(features.shape[1], CLASSES, ATTRIBUTES, full=True, **options)
    for begin in range(0, len(y), size):
        rows = slice(begin, begin + size)
        found.update(features[rows].astype(dtype), y[rows], group[rows])
    return found


def assert_same(found: Moments, other: Moments, tolerance: float = 1e-9) -> None:
    assert torch.equal(found.count_G, other.count_G)
    for mine, theirs in zip(found.groups(), other.groups(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)
    torch.testing.assert_close(found.class_scatter_DD(), other.class_scatter_DD(), rtol=tolerance, atol=tolerance)


def assert_is_two_passes(found: Moments, features, y, group, tolerance: float) -> None:
    """Relative to spread, not to the mean: errors in means are of rows' distance from them."""
    for cells, cell_N, size in ((found.groups(), group, N_GROUPS), (found.classes(), y, CLASSES)):
        mean_KD, scatter_KDD, norm_K = two_passes(features, cell_N, size)
        np.testing.assert_allclose(cells.mean_KD, mean_KD, rtol=0, atol=tolerance)
        np.testing.assert_allclose(cells.spread_KD, scatter_KDD.diagonal(axis1=1, axis2=2), rtol=tolerance)
        np.testing.assert_allclose(cells.norm_K, norm_K, rtol=1e-6)
    within_DD = np.nansum(two_passes(features, y, CLASSES)[1], axis=0)
    length_D = np.sqrt(within_DD.diagonal())
    error_DD = (found.class_scatter_DD().numpy(force=True) - within_DD) / np.outer(length_D, length_D)
    assert np.abs(error_DD).max() < tolerance


@pytest.mark.parametrize(
    ("offset", "apart"), [(0, 1), (1000, 1), (-1e5, 1), (0, 1000), (1000, 1000)], ids=lambda value: f"{value:g}"
)
def test_float32_features_give_what_two_passes_in_float64_give(offset: float, apart: float) -> None:
    features, y, group = clouds(6000, 11, CLASSES, ATTRIBUTES, offset=offset, apart=apart)
    features = features.astype(np.float32)
    assert_is_two_passes(in_pieces(features, y, group, 1700), features, y, group, 1e-6)


def test_float64_features_are_more_exact() -> None:
    features, y, group = clouds(3000, 6, CLASSES, ATTRIBUTES, offset=1e6)
    assert_is_two_passes(in_pieces(features, y, group, 700, dtype=np.float64), features, y, group, 1e-9)


def test_rows_sorted_by_group_drifting_and_beginning_with_outliers() -> None:
    features, y, group = clouds(4000, 5, CLASSES, ATTRIBUTES, offset=100)
    order = np.argsort(group, kind="stable")
    features, y, group = features[order].astype(np.float32), y[order], group[order]
    features += np.linspace(0, 1000, len(features), dtype=np.float32)[:, None]
    for g in range(N_GROUPS):
        features[np.flatnonzero(group == g)[0]] += 1e4
    found = in_pieces(features, y, group, 900)
    mean_GD, scatter_GDD, _ = two_passes(features, group, N_GROUPS)
    spread_GD = scatter_GDD.diagonal(axis1=1, axis2=2)
    np.testing.assert_allclose(found.groups().spread_KD, spread_GD, rtol=1e-6)
    np.testing.assert_allclose(found.groups().mean_KD, mean_GD, rtol=1e-7)


def test_more_dimensions_than_one_block_of_the_product_and_than_rows() -> None:
    features, y, group = clouds(90, 530, CLASSES, ATTRIBUTES)
    assert_is_two_passes(in_pieces(features, y, group, 40), features.astype(np.float32), y, group, 1e-6)


def test_a_large_group_of_many_rows_is_as_exact() -> None:
    features = np.random.default_rng(0).normal(size=(60_000, 3)).astype(np.float32) + 500
    found = moments(features, np.zeros(60_000, dtype=int))
    np.testing.assert_allclose(found.groups().spread_KD[0], features.astype(float).var(0) * 60_000, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, N_GROUPS - 1), st.integers(0, 2)), max_size=40),
    st.integers(0, 1000),
    st.sampled_from([0.0, 1e3]),
)
def test_merging_shards_is_a_pass_over_all_rows(rows: list[tuple[int, int]], seed: int, offset: float) -> None:
    group = np.array([g for g, _ in rows], dtype=int)
    shard = np.array([s for _, s in rows], dtype=int)
    features = offset + np.random.default_rng(seed).normal(size=(len(rows), 4))
    parts = [
        in_pieces(features[own], group[own] // 2, group[own], 7, dtype=np.float64)
        for own in (shard == s for s in range(3))
    ]
    whole = in_pieces(features, group // 2, group, 50, dtype=np.float64)
    left, right = parts[0].merge(parts[1]).merge(parts[2]), parts[0].merge(parts[1].merge(parts[2]))
    assert_same(left, right)
    assert_same(left, whole)
    assert_same(parts[0].merge(parts[1]), parts[1].merge(parts[0]))


def test_merging_changes_neither_and_nothing_is_neutral() -> None:
    features, y, group = clouds(50, 4, CLASSES, ATTRIBUTES)
    found, empty = in_pieces(features, y, group, 20), Moments(4, CLASSES, ATTRIBUTES, full=True)
    before = pickle.loads(pickle.dumps(found))
    assert_same(found.merge(empty), before)
    assert_same(empty.merge(found), before)
    assert_same(found, before)
    assert empty.count_G.sum() == 0


def test_the_order_of_rows_does_not_matter() -> None:
    features, y, group = clouds(300, 4, CLASSES, ATTRIBUTES)
    order = np.random.default_rng(1).permutation(300)
    assert_same(in_pieces(features, y, group, 300), in_pieces(features[order], y[order], group[order], 64), 1e-5)


def test_groups_without_rows_are_nan_and_of_one_row_have_no_spread() -> None:
    found = moments(np.array([[1.0, 2]]), np.array([1]), np.array([3]), classes=3, attributes=2)
    groups, classes = found.groups(), found.classes()
    assert groups.count_K.tolist() == [0, 0, 0, 1, 0, 0]
    assert classes.count_K.tolist() == [0, 1, 0]
    assert groups.mean_KD.isnan().any(1).tolist() == [True, True, True, False, True, True]
    for cells, place in ((groups, 3), (classes, 1), (found.everything(), 0)):
        assert cells.mean_KD[place].tolist() == [1, 2]
        assert cells.spread_KD[place].tolist() == [0, 0]
        assert cells.norm_K[place] == pytest.approx(5**0.5)
    assert found.class_scatter_DD().abs().max() == 0


def test_constant_features_have_exactly_no_spread() -> None:
    features = np.full((5000, 7), 0.1, dtype=np.float32)
    group = np.random.default_rng(0).integers(0, 6, 5000)
    found = in_pieces(features, group // 2, group, 1000)
    assert found.everything().spread_KD.abs().max() == 0
    assert found.class_scatter_DD().abs().max() == 0


def test_no_rows_at_all() -> None:
    found = moments(np.empty((0, 3)), np.empty(0), classes=2)
    assert found.count_G.tolist() == [0, 0]
    assert found.everything().mean_KD.isnan().all()


@pytest.mark.parametrize("dtype", [np.float16, np.int32, ">f4"])
def test_other_dtypes(dtype: str) -> None:
    features = np.arange(12).reshape(6, 2).astype(dtype)[::-1]
    found = moments(features, np.array([0, 0, 0, 1, 1, 1]))
    assert found.classes().mean_KD.tolist() == [[8, 9], [2, 3]]


def test_a_read_only_memory_map_and_tensors_that_train(tmp_path) -> None:
    features, y, _ = clouds(100, 4, CLASSES)
    np.save(tmp_path / "x.npy", features.astype(np.float32))
    mapped = moments(np.load(tmp_path / "x.npy", mmap_mode="r"), y)
    trained = moments(torch.tensor(features, dtype=torch.float32, requires_grad=True), torch.tensor(y))
    assert_same(mapped, trained)
    assert not trained.groups().mean_KD.requires_grad


def test_bfloat16_of_a_model_and_lower_precision_of_products() -> None:
    features, y, _ = clouds(100, 4, CLASSES)
    half = torch.tensor(features).bfloat16()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert_same(moments(half, y), moments(half.float(), y))
        with exactly():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features_ND": np.zeros((4, 3))}, r"features must have shape \[N, 2\], got \[4, 3\]"),
        ({"features_ND": np.zeros(4)}, r"features must have shape \[N, 2\], got \[4\]"),
        ({"features_ND": np.zeros((4, 2), dtype=bool)}, "real numbers, got torch.bool"),
        ({"features_ND": np.array([[0, 0], [0, np.nan], [0, 0], [0, 0]])}, "finite, but row 1 has length nan"),
        ({"features_ND": np.array([[0, 0], [0, 0], [0, np.inf], [0, 0]])}, "finite, but row 2 has length inf"),
        ({"y_N": np.array([0, 0, 1])}, "y must have one index for each of 4 rows"),
        ({"y_N": np.array([0, 0, 1, 2])}, "y must be in 0..1, got 2 in row 3"),
        ({"y_N": np.array([0.0, 0, 1, 1])}, "y must be integer"),
        ({"group_N": np.array([0, -1, 2, 3])}, "group must be in 0..3, got -1 in row 1"),
        ({"group_N": np.array([0, 2, 2, 3])}, r"y \* 2 \+ attribute, got y 0 and group 2 in row 1"),
        ({"group_N": None}, "groups are needed"),
    ],
)
def test_what_cannot_be_used_is_said(change: dict, message: str) -> None:
    rows = {"features_ND": np.zeros((4, 2)), "y_N": np.array([0, 0, 1, 1]), "group_N": np.array([0, 1, 2, 3])}
    with pytest.raises(BadInput, match=message):
        Moments(2, 2, 2).update(**(rows | change))


def test_what_does_not_fit_together_is_said() -> None:
    with pytest.raises(BadInput, match="n_classes must be at least 1, got 0"):
        Moments(3, 0)
    with pytest.raises(BadInput, match="one shape"):
        Moments(3, 2).merge(Moments(3, 3))
    with pytest.raises(BadInput, match="full=True"):
        Moments(3, 2).class_scatter_DD()
    with pytest.raises(BadInput, match="centre"):
        Moments(3, 2).classes().centre_D("median")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_is_the_same() -> None:
    features, y, group = clouds(5000, 70, CLASSES, ATTRIBUTES, offset=100)
    found = in_pieces(features, y, group, 2000, device="cuda")
    assert found.count_G.is_cuda
    assert_is_two_passes(found, features.astype(np.float32), y, group, 1e-6)
    assert_same(Moments(70, CLASSES, ATTRIBUTES, full=True).merge(found), in_pieces(features, y, group, 2000), 1e-5)
