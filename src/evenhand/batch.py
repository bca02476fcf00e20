"""`Split`: labelled rows of one part of a data set. `Batch`: some of them as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from evenhand.errors import BadInput


class Batch(NamedTuple):
    """B rows of a split. `group` is None for methods that did not declare `needs_groups`."""

    x: Tensor  # (B, …) inputs
    y: Tensor  # (B,) int64, class in 0..C-1
    group: Tensor | None  # (B,) int64, group in 0..G-1
    rows: Tensor  # (B,) int64, where in the split


class Inputs(Protocol):
    """Rows in, tensor out: what a split needs to know of tensors in memory, cached images, files or text."""

    def __len__(self) -> int: ...

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        """The inputs of `rows` (B int64, on any device), stacked: (B, …); with `rng` augmented as for training."""
        ...

    @property
    def augments(self) -> bool:
        """Whether `take` does anything with `rng`."""
        ...

    @property
    def slow(self) -> bool:
        """Whether `take` is worth doing ahead in a thread: it reads files, or copies to another device."""
        ...

    @property
    def lengths(self) -> Tensor | None:
        """(N,) int64 lengths of inputs that are padded to the longest of a batch; None if all are of one shape."""
        ...

    def to(self, device: torch.device) -> Inputs:
        """The same inputs, delivered on `device`."""
        ...


@dataclass(frozen=True, eq=False)
class TensorInputs:
    """Inputs that fit in memory as one tensor `x` (N, …)."""

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    augments = False
    slow = False
    lengths = None

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        return self.x.index_select(0, rows.to(self.x.device))

    def to(self, device: torch.device) -> TensorInputs:
        return TensorInputs(self.x.to(device))


@dataclass(frozen=True, eq=False)
class RowsOf:
    """Some rows of other inputs: row k of these is row `index[k]` of `inputs`; `index` (M,) int64 on the CPU."""

    inputs: Inputs
    index: Tensor

    @property
    def augments(self) -> bool:
        return self.inputs.augments

    @property
    def slow(self) -> bool:
        return self.inputs.slow

    @property
    def lengths(self) -> Tensor | None:
        return None if self.inputs.lengths is None else self.inputs.lengths[self.index]

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """What the inputs tell encoders beside the shape of a row."""
        told: Mapping[str, Any] = getattr(self.inputs, "encoder_options", {})
        return told

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Tensor, rng: Generator | None = None) -> Tensor:
        return self.inputs.take(self.index.index_select(0, rows.cpu()), rng)

    def to(self, device: torch.device) -> RowsOf:
        return RowsOf(self.inputs.to(device), self.index)


@dataclass(frozen=True, eq=False)
class Split:
    """N labelled rows: inputs behind a small interface, labels and attributes in memory.

    Several sensitive attributes (N, K) combine into one, A = product of their sizes, by mixed radix with the first
    attribute most significant; the group is `y * A + attribute`. Without attributes A = 1 and groups are classes. An
    attribute of -1 is not known; such a row has group -1 and belongs to no group: methods that need groups are given
    `known()` rows only, and figures of groups leave it out.

    Raises:
        BadInput: lengths differ, or a label or attribute lies outside its range.
    """

    inputs: Inputs
    y: Tensor  # (N,) int64
    n_classes: int
    attributes: Tensor | None = None  # (N, K) int64, -1 where not known
    attribute_sizes: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    attribute_values: tuple[tuple[str, ...], ...] = ()
    label_name: str = "y"

    def __post_init__(self) -> None:
        check_labels("y", self.y, self.n_classes, len(self.inputs))
        if self.attributes is None:
            return
        if self.attributes.ndim != 2 or self.attributes.shape[1] != len(self.attribute_sizes):
            raise BadInput(
                f"attributes must have shape (N, {len(self.attribute_sizes)}) to match attribute_sizes, "
                f"got {tuple(self.attributes.shape)}"
            )
        for k, size in enumerate(self.attribute_sizes):
            name = self.attribute_names[k] if self.attribute_names else f"attribute {k}"
            check_labels(name, self.attributes[:, k], size, len(self.inputs), least=-1)

    @classmethod
    def of(
        cls,
        x: Tensor,
        y: Tensor,
        attributes: Tensor | Sequence[Tensor] | None = None,
        *,
        n_classes: int | None = None,
        attribute_sizes: Sequence[int] | None = None,
    ) -> Split:
        """A split over tensors in memory: `x` (N, …), `y` (N), attributes (N), (N, K) or K tensors of N.

        Sizes not given are read off the largest value present.
        """
        if attributes is not None and not isinstance(attributes, Tensor):
            attributes = torch.stack(tuple(attributes), dim=1)
        if attributes is not None and attributes.ndim == 1:
            attributes = attributes[:, None]
        if attributes is not None and attribute_sizes is None:
            attribute_sizes = [int(column.max()) + 1 for column in attributes.T]
        return cls(
            inputs=TensorInputs(x),
            y=y.long(),
            n_classes=n_classes or int(y.max()) + 1,
            attributes=None if attributes is None else attributes.long(),
            attribute_sizes=tuple(attribute_sizes or ()),
        )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def has_attributes(self) -> bool:
        return self.attributes is not None

    @property
    def n_attributes(self) -> int:
        """A: how many combinations of attribute values there can be; 1 without attributes."""
        return prod(self.attribute_sizes)

    @property
    def n_groups(self) -> int:
        return self.n_classes * self.n_attributes

    @cached_property
    def attribute(self) -> Tensor:
        """(N,) all attributes as one index in 0..A-1, -1 where one of them is not known."""
        if self.attributes is None:
            return torch.zeros_like(self.y)
        return combine(self.attributes, self.attribute_sizes)

    @cached_property
    def group(self) -> Tensor:
        """(N,) `y * A + attribute`, -1 where that is not known."""
        group = self.y * self.n_attributes + self.attribute
        return torch.where(self.attribute < 0, -1, group) if self.has_attributes else group

    @cached_property
    def count_G(self) -> Tensor:
        """(G,) rows of each group; a group without rows counts 0."""
        return torch.bincount(self.group + 1, minlength=self.n_groups + 1)[1:]

    @cached_property
    def n_unknown(self) -> int:
        """How many rows belong to no group."""
        return len(self) - int(self.count_G.sum())

    def known(self) -> Split:
        """The rows whose group is known: the split itself where that is all of them."""
        return self.subset(torch.nonzero(self.group >= 0).flatten()) if self.n_unknown else self

    @cached_property
    def count_C(self) -> Tensor:
        """(C,) rows of each class."""
        return torch.bincount(self.y, minlength=self.n_classes)

    def group_name(self, group: int) -> str:
        """The group in words: `income=>50K, sex=Female`, or by numbers where the split has no names."""
        label, attribute = divmod(int(group), self.n_attributes)
        parts = [f"{self.label_name}={self.class_names[label] if self.class_names else label}"]
        for k in reversed(range(len(self.attribute_sizes))):
            attribute, value = divmod(attribute, self.attribute_sizes[k])
            name = self.attribute_names[k] if self.attribute_names else f"a{k}"
            text = self.attribute_values[k][value] if self.attribute_values else str(value)
            parts.insert(1, f"{name}={text}")
        return ", ".join(parts)

    def batch(self, rows: Tensor, rng: Generator | None = None) -> Batch:
        """The rows (B int64, on any device) as tensors, with their groups.

        With `rng` (a generator on the CPU) inputs are augmented as for training, where the data have augmentation.
        """
        here = rows.to(self.y.device, non_blocking=True)
        return Batch(
            self.inputs.take(rows, rng),
            self.y.index_select(0, here),
            self.group.index_select(0, here) if self.has_attributes else None,
            here,
        )

    def subset(self, rows: Tensor) -> Split:
        """Only the rows (M int64, in this order, each as often as it is named)."""
        rows = rows.cpu()
        attributes = None if self.attributes is None else self.attributes[rows.to(self.attributes.device)]
        inputs = RowsOf(self.inputs, rows)
        return replace(self, inputs=inputs, y=self.y[rows.to(self.y.device)], attributes=attributes)

    def without_groups(self) -> Split:
        """The same rows with every trace of the attributes removed, for code that must not see them."""
        return replace(self, attributes=None, attribute_sizes=(), attribute_names=(), attribute_values=())

    def to(self, device: torch.device) -> Split:
        """The same rows with inputs and labels on `device`."""
        attributes = None if self.attributes is None else self.attributes.to(device)
        return replace(self, inputs=self.inputs.to(device), y=self.y.to(device), attributes=attributes)


def combine(attributes_NK: Tensor, sizes: Sequence[int]) -> Tensor:
    """(N,) mixed-radix index of K attributes, the first most significant: `(a0 * size1 + a1) * size2 + …`.

    It is -1 where one of them is -1.
    """
    index_N = torch.zeros_like(attributes_NK[:, 0])
    for column_N, size in zip(attributes_NK.unbind(1), sizes, strict=True):
        index_N = index_N * size + column_N
    return torch.where((attributes_NK < 0).any(1), -1, index_N)


def check_labels(name: str, values_N: Tensor, size: int, n_rows: int, *, least: int = 0) -> None:
    """Raise BadInput unless `values_N` is N integers in 0..size-1; `least` may be -1, which stands for not known."""
    if values_N.shape != (n_rows,):
        raise BadInput(f"{name} must have one value for each of the {n_rows} inputs, got shape {tuple(values_N.shape)}")
    if values_N.dtype != torch.int64:
        raise BadInput(f"{name} must be int64, got {values_N.dtype}")
    if n_rows and (int(values_N.min()) < least or int(values_N.max()) >= size):
        raise BadInput(f"{name} must lie in 0..{size - 1}, got {int(values_N.min())}..{int(values_N.max())}")
