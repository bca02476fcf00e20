"""An audit in memory against Fairlearn's MetricFrame: count, accuracy, selection rate, TPR, FPR by two crossed columns.

The audit gives all its other figures, marginal groups and intervals in that time as well. Both are measured in this
process; what they find is compared. Fairlearn's bootstrap is measured on fewer rows and resamples, as named.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import fairlearn.metrics as fair
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from evenhand.auditing import audit

TARGET, TARGET_BOOTSTRAP = 100, 500
METRICS = {
    "count": fair.count,
    "accuracy": accuracy_score,
    "selection_rate": fair.selection_rate,
    "true_positive_rate": fair.true_positive_rate,
    "false_positive_rate": fair.false_positive_rate,
}
Table = dict[str, NDArray[Any]]


def rows(n: int) -> Table:
    """Random rows: two columns of texts, labels and predictions."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    return {
        "y": y,
        "p": np.where(rng.random(n) < 0.8, y, 1 - y),
        "sex": rng.choice(["F", "M"], n),
        "race": rng.choice(["asian", "black", "other", "white"], n),
    }


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """The fastest of a few calls."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def fairlearn(table: Table, **options: Any) -> fair.MetricFrame:
    features = {"sex": table["sex"], "race": table["race"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fair.MetricFrame(
            metrics=METRICS, y_true=table["y"], y_pred=table["p"], sensitive_features=features, **options
        )


def ours(table: Table) -> Any:
    return audit(table, label="y", prediction="p", group=["sex", "race"])


def check(table: Table) -> None:
    """Both must find the same."""
    frame = fairlearn(table).by_group
    for group in ours(table).record["groups"]:
        for name in METRICS:
            assert np.isclose(group[name], frame.loc[tuple(group["group"].values()), name]), (group["group"], name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bootstrap-rows", type=int, default=100_000)
    parser.add_argument("--resamples", type=int, default=20)
    options = parser.parse_args()
    table, few = rows(options.rows), rows(options.bootstrap_rows)
    check(few)
    mine, theirs = seconds(lambda: ours(table), 5), seconds(lambda: fairlearn(table), 1)
    print(f"{options.rows:,} rows: evenhand {mine:.3f} s, MetricFrame {theirs:.2f} s, {theirs / mine:.0f}x", end=" ")
    print(f"(wanted {TARGET}x)")
    mine = seconds(lambda: ours(few), 5)
    theirs = seconds(lambda: fairlearn(few, n_boot=options.resamples, ci_quantiles=[0.025, 0.975]), 1)
    print(f"{options.bootstrap_rows:,} rows with intervals: evenhand {mine:.3f} s, MetricFrame with", end=" ")
    print(f"{options.resamples} resamples {theirs:.2f} s, {theirs / mine:.0f}x (wanted {TARGET_BOOTSTRAP}x)")


if __name__ == "__main__":
    main()
