"""NC1: every variant against values computed by hand, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made import GROUPED, clouds, example, grouped, moments, rotation, simplex, two_passes, unbalanced
from numpy.testing import assert_allclose

from evenhand.collapse import variability
from evenhand.errors import BadInput

EXACT = {"atol": 1e-6, "rtol": 0}


@pytest.mark.parametrize(
    ("centre", "per_class", "balanced", "other"),
    [
        ("classes", False, 0.287582, 0.292388),
        ("rows", False, 0.287582, 0.273645),
        ("classes", True, 0.095861, 0.097463),
        ("rows", True, 0.095861, 0.091215),
    ],
)
def test_papyan(centre: str, per_class: bool, balanced: float, other: float) -> None:
    assert_allclose(variability.papyan(example(), centre=centre, per_class=per_class), balanced, **EXACT)
    assert_allclose(variability.papyan(unbalanced(), centre=centre, per_class=per_class), other, **EXACT)


@pytest.mark.parametrize(("classes", "dimensions"), [(4, 9), (9, 4), (5, 5), (6, 5), (2, 1)])
@pytest.mark.parametrize("centre", ["classes", "rows"])
def test_papyan_is_the_pseudo_inverse_written_out(classes: int, dimensions: int, centre: str) -> None:
    features, y, group = clouds(400, dimensions, classes, 2, offset=30)
    mean_CD, scatter_CDD, _ = two_passes(features, y, classes)
    middle_D = features.mean(0) if centre == "rows" else mean_CD.mean(0)
    between_DD = (mean_CD - middle_D).T @ (mean_CD - middle_D) / classes
    wanted = np.trace(scatter_CDD.sum(0) / 400 @ np.linalg.pinv(between_DD, rcond=1e-10, hermitian=True)) / classes
    found = moments(features, y, group, attributes=2)
    assert_allclose(variability.papyan(found, centre=centre), wanted, rtol=1e-7)


def test_quotient() -> None:
    for centre, balanced, other in (("classes", 0.204545, 0.204545), ("rows", 0.204545, 0.191235)):
        assert_allclose(variability.quotient(example(), centre=centre), balanced, **EXACT)
        assert_allclose(variability.quotient(unbalanced(), centre=centre), other, **EXACT)


def test_cdnv() -> None:
    for one in (example(), unbalanced()):
        assert_allclose(variability.cdnv(one.classes()), 0.069801, **EXACT)
    pair_CC = variability.cdnv_pairs(example().classes())
    assert_allclose(pair_CC[0, 2], (1 + 1) / (2 * 13), **EXACT)
    assert pair_CC.diagonal().isnan().all()
    assert torch.equal(pair_CC.nan_to_num(), pair_CC.T.nan_to_num())


def test_variance_of_groups() -> None:
    groups = grouped().groups()
    assert variability.variance(groups).tolist() == [1, 1, 1, 1]
    assert variability.variance(groups, unbiased=True).tolist() == [2, 2, 2, 2]
    assert_allclose(variability.variance(grouped().everything()), [3.4375], **EXACT)
    assert_allclose(variability.variance(grouped().everything(), unbiased=True), [3.928571], **EXACT)
    assert_allclose(variability.variance_share(grouped(), unbiased=True), [2 / 3.928571] * 4, **EXACT)


def test_variance_of_one_row_and_of_none() -> None:
    found = moments(np.array([[1.0, 2]]), np.array([0]), classes=2).classes()
    np.testing.assert_equal(variability.variance(found).numpy(), [0, np.nan])
    np.testing.assert_equal(variability.variance(found, unbiased=True).numpy(), [np.nan, np.nan])


def test_variance_norm_is_of_the_vector_of_variances() -> None:
    features, y, _ = clouds(200, 6, 3)
    wanted = [np.linalg.norm(features[y == c].var(0)) for c in range(3)]
    assert_allclose(variability.variance_norm(moments(features, y).classes()), wanted, rtol=1e-10)


def test_norms_of_features() -> None:
    features, y, group = clouds(200, 6, 3, 2)
    length_N = np.linalg.norm(features, axis=1)
    classes = moments(features, y, group, attributes=2).classes()
    assert_allclose(classes.norm_K, [length_N[y == c].mean() for c in range(3)], rtol=1e-10)
    assert_allclose(variability.norm_spread(classes), [length_N[y == c].std() for c in range(3)], rtol=1e-8)


def test_squared_distance_to_the_mean_of_the_class() -> None:
    # (2,0) (4,0) (1,1) (1,3) about (2,1), and (0,2) (0,4) (1,2) (3,2) about (1,2.5).
    apart_N = (GROUPED - torch.tensor([[2.0, 1]] * 4 + [[1.0, 2.5]] * 4)).square().sum(1).view(2, 2, 2)
    found_A = variability.squared_distance(grouped())
    assert_allclose(found_A, apart_N.mean((0, 2)), **EXACT)
    assert_allclose(found_A.mean(), 2.625, **EXACT)


def test_squared_distance_without_rows_of_an_attribute_value() -> None:
    found = moments(np.eye(2), np.array([0, 0]), np.array([0, 0]), classes=2, attributes=2)
    np.testing.assert_equal(variability.squared_distance(found).numpy(), [0.5, np.nan])


def test_a_collapsed_network_has_no_variability() -> None:
    y = np.arange(40) % 4
    found = moments(simplex(4, 7)[y], y)
    assert variability.papyan(found) == 0
    assert variability.quotient(found) == 0
    assert variability.cdnv(found.classes()) == 0


@pytest.mark.parametrize("apart", [1.0, 1e5])
def test_almost_collapsed_float32_features_keep_their_digits(apart: float) -> None:
    """Within-class variance is what is left of a total that is larger by ten digits."""
    features, y, _ = clouds(3000, 6, 3, apart=apart)
    features = features.astype(np.float32)
    mean_CD, scatter_CDD, _ = two_passes(features, y, 3)
    between = np.square(mean_CD - mean_CD.mean(0)).sum() / 3
    wanted = np.trace(scatter_CDD.sum(0)) / 3000 / between
    assert_allclose(variability.quotient(moments(features, y)), wanted, rtol=1e-6)


@pytest.mark.parametrize("measure", [variability.papyan, variability.quotient, lambda m: variability.cdnv(m.classes())])
def test_turning_scaling_moving_and_renaming_change_nothing(measure) -> None:
    features, y, _ = clouds(300, 6, 4)
    plain = measure(moments(features, y))
    turned = features @ rotation(6).numpy() * 7 + 20
    order = np.random.default_rng(0).permutation(300)
    assert_allclose(measure(moments(turned, y)), plain, rtol=1e-8)
    assert_allclose(measure(moments(features[order], y[order])), plain, rtol=1e-8)
    assert_allclose(measure(moments(features, np.array([2, 3, 1, 0])[y])), plain, rtol=1e-8)
    assert_allclose(measure(moments(features, y, classes=6)), plain, rtol=1e-8)  # two classes without rows


def test_classes_that_coincide_and_a_single_class() -> None:
    features = np.array([[0.0, 1], [0, -1], [1, 0], [-1, 0]])
    same = moments(features, np.array([0, 0, 1, 1]))
    assert np.isnan(variability.papyan(same))
    assert variability.quotient(same) == np.inf
    assert variability.cdnv(same.classes()) == np.inf
    one = moments(features, np.array([0, 0, 0, 0]))
    assert np.isnan([variability.papyan(one), variability.quotient(one), variability.cdnv(one.classes())]).all()


def test_two_of_three_classes_coincide() -> None:
    features, y, _ = clouds(400, 5, 3)
    for c in range(3):
        features[y == c] -= features[y == c].mean(0)
    features[y == 2] += np.arange(5)
    mean_CD, scatter_CDD, _ = two_passes(features, y, 3)
    away_D = np.arange(5) / np.linalg.norm(np.arange(5))  # the only direction in which means differ
    between = np.square((mean_CD - mean_CD.mean(0)) @ away_D).mean()
    wanted = away_D @ (scatter_CDD.sum(0) / 400) @ away_D / between / 3
    assert_allclose(variability.papyan(moments(features, y)), wanted, rtol=1e-7)


def test_the_matrix_is_asked_for() -> None:
    with pytest.raises(BadInput, match="full=True"):
        variability.papyan(moments(np.eye(3), np.arange(3), full=False))
