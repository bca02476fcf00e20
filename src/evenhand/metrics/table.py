"""One row per group: size, accuracy, interval."""

from collections.abc import Sequence
from typing import TypedDict

from evenhand.errors import BadInput

from .counts import Counts
from .intervals import IntervalMethod, interval


class GroupRow(TypedDict):
    """`group` index y * A + a; `y` and `attribute` indices with their names; the rest per group, in [0, 1] or rows."""

    group: int
    y: int
    attribute: int
    class_name: str
    attribute_name: str
    count: int
    correct: int
    accuracy: float
    low: float
    high: float


def group_table(
    counts: Counts,
    class_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
    confidence: float = 0.95,
    method: IntervalMethod = "wilson",
) -> list[GroupRow]:
    """Count, accuracy and interval of every group, in the order of `g = y * A + a`.

    Names default to the indices. Each interval is for its own group; the minimum needs `worst_group`. An empty group
    has accuracy NaN and interval (0, 1).

    Raises:
        BadInput: as many names as classes or attribute values are needed; confidence not in (0, 1); unknown method.
    """
    class_names = _names("class_names", class_names, counts.n_classes)
    attribute_names = _names("attribute_names", attribute_names, counts.n_attributes)
    low_G, high_G = interval(counts.correct_G, counts.count_G, confidence, method)
    columns = (counts.count_G, counts.correct_G, counts.accuracy_G, low_G, high_G)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        GroupRow(
            group=g,
            y=g // counts.n_attributes,
            attribute=g % counts.n_attributes,
            class_name=class_names[g // counts.n_attributes],
            attribute_name=attribute_names[g % counts.n_attributes],
            count=size,
            correct=correct,
            accuracy=accuracy,
            low=low,
            high=high,
        )
        for g, (size, correct, accuracy, low, high) in enumerate(rows)
    ]


def _names(option: str, names: Sequence[str] | None, size: int) -> Sequence[str]:
    if names is None:
        return [str(index) for index in range(size)]
    if len(names) != size:
        raise BadInput(f"{option} must name {size} values, got {len(names)}: {', '.join(names)}")
    return names
