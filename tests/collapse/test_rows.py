"""NC4 and distances to class means: what takes a second pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made import CLASSIFIER, FEATURES, GROUPED, GROUPS, LABELS, clouds, example, grouped, moments, simplex

from evenhand.collapse import Classifier, RowPass, measure
from evenhand.collapse.variability import papyan
from evenhand.errors import BadInput


def second_pass(found, features, y, group=None, classifier=None) -> RowPass:
    rows = RowPass(found, classifier, frame=True)
    rows.update(features, y, group)
    return rows


def test_the_running_example() -> None:
    rows = second_pass(example(), FEATURES, LABELS, classifier=CLASSIFIER)
    assert rows.mismatch().item() == pytest.approx(1 / 6)
    assert rows.agreement_without_bias().item() == 1
    assert rows.distance().item() == pytest.approx(1)
    assert rows.accuracy("class").tolist() == [1, 1, 0.5]
    assert rows.mismatch("class").tolist() == pytest.approx([0, 0, 0.5])


def test_distances_per_attribute_value() -> None:
    rows = second_pass(grouped(), GROUPED, GROUPS // 2, GROUPS)
    assert rows.distance("attribute").tolist() == pytest.approx([1.539219, 1.449405], abs=1e-6)
    assert rows.distance().item() == pytest.approx(1.494312, abs=1e-6)
    assert rows.distance("attribute").sum().item() == pytest.approx(2.988625, abs=1e-6)


@pytest.mark.parametrize(("offset", "apart"), [(0, 0.5), (1000, 0.5), (0, 1000)])
def test_against_one_row_at_a_time(offset: float, apart: float) -> None:
    features, y, group = clouds(500, 6, 4, 2, offset=offset, apart=apart)
    features = features.astype(np.float32)
    rng = np.random.default_rng(3)
    weight_CD, bias_C = rng.normal(size=(4, 6)), rng.normal(size=4)
    found = moments(features, y, group, attributes=2)
    rows = second_pass(found, features, y, group, Classifier.of(weight_CD, bias_C))
    mean_CD = np.stack([features[y == c].astype(float).mean(0) for c in range(4)])
    away_NC = np.linalg.norm(features[:, None].astype(float) - mean_CD, axis=2)
    plain_NC = features @ weight_CD.T
    nearest, plain, network = away_NC.argmin(1), plain_NC.argmax(1), (plain_NC + bias_C).argmax(1)
    for g in range(8):
        own = group == g
        assert rows.distance("group")[g] == pytest.approx(away_NC[own, y[own]].mean(), rel=1e-5)
        assert rows.mismatch("group")[g] == pytest.approx((nearest != network)[own].mean())
        assert rows.agreement_without_bias("group")[g] == pytest.approx((nearest == plain)[own].mean())
        assert rows.accuracy("group")[g] == pytest.approx((network == y)[own].mean())
        assert rows.nearest_accuracy("group")[g] == pytest.approx((nearest == y)[own].mean())


def test_features_that_are_far_away_and_close_together() -> None:
    features, y, _ = clouds(400, 6, 3)
    features = (features * 1e-3 + 1000.3).astype(np.float32)
    mean_CD = np.stack([features[y == c].astype(float).mean(0) for c in range(3)])
    away_NC = np.linalg.norm(features[:, None].astype(float) - mean_CD, axis=2)
    rows = second_pass(moments(features, y), features, y)
    assert rows.distance().item() == pytest.approx(away_NC[np.arange(400), y].mean(), rel=1e-5)
    assert rows.nearest_accuracy().item() == (away_NC.argmin(1) == y).mean()


def test_a_collapsed_network_decides_by_the_nearest_mean() -> None:
    y = np.arange(40) % 4
    features = simplex(4, 7)[y]
    rows = second_pass(moments(features, y), features, y, classifier=Classifier.of(3 * simplex(4, 7)))
    assert (rows.mismatch().item(), rows.agreement_without_bias().item()) == (0, 1)
    assert rows.distance().item() == pytest.approx(0, abs=1e-6)
    assert (rows.frame_accuracy().item(), rows.frame_agreement().item()) == (1, 1)


def test_rows_of_another_split_keep_the_means_of_training() -> None:
    found = example()
    rows = second_pass(found, FEATURES + 1, LABELS)
    before = rows.distance().item()
    found.update(FEATURES + 1, LABELS)
    assert before == pytest.approx((FEATURES + 1 - example().classes().mean_KD[LABELS]).norm(dim=1).mean().item())
    assert second_pass(found, FEATURES + 1, LABELS).distance().item() < before


def test_pieces_and_merged_shards_are_the_whole() -> None:
    features, y, group = clouds(300, 5, 3, 2)
    found, classifier = moments(features, y, group, attributes=2), Classifier.of(np.eye(3, 5))
    whole = second_pass(found, features, y, group, classifier)
    parts = [second_pass(found, features[s::3], y[s::3], group[s::3], classifier) for s in range(3)]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    for name in ("distance", "mismatch", "agreement_without_bias", "frame_accuracy", "frame_agreement"):
        torch.testing.assert_close(getattr(merged, name)("group"), getattr(whole, name)("group"))
    assert parts[0].accuracy().item() == pytest.approx((features[::3, :3].argmax(1) == y[::3]).mean())


def test_groups_and_classes_without_rows() -> None:
    features = np.array([[0.0, 0], [0, 1], [5, 5], [5, 6]])
    y, group = np.array([0, 0, 2, 2]), np.array([0, 0, 4, 5])
    found = moments(features, y, group, classes=3, attributes=2)
    rows = second_pass(found, features, y, group, Classifier.of(np.ones((3, 2))))
    assert rows.nearest_accuracy("group").isnan().tolist() == [False, True, True, True, False, False]
    assert rows.nearest_accuracy().item() == 1
    assert rows.frame_accuracy().item() == 1
    between = second_pass(found, np.array([[2.4, 3.0]]), np.array([0]), np.array([0]))
    assert between.nearest_accuracy().item() == 1  # at the centre, but the class without rows is not there
    nothing = RowPass(found)
    assert nothing.distance().isnan().all()


def test_what_cannot_be_said_is_nan() -> None:
    features = np.random.default_rng(0).normal(size=(40, 2))
    y = np.arange(40) % 8
    rows = second_pass(moments(features, y), features, y)
    assert rows.mismatch("class").isnan().all()
    assert rows.accuracy().isnan().all()
    assert rows.frame_accuracy().isnan().all()  # 8 classes have no simplex in 2 dimensions
    assert rows.nearest_accuracy().isfinite().all()
    assert RowPass(example(), CLASSIFIER).frame_accuracy().isnan().all()  # not asked for


def test_what_does_not_fit_is_said() -> None:
    rows = RowPass(example(), CLASSIFIER)
    with pytest.raises(BadInput, match="per must be"):
        rows.mismatch("row")
    with pytest.raises(BadInput, match="same class means"):
        rows.merge(RowPass(moments(FEATURES + 1, LABELS, classes=3), CLASSIFIER))
    with pytest.raises(BadInput, match="same class means"):
        rows.merge(RowPass(example()))
    with pytest.raises(BadInput, match="same class means"):
        rows.merge(RowPass(example(), CLASSIFIER._replace(bias_C=CLASSIFIER.bias_C + 1)))
    with pytest.raises(BadInput, match="same class means"):
        rows.merge(RowPass(example(), CLASSIFIER, frame=True))
    with pytest.raises(BadInput, match=r"features must have shape \[N, 3\]"):
        rows.update(np.zeros((2, 2)), np.zeros(2, dtype=int))


@pytest.mark.parametrize(("offset", "apart", "spread"), [(0, 1, 1), (1000, 1, 1), (0, 1000, 1), (5, 1, 1e-3)])
@pytest.mark.parametrize(("dimensions", "classes"), [(12, 4), (3, 9)])
def test_scatter_where_class_means_differ_is_that_of_the_whole_matrix(
    offset: float, apart: float, spread: float, dimensions: int, classes: int
) -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(0, classes, 3000)
    means = offset + apart * rng.normal(size=(classes, dimensions))
    features = (means[y] + spread * rng.normal(size=(3000, dimensions)) * rng.uniform(0.2, 3, dimensions)).astype("f4")
    found = moments(features, y, full=False)
    rows = RowPass(found)
    for part in np.array_split(np.arange(3000), 7):
        rows.update(features[part], y[part])
    exact = moments(features.astype(np.float64), y)
    for centre in ("classes", "rows"):
        assert papyan(found, rows=rows, centre=centre) == pytest.approx(papyan(exact, centre=centre), rel=1e-5)
    assert measure(found, rows=rows)["nc1_papyan"] == pytest.approx(measure(exact)["nc1_papyan"], rel=1e-5)


def test_merged_passes_have_the_scatter_of_both_and_other_rows_have_none_of_the_moments() -> None:
    features, y, group = clouds(400, 6, 3, 2)
    found = moments(features, y, group, attributes=2, full=False)
    halves = [RowPass(found), RowPass(found)]
    for half, part in zip(halves, (slice(0, 150), slice(150, 400)), strict=True):
        half.update(features[part], y[part], group[part])
    exact = moments(features, y, group, attributes=2)
    assert papyan(found, rows=halves[0].merge(halves[1])) == pytest.approx(papyan(exact), rel=1e-9)
    assert "nc1_papyan" not in measure(found, rows=halves[0])
    assert "nc1_papyan" in measure(found, rows=halves[0].merge(halves[1]))
