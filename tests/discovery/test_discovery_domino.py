"""The mixture of Domino, against scikit-learn's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hidden_groups import planted
from scipy.special import softmax
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from evenhand.discovery import kinds
from evenhand.discovery.kinds import domino
from evenhand.discovery.kinds._base import Array


def seen(apart: float = 3) -> tuple[domino._Seen, Array]:
    rows, _ = planted(apart=apart)
    start_NS = domino.confusion_start(rows, rows.features.astype(np.float64), 6, 0)
    return domino._Seen(
        rows.features.astype(np.float64), rows.y, softmax(rows.predicted.astype(np.float64), axis=1)
    ), start_NS


def test_without_labels_and_predictions_it_is_a_gaussian_mixture() -> None:
    rows, start_NS = seen()
    ours, share_NS = domino.expectation_maximisation(rows, start_NS, (0.0, 0.0), 40, 0.0)
    first = domino.fitted_to(rows, start_NS, (0.0, 0.0))
    theirs = GaussianMixture(
        6, covariance_type="diag", reg_covar=domino.VARIANCE, tol=0, max_iter=40,
        weights_init=first.share, means_init=first.mean, precisions_init=1 / first.variance,
    )  # fmt: skip
    with pytest.warns(match="did not converge"):
        theirs.fit(rows.z)
    np.testing.assert_allclose(ours.share, theirs.weights_, atol=1e-6)
    np.testing.assert_allclose(ours.mean, theirs.means_, atol=1e-5)
    np.testing.assert_allclose(ours.variance, theirs.covariances_, atol=1e-5)
    np.testing.assert_allclose(softmax(ours.log_joint(rows), axis=1), theirs.predict_proba(rows.z), atol=1e-5)
    assert share_NS.sum(1) == pytest.approx(1)


def test_the_density_is_the_one_that_is_written_down() -> None:
    rows, start_NS = seen()
    mixture = domino.fitted_to(rows, start_NS + 0.01, (2.0, 3.0))
    joint_NS = mixture.log_joint(rows)
    for n in range(0, len(rows.y), 61):
        for s in range(6):
            wanted = np.log(mixture.share[s])
            wanted += norm.logpdf(rows.z[n], mixture.mean[s], np.sqrt(mixture.variance[s])).sum()
            wanted += 2 * np.log(mixture.label[s, rows.y[n]])
            wanted += 3 * sum(rows.probability[n, c] * np.log(mixture.prediction[s, c]) for c in range(2))
            assert joint_NS[n, s] == pytest.approx(wanted, rel=1e-8)


def test_every_step_makes_the_rows_likelier() -> None:
    rows, share_NS = seen(apart=1)
    found = []
    for steps in range(1, 15):
        mixture, _ = domino.expectation_maximisation(rows, share_NS, (10.0, 10.0), steps, 0.0)
        found.append(np.logaddexp.reduce(mixture.log_joint(rows), axis=1).mean())
    assert (np.diff(found) > -1e-6).all()
    assert found[-1] > found[0]


def test_the_axes_are_principal_components() -> None:
    x = np.random.default_rng(0).normal(size=(200, 6)) * np.arange(1, 7)
    ours, theirs = domino.principal(x, 3), PCA(3).fit(x)
    np.testing.assert_allclose(np.abs(ours.of(x)), np.abs(theirs.transform(x)), atol=1e-8)
    assert domino.principal(x[:2], 128).of(x).shape == (200, 2)


def test_components_begin_in_the_cells_of_the_confusion_matrix() -> None:
    rows, _ = planted()
    cell_N = rows.y * 2 + rows.prediction
    start_NS = domino.confusion_start(rows, rows.features.astype(np.float64), 9, 0)
    assert (start_NS.sum(1) == 1).all()
    assert (start_NS.sum(0) > 0).all()
    component_N = start_NS.argmax(1)
    for s in range(9):
        assert len(np.unique(cell_N[component_N == s])) == 1
    few_NS = domino.confusion_start(rows, rows.features.astype(np.float64), 2, 0)
    assert (few_NS.sum(1) == 1).all()


def test_labels_and_predictions_find_errors_that_features_do_not_show() -> None:
    rows, hidden_N = planted(((200, 100), (200, 100)), apart=0)
    options = {"components": 4, "weight_y": 10.0, "weight_prediction": 10.0}
    placed = kinds.make("domino", **options).fit(rows).place(rows)
    wrong = rows.prediction != rows.y
    assert placed.scores["discrepancy"][wrong].min() > 0.5 > placed.scores["discrepancy"][~wrong].max()
    assert placed.scores["group_error"][wrong].min() > 0.9
    assert hidden_N.sum() == 200
