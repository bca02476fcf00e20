"""Easy, medium and hard classes: per-class disparity on balanced data."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .counts import FloatArray, IntArray


def thirds(reference_accuracy_C: ArrayLike) -> dict[str, IntArray]:
    """Split classes into hard, medium and easy by the accuracy of one fixed reference model.

    Cui et al. (2024), Classes Are Not Equal, section 3. Returns the class indices of each third, hardest first, equal
    accuracies in the order of their index. Use one split for all models: `third_accuracy`. The paper does not say where
    classes go that do not divide by three; here they are in the middle third.

    Raises:
        BadInput: not one-dimensional, fewer than three classes, or a class without an accuracy.
    """
    accuracy_C = _accuracies(reference_accuracy_C)
    defined = int(np.isfinite(accuracy_C).sum())
    if accuracy_C.size < 3 or defined < accuracy_C.size:
        raise BadInput(f"thirds need at least 3 classes, all with an accuracy, got {defined} of {accuracy_C.size}")
    order_C = np.argsort(accuracy_C, kind="stable")
    size = accuracy_C.size // 3
    return {"hard": order_C[:size], "medium": order_C[size:-size], "easy": order_C[-size:]}


def third_accuracy(accuracy_C: ArrayLike, classes: Mapping[str, IntArray]) -> dict[str, float]:
    """Mean accuracy of any model over each of the given `thirds`, which are not sorted again.

    Classes without examples (NaN) are left out; a third without any defined class is NaN.

    Raises:
        BadInput: not one-dimensional, or not as many classes as in the thirds.
    """
    accuracy_C = _accuracies(accuracy_C)
    if accuracy_C.size != sum(len(members) for members in classes.values()):
        raise BadInput(f"the thirds and accuracy_C must have the same classes, got {accuracy_C.size} accuracies")
    return {name: _mean_defined(accuracy_C[members]) for name, members in classes.items()}


def _accuracies(values: ArrayLike) -> FloatArray:
    accuracy_C = np.asarray(values, dtype=np.float64)
    if accuracy_C.ndim != 1:
        raise BadInput(f"accuracies per class must be one-dimensional, got shape {list(accuracy_C.shape)}")
    return accuracy_C


def _mean_defined(values: FloatArray) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else float("nan")
