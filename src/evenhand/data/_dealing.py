"""Rows dealt to train, val and test by fractions, alike in every group, and every id on one side only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.data._table import Codes, Labelled
from evenhand.errors import BadInput


def group_of(labelled: Labelled) -> Codes:
    """(N,) index of each row's group: its class and its value of every attribute, not known being one of them."""
    unknown = int((labelled.attributes < 0).any())
    sizes = (len(labelled.classes), *(len(values) + unknown for values in labelled.attribute_values))
    columns = np.where(labelled.attributes < 0, np.asarray(sizes[1:], dtype=np.int64) - 1, labelled.attributes).T
    group_N: Codes = np.ravel_multi_index((labelled.y, *columns), sizes).astype(np.int64)
    return group_N


def check_dealing(fractions: Sequence[float], seed: int) -> None:
    """Raise BadInput unless the fractions are three positive shares that add up to 1 and the seed is not negative."""
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise BadInput(f"fractions must be three positive shares that add up to 1, got {list(fractions)}")
    if seed < 0:
        raise BadInput(f"split_seed must not be negative, got {seed}")


def dealt(group_N: Codes, fractions: Sequence[float], seed: int) -> Codes:
    """(N,) index into `PARTS`, each group's rows shuffled and cut by the fractions.

    A group of one row goes to train; of two, with the fractions 0.6, 0.2, 0.2, to train and val; of three, to all.
    """
    order = _generator(seed).permutation(len(group_N))
    order = order[np.argsort(group_N[order], kind="stable")]
    count_G = np.bincount(group_N)
    start_G = np.cumsum(count_G) - count_G
    group = group_N[order]
    place = (np.arange(len(order)) - start_G[group] + 0.5) / count_G[group]
    part_N = np.empty(len(group_N), dtype=np.int64)
    part_N[order] = (place[:, None] > np.cumsum(fractions)[:2]).sum(axis=1)
    return part_N


def dealt_by_id(group_N: Codes, id_N: Sequence[Any] | NDArray[Any], fractions: Sequence[float], seed: int) -> Codes:
    """(N,) index into `PARTS`, all rows of an id in one of them, and each group's shares near the fractions.

    Ids are dealt one by one, those with most rows first and in random order among equals, each to the part that is
    emptiest for its groups: where `filled_PG` (rows so far / rows wanted), averaged over the rows of the id, is least;
    the first part wins ties. If no id has more than m rows and none is in two groups, every group's rows in a part
    differ from its fraction by less than 3 m. A group of three ids has one in every part.

    Args:
        group_N: index of each row's group, from 0.
        id_N: what must stay together: numbers or texts, such as the patient of each image.
        fractions: share of each part, not negative; a part of share 0 gets no rows.

    Raises:
        BadInput: the fractions are negative or do not add up to 1, or the seed is negative.
    """
    share_P = np.asarray(fractions, dtype=np.float64)
    if share_P.min() < 0 or abs(share_P.sum() - 1) > 1e-6:
        raise BadInput(f"fractions must be shares that add up to 1, got {list(fractions)}")
    id_N = np.unique(np.asarray(id_N), return_inverse=True)[1].reshape(-1)
    size_I = np.bincount(id_N)
    order_I = _generator(seed).permutation(len(size_I))
    order_I = order_I[np.argsort(-size_I[order_I], kind="stable")]
    rows = np.argsort(id_N, kind="stable")
    groups_I = np.split(group_N[rows], np.cumsum(size_I)[:-1])
    with np.errstate(divide="ignore"):
        per_row_GP = 1 / (np.bincount(group_N)[:, None] * share_P)
    filled_GP = np.where(share_P > 0, 0.0, np.inf) * np.ones_like(per_row_GP)
    part_I = np.empty(len(size_I), dtype=np.int64)
    for each in order_I:
        groups = groups_I[each]
        part = part_I[each] = filled_GP[groups].sum(axis=0).argmin()
        np.add.at(filled_GP, (groups, part), per_row_GP[groups, part])
    return part_I[id_N]


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise BadInput(f"the seed of a split must not be negative, got {seed}")
    return np.random.default_rng(seed)
