"""Labels made wrong on purpose, and groups made rare or noisy: what the rows of chosen groups go through."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evenhand.errors import BadInput, unknown

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from evenhand.batch import Split

Named = int | tuple[int | str, ...]  # attribute values by number or name
Mode = Literal["bernoulli", "exact"]


@dataclass(frozen=True)
class Changed:
    """A split after its labels were changed.

    Attributes:
        count: how many labels are others than before.
        eligible: how many rows could have been chosen.
    """

    split: Split
    count: int
    eligible: int


def flipped(
    split: Split, share: float, *, of: int | str, to: int | str, among: Named, mode: Mode, rng: Generator
) -> Changed:
    """The split with the label `to` on a `share` of the rows of class `of` in the groups `among`.

    The under-diagnosis of Jones, Roschewitz and Glocker (2023), The role of subgroup separability in group-fair medical
    image classification, with one draw for each row that could be flipped, in the order of rows:

        bernoulli: each of them with probability `share`, on its own;  exact: round(share * n) of the n, drawn at random

    Raises:
        BadInput: no such class or attribute value, or `of` and `to` are the same.
    """
    import torch

    source, target = class_number(split, of, "flip_from"), class_number(split, to, "flip_to")
    if source == target:
        raise BadInput(f"flip_from and flip_to must be different classes, got {of} for both")
    rows = torch.nonzero((split.y.cpu() == source) & members(split, among, "flip_group")).flatten()
    chosen = rows[drawn(len(rows), share, mode, rng)]
    return Changed(replace(split, y=split.y.cpu().index_fill(0, chosen, target)), len(chosen), len(rows))


def noisy_labels(split: Split, share: float, *, among: Named, mode: Mode, rng: Generator) -> Changed:
    """The split with another label, drawn from all other classes alike, on a `share` of the rows of some groups.

    Args:
        among: empty for all rows, those of unknown groups too.

    Raises:
        BadInput: no such attribute value.
    """
    import torch

    inside_N = members(split, among, "noise_group") if among != () else torch.ones(len(split), dtype=torch.bool)
    rows = torch.nonzero(inside_N).flatten()
    chosen = rows[drawn(len(rows), share, mode, rng)]
    step = torch.randint(1, split.n_classes, (len(chosen),), generator=rng)
    y = split.y.cpu().clone()
    y[chosen] = (y[chosen] + step) % split.n_classes
    return Changed(replace(split, y=y), len(chosen), len(rows))


def undersampled(split: Split, share: float, *, among: Named, rng: Generator) -> Split:
    """The split with only a `share` of the rows of some groups, of each class alike, at least one of each group.

    Raises:
        BadInput: no such attribute value.
    """
    import torch

    from evenhand import sampling

    inside_N = members(split, among, "undersample_group")
    order = torch.randperm(len(split), generator=rng)
    group_N = torch.where(inside_N, split.group.cpu(), split.n_groups)
    rank_N = torch.empty_like(order)
    rank_N[order] = sampling.rank_within_label(group_N[order])
    kept_G = (share * split.count_G.cpu()).round().long().clamp(min=1)
    kept_G = torch.cat((kept_G, torch.full((1,), len(split))))
    return split.subset(torch.nonzero(rank_N < kept_G[group_N]).flatten())


def noisy_features(split: Split, sd: float, *, among: Named, seed: int) -> Split:
    """The split with normal noise of this standard deviation on the inputs of some groups: see `inputs.noise`.

    Raises:
        BadInput: no such attribute value, or inputs that are texts.
    """
    import torch

    from evenhand.inputs.noise import noisy

    rows = torch.nonzero(members(split, among, "feature_noise_group")).flatten()
    return replace(split, inputs=noisy(split.inputs, rows, sd, seed))


def drawn(n_rows: int, share: float, mode: Mode, rng: Generator) -> Tensor:
    """Which of `n_rows` are chosen, in order: each with this probability, or exactly this share of them, rounded."""
    import torch

    if mode == "exact":
        return torch.randperm(n_rows, generator=rng)[: round(share * n_rows)].sort().values
    return torch.nonzero(torch.rand(n_rows, generator=rng) < share).flatten()


def members(split: Split, among: Named, option: str) -> Tensor:
    """(N,) bool, the rows with one of the attribute values `among`; rows of unknown groups are in none.

    A number is that of the value, or of the combination of values where there are several attributes; a name is that of
    a value, `female` or `sex=female`, whatever the other attributes are.

    Raises:
        BadInput: no attributes, or no such value; the message names `option`.
    """
    import torch

    if not split.has_attributes or split.n_attributes < 2 or split.attributes is None:
        raise BadInput(f"{option} needs an attribute with at least two values, and the data have none")
    inside_N = torch.zeros(len(split), dtype=torch.bool)
    for value in (among,) if isinstance(among, int) else among:
        if isinstance(value, int):
            if not 0 <= value < split.n_attributes:
                raise BadInput(f"{option} must lie in 0..{split.n_attributes - 1}, got {value}")
            inside_N |= split.attribute.cpu() == value
        else:
            column, code = _named(split, value, option)
            inside_N |= (split.attributes[:, column].cpu() == code) & (split.attribute.cpu() >= 0)
    return inside_N


def _named(split: Split, value: str, option: str) -> tuple[int, int]:
    """Column and code of an attribute value by its name."""
    found, known = [], []
    for column, values in enumerate(split.attribute_values):
        name = split.attribute_names[column] if split.attribute_names else f"a{column}"
        for code, text in enumerate(values):
            known += [text]
            found += [(column, code)] if value in (text, f"{name}={text}") else []
    if not found:
        raise unknown(f"value of an attribute in {option}", value, known)
    if len(found) > 1:
        names = ", ".join(f"{split.attribute_names[column]}={value}" for column, _ in found)
        raise BadInput(f"{option}={value} is a value of several attributes; say which: {names}")
    return found[0]


def class_number(split: Split, label: int | str, option: str) -> int:
    """The class of a number or name.

    Raises:
        BadInput: there is no such class; the message names `option`.
    """
    if isinstance(label, str):
        if label not in split.class_names:
            raise unknown(f"class in {option}", label, split.class_names)
        return split.class_names.index(label)
    if not 0 <= label < split.n_classes:
        raise BadInput(f"{option} must be a class in 0..{split.n_classes - 1}, got {label}")
    return label


def said(split: Split, of: int | str) -> str:
    """The class in words."""
    number = class_number(split, of, "flip_from")
    return f"{split.label_name}={split.class_names[number] if split.class_names else number}"


def groups_said(split: Split, among: Named) -> str:
    """Groups as they are named in a note: `sex=female`, or `every group`."""
    if among == ():
        return "every group"
    return " or ".join(_value_said(split, value) for value in ((among,) if isinstance(among, int) else among))


def _value_said(split: Split, value: int | str) -> str:
    if isinstance(value, int):
        return split.group_name(value).partition(", ")[2]
    column, _ = _named(split, value, "flip_group")
    name = split.attribute_names[column] if split.attribute_names else f"a{column}"
    return value if value.startswith(f"{name}=") else f"{name}={value}"


def generator_of(seed: int, *what: str) -> Generator:
    """A generator of one kind of change in one part: none depends on which others are made."""
    import torch

    return torch.Generator().manual_seed(number_of(seed, *what))


def number_of(seed: int, *what: str) -> int:
    """A seed of its own for each kind of change and part, in [0, 2^63)."""
    content = hashlib.sha256(" ".join([str(seed), *what]).encode()).digest()
    return int.from_bytes(content[:8], "big") >> 1
