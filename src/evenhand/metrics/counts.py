"""The sufficient statistic of every metric: how often each (attribute, label, prediction) occurs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenhand.errors import BadInput

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_CELLS = 2**27  # 1 GiB of counts: more means that row identifiers were passed as labels


@dataclass(frozen=True, eq=False)
class Counts:
    """Rows per (attribute, label, prediction): everything a metric needs, and small enough to merge and to store.

    `counts_ACC` [A, C, C] int64, ≥ 0, read-only. Groups are `g = y * A + a`, so `_G` arrays have C * A entries.
    An empty group or class has count 0 and accuracy NaN.

    Raises:
        BadInput: not of shape [A, C, C] with A ≥ 1 and C ≥ 2, or not whole numbers ≥ 0.
    """

    counts_ACC: IntArray  # noqa: N815

    def __post_init__(self) -> None:
        given = np.asarray(self.counts_ACC)
        if given.ndim != 3 or given.shape[0] < 1 or given.shape[1] < 2 or given.shape[1] != given.shape[2]:
            raise BadInput(f"counts must have shape [A ≥ 1, C ≥ 2, C], got {list(given.shape)}")
        if given.dtype.kind not in "iu":
            raise BadInput(f"counts must be whole numbers, got {given.dtype}")
        if given.min() < 0:
            raise BadInput(f"counts must be ≥ 0, got {given.min()}")
        counts_ACC = given.astype(np.int64)
        counts_ACC.setflags(write=False)
        object.__setattr__(self, "counts_ACC", counts_ACC)

    @property
    def n_attributes(self) -> int:
        """A."""
        return int(self.counts_ACC.shape[0])

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.counts_ACC.shape[1])

    @property
    def count_G(self) -> IntArray:
        """Rows of each group."""
        count_G: IntArray = self.counts_ACC.sum(axis=2).T.reshape(-1)
        return count_G

    @property
    def correct_G(self) -> IntArray:
        """Correctly predicted rows of each group."""
        return np.diagonal(self.counts_ACC, axis1=1, axis2=2).T.reshape(-1)

    @property
    def accuracy_G(self) -> FloatArray:
        """Accuracy of each group, in [0, 1]; NaN where the group is empty."""
        return ratio(self.correct_G, self.count_G)

    @property
    def count_C(self) -> IntArray:
        """Rows of each class."""
        count_C: IntArray = self.counts_ACC.sum(axis=(0, 2))
        return count_C

    @property
    def accuracy_C(self) -> FloatArray:
        """Accuracy (recall) of each class over all its rows, in [0, 1]; NaN where the class is empty."""
        return ratio(np.diagonal(self.counts_ACC.sum(axis=0)), self.count_C)

    @property
    def undefined(self) -> list[tuple[int, int]]:
        """The empty groups as (label, attribute): what a minimum or a mean over groups had to leave out."""
        return [(int(g) // self.n_attributes, int(g) % self.n_attributes) for g in np.flatnonzero(self.count_G == 0)]

    def __add__(self, other: "Counts") -> "Counts":
        """The counts of both shards together.

        Raises:
            BadInput: the shards differ in A or C.
        """
        if self.counts_ACC.shape != other.counts_ACC.shape:
            raise BadInput(
                f"shards must agree in shape [A, C, C]: got {list(self.counts_ACC.shape)} and "
                f"{list(other.counts_ACC.shape)}; pass n_classes and n_attributes to count()"
            )
        return Counts(self.counts_ACC + other.counts_ACC)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and np.array_equal(self.counts_ACC, other.counts_ACC)

    def __hash__(self) -> int:
        return hash((self.counts_ACC.shape, self.counts_ACC.tobytes()))

    def to_list(self) -> list[list[list[int]]]:
        """Nested lists [A][C][C] for JSON."""
        nested: list[list[list[int]]] = self.counts_ACC.tolist()
        return nested

    @classmethod
    def from_list(cls, nested: list[list[list[int]]]) -> "Counts":
        """The counts that `to_list` wrote.

        Raises:
            BadInput: ragged, or not counts.
        """
        try:
            return cls(np.array(nested))
        except ValueError as error:
            raise BadInput(f"counts must be nested lists [A][C][C] of whole numbers: {error}") from error


def ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> FloatArray:
    """`part / whole`, NaN (without a warning) where `whole` is 0."""
    quotient: FloatArray = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient


def count(
    y: ArrayLike,
    prediction: ArrayLike,
    attribute: ArrayLike | None = None,
    n_classes: int | None = None,
    n_attributes: int | None = None,
) -> Counts:
    """Count labels against predictions for every attribute value, in one pass over N rows.

    `y`, `prediction` [N] class indices, `attribute` [N] attribute indices (None: everyone has attribute 0). Without
    `n_classes` (≥ 2) and `n_attributes` (≥ 1) the largest index decides; give both when shards are to be merged. No
    rows give zero counts.

    Raises:
        BadInput: not one-dimensional integers, of different lengths, or outside the range; the message names the row.
    """
    label_N, prediction_N = _indices("y", y), _indices("prediction", prediction)
    attribute_N = np.zeros_like(label_N) if attribute is None else _indices("attribute", attribute)
    for name, array_N in (("prediction", prediction_N), ("attribute", attribute_N)):
        if array_N.size != label_N.size:
            raise BadInput(f"y and {name} must be equally long: got {label_N.size} and {array_N.size} rows")
    C = _size("n_classes", n_classes, 2, label_N, prediction_N)
    A = _size("n_attributes", n_attributes, 1, attribute_N)
    if A * C * C > MAX_CELLS:
        raise BadInput(
            f"{A} attribute values and {C} classes need too many counts; indices must be 0..n-1, without gaps"
        )
    for name, array_N, size in (("y", label_N, C), ("prediction", prediction_N, C), ("attribute", attribute_N, A)):
        _check_range(name, array_N, size)
    cell_N = (attribute_N * C + label_N) * C + prediction_N
    return Counts(np.bincount(cell_N, minlength=A * C * C).reshape(A, C, C))


def _indices(name: str, values: ArrayLike) -> IntArray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise BadInput(f"{name} must be one-dimensional, got shape {list(array.shape)}")
    if array.size and array.dtype.kind not in "iub":
        raise BadInput(f"{name} must be integer indices 0..n-1, got {array.dtype}")
    return array.astype(np.int64)


def _size(name: str, given: int | None, smallest: int, *arrays: IntArray) -> int:
    if given is None:
        return max([smallest, *(int(array.max()) + 1 for array in arrays if array.size)])
    if given < smallest:
        raise BadInput(f"{name} must be at least {smallest}, got {given}")
    return given


def _check_range(name: str, array_N: IntArray, size: int) -> None:
    if array_N.size and (array_N.min() < 0 or array_N.max() >= size):
        row = int(np.flatnonzero((array_N < 0) | (array_N >= size))[0])
        raise BadInput(f"{name} must be in 0..{size - 1}, got {array_N[row]} in row {row}")
