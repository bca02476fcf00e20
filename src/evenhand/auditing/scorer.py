"""Audits as scorers of scikit-learn: select a model for its worst-off group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenhand.auditing.figures.names import FIGURES
from evenhand.auditing.run import audit
from evenhand.errors import BadInput, unknown

FROM_SCORES = ("auc", "average_precision", "calibration_error", "brier", "log_loss")


@dataclass(frozen=True)
class Scorer:
    """`scorer(estimator, X, y)`: a figure of the audit of the estimator's predictions; larger is better.

        cross_val_score(model, X, y, scoring=Scorer("worst_group_accuracy", group="sex"))

    Attributes:
        metric: any name in `Audit.overall`; its sign is changed where less is better (gaps, errors).
        group: column or columns of X (names of a frame, indices of an array), or a function of X that gives the groups.
        positive: as in `audit`.
    """

    metric: str
    group: str | int | Sequence[str] | Sequence[int] | Callable[[Any], Any]
    positive: Any = None

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """The figure; NaN where it is undefined.

        Raises:
            BadInput: an unknown metric, or X has no such column.
        """
        y = np.asarray(y)
        needs_scores = any(name in self.metric for name in FROM_SCORES)
        score = np.asarray(estimator.predict_proba(X)) if needs_scores else None
        found = audit(
            label=y,
            prediction=np.asarray(estimator.predict(X)),
            group=self._groups(X),
            score=None if score is None else _by_class(score, estimator.classes_),
            positive=self.positive,
            replicates=2,
        )
        if self.metric not in found.overall:
            raise unknown("metric", self.metric, found.overall)
        return float(found.overall[self.metric]) * (1 if higher_is_better(self.metric) else -1)

    def _groups(self, X: Any) -> dict[str, Any]:
        if callable(self.group):
            return {"group": np.asarray(self.group(X))}
        wanted: list[str | int] = [self.group] if isinstance(self.group, str | int) else list(self.group)
        return {str(column): _column(X, column) for column in wanted}


def higher_is_better(metric: str) -> bool:
    """Whether more of a figure in `Audit.overall` is good: not of gaps, differences and errors."""
    if metric.endswith(("_gap", "_difference")):
        return False
    base = next((name for name in sorted(FIGURES, key=len, reverse=True) if name in metric), "accuracy")
    return metric.endswith("_ratio") or FIGURES[base].better >= 0


def _column(X: Any, column: str | int) -> Any:
    if hasattr(X, "columns") and isinstance(column, str):
        if column not in list(X.columns):
            raise unknown("column of X", column, [str(name) for name in X.columns])
        return X[column]
    array = np.asarray(X)
    if isinstance(column, str) or not 0 <= column < array.shape[1]:
        raise BadInput(f"group must be a column of X: an index in 0..{array.shape[1] - 1}, got {column!r}")
    return array[:, column]


def _by_class(score_NC: Any, classes: Any) -> dict[str, Any]:
    return {f"score_{value}": score_NC[:, index] for index, value in enumerate(classes)}
