"""What the statistics of the bootstrap accept."""

import numpy as np
import pytest

from evenhand.errors import BadInput
from evenhand.metrics import AUC, AveragePrecision, CalibrationGaps, Mean, Tally, Together, bootstrap


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AUC([0.1, np.nan], [0, 1]), "score must not be NaN, got NaN in row 1"),
        (lambda: AveragePrecision([0.1, 0.2], [1, 2]), "y must be 0 or 1, got 2"),
        (lambda: AUC([0.1, 0.2], [1]), "y must have one entry for each of 2 rows"),
        (lambda: Mean([0.1, np.nan]), "value must not be NaN"),
        (lambda: CalibrationGaps([0.1, 1.1], [0, 1]), r"probabilities in \[0, 1\], got 1.1 in row 1"),
        (lambda: CalibrationGaps([0.1, 1], [0, 1], 0), "bins must be at least 1, got 0"),
        (lambda: Tally([0, 4], 4), r"cell must be in 0..3, got 4 in row 1"),
        (lambda: Together((Mean([1]), Mean([1, 2]))), r"must have the same rows, got \[1, 2\]"),
        (lambda: Together(()), r"must have the same rows, got \[\]"),
    ],
)
def test_bad_columns_are_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def test_labels_of_any_type_mean_the_same():
    rng = np.random.default_rng(0)
    p, y, group = rng.random(60), rng.random(60) < 0.5, rng.integers(0, 3, 60)
    expected = bootstrap(AUC(p, y), group, 3, replicates=10).replicates
    for other in (y.astype(int), y.astype(float), y.tolist()):
        np.testing.assert_array_equal(bootstrap(AUC(p, other), group, 3, replicates=10).replicates, expected)
