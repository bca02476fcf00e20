"""Deliberate changes to the training rows of any data set, for studies of what they do: options of every data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from evenhand.data._base import Data, digest
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.batch import Split


@dataclass(frozen=True)
class Changes:
    """What is done to a data set after it is read. The test rows are never touched.

    Attributes:
        imbalance_ratio: at least 1: training rows are left out until each class has so many rows with the attribute
            that goes with it for each row with another: 8 makes 1:8. None changes nothing. Hong et al. (2024), GBMix,
            Section IV.
        drop_minority: every training row is left out that does not have the attribute that goes with its class, so that
            the minority groups never occur in training. Capitani et al. (2024), ClusterFix, Figure 3a.
        known_train: share of the training rows whose attributes stay known, in [0, 1], drawn within each group (at
            least one row of each while it is above 0); the others belong to no known group.
        known_val: the same of validation.
        change_seed: which rows are left out, and which attributes are hidden.
    """

    imbalance_ratio: float | None = None
    drop_minority: bool = False
    known_train: float = 1.0
    known_val: float = 1.0
    change_seed: int = 0

    def __post_init__(self) -> None:
        if self.imbalance_ratio is not None and self.imbalance_ratio < 1:
            raise BadInput(f"imbalance_ratio must be at least 1, got {self.imbalance_ratio}")
        for name in ("known_train", "known_val"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.change_seed < 0:
            raise BadInput(f"change_seed must not be negative, got {self.change_seed}")

    def applied(self, data: Data, given: Mapping[str, Any]) -> Data:
        """The data so changed; `given` are the options that were named, which become part of their description.

        Raises:
            BadInput: a change does not fit the data.
        """
        if replace(self, change_seed=0) == Changes():
            return data
        train = data.train
        if self.imbalance_ratio is not None:
            train = imbalanced(train, self.imbalance_ratio, self.change_seed)
        train = without_minority(train) if self.drop_minority else train
        return replace(
            data,
            train=partly_known(train, self.known_train, self.change_seed),
            val=partly_known(data.val, self.known_val, self.change_seed),
            fingerprint=digest(data.fingerprint, self),
            options={**data.options, **given},
        )


CHANGES = tuple(field.name for field in fields(Changes))


def imbalanced(split: Split, ratio: float, seed: int) -> Split:
    """The split with rows left out at random, so that attributes go with classes, `ratio` to 1.

    Each class is paired with an attribute value of its own (with more classes than values, some share one), so that the
    pairs have most rows. Of a pair the share t of its rows is kept, of every other group of the class 1 / ratio of
    that; t is the largest for which there are enough rows, so that the pairs keep their proportions.

    Raises:
        BadInput: fewer than two attribute values, or a group without rows.
    """
    import torch

    from evenhand import sampling

    if not split.has_attributes or split.n_attributes < 2:
        raise BadInput("imbalance_ratio needs an attribute with at least two values")
    count_CA = split.count_G.view(split.n_classes, split.n_attributes).cpu()
    if int(count_CA.min()) == 0:
        empty = split.group_name(int(count_CA.flatten().argmin()))
        raise BadInput(f"imbalance_ratio needs training rows of every group; there are none of {empty}")
    pair_C = paired(count_CA)
    major_C1 = count_CA.gather(1, pair_C[:, None]).double()
    room_CA = (ratio * count_CA / major_C1).scatter(1, pair_C[:, None], torch.inf)
    share = min(1.0, float(room_CA.min()))
    kept_CA = (share * major_C1 / ratio).expand(count_CA.shape).scatter(1, pair_C[:, None], share * major_C1)
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(split), generator=rng)
    rank = sampling.rank_within_label(split.group.cpu()[order])
    wanted_G = kept_CA.round().long().clamp(min=1).flatten()
    return split.subset(order[rank < wanted_G[split.group.cpu()[order]]].sort().values)


def without_minority(split: Split) -> Split:
    """The rows whose attribute is the one that goes with their class (see `imbalanced`).

    Raises:
        BadInput: fewer than two attribute values.
    """
    import torch

    if not split.has_attributes or split.n_attributes < 2:
        raise BadInput("drop_minority needs an attribute with at least two values")
    pair_C = paired(split.count_G.view(split.n_classes, split.n_attributes).cpu())
    return split.subset(torch.nonzero(split.attribute.cpu() == pair_C[split.y.cpu()]).flatten())


def partly_known(split: Split, share: float, seed: int) -> Split:
    """The split with the attributes hidden of all but a `share` of the rows of each group.

    Raises:
        BadInput: there are no attributes to hide.
    """
    import torch

    from evenhand import sampling

    if share == 1:
        return split
    if split.attributes is None:
        raise BadInput("known_train and known_val need attributes that could be hidden")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    group_N = split.group.cpu()
    label_N = torch.where(group_N < 0, split.n_groups, group_N)
    rank_N = torch.empty_like(order)
    rank_N[order] = sampling.rank_within_label(label_N[order])
    kept_G = (share * split.count_G.cpu()).round().long().clamp(min=int(share > 0))
    hidden_N = rank_N >= torch.cat((kept_G, torch.zeros(1, dtype=torch.int64)))[label_N]
    attributes = split.attributes.masked_fill(hidden_N.to(split.attributes.device)[:, None], -1)
    return replace(split, attributes=attributes)


def paired(count_CA: Tensor) -> Tensor:
    """(C,) the attribute value that goes with each class: different ones as far as there are, with most rows in all."""
    import torch
    from scipy.optimize import linear_sum_assignment

    n_classes, n_attributes = count_CA.shape
    copies = -(-n_classes // n_attributes)
    share_CA = count_CA.double() / count_CA.double().sum(1, keepdim=True)
    _, columns = linear_sum_assignment(share_CA.repeat(1, copies).numpy(), maximize=True)
    return torch.from_numpy(columns % n_attributes)
