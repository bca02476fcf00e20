"""An attribute in the place of the label: how well can it be told from the inputs?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evenhand.errors import BadInput, unknown

if TYPE_CHECKING:
    from evenhand.batch import Split


def predicting(split: Split, attribute: int | str) -> Split:
    """The rows of which the attribute (by number or name) is known, labelled by it; other attributes stay attributes.

    Raises:
        BadInput: there is no such attribute.
    """
    import torch

    column = column_of(split, attribute)
    assert split.attributes is not None
    split = split.subset(torch.nonzero(split.attributes[:, column] >= 0).flatten())
    assert split.attributes is not None
    kept = [k for k in range(len(split.attribute_sizes)) if k != column]
    names, values = split.attribute_names, split.attribute_values
    return replace(
        split,
        y=split.attributes[:, column],
        n_classes=split.attribute_sizes[column],
        class_names=values[column] if values else (),
        label_name=names[column] if names else f"a{column}",
        attributes=split.attributes[:, kept] if kept else None,
        attribute_sizes=tuple(split.attribute_sizes[k] for k in kept),
        attribute_names=tuple(names[k] for k in kept) if names else (),
        attribute_values=tuple(values[k] for k in kept) if values else (),
    )


def column_of(split: Split, attribute: int | str) -> int:
    """Which column of the attributes it is.

    Raises:
        BadInput: there is no such attribute.
    """
    if not split.has_attributes:
        raise BadInput("predict_attribute needs an attribute, and the data have none")
    if isinstance(attribute, str):
        if attribute not in split.attribute_names:
            raise unknown("attribute in predict_attribute", attribute, split.attribute_names)
        return split.attribute_names.index(attribute)
    if not 0 <= attribute < len(split.attribute_sizes):
        raise BadInput(f"predict_attribute must lie in 0..{len(split.attribute_sizes) - 1}, got {attribute}")
    return attribute
