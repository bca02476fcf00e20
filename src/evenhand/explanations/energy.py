"""How much of a map lies on the object: a figure of merit where it is known where the object is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.errors import BadInput
from evenhand.files import without_nan
from evenhand.metrics import Mean, bootstrap

Floats = NDArray[np.float64]
REPLICATES = 1000
OVERALL = "mean of groups"


def inside(maps_BHW: NDArray[np.floating[Any]], masks_BHW: NDArray[np.bool_]) -> Floats:
    """(B,) share of each map's energy (sum of its values) inside the object, in [0, 1]; NaN for a map of zeros.

    Wang et al. (2020), Score-CAM, Section 4.3, with the object itself in the place of its box.

    Raises:
        BadInput: shapes differ, or a map has negative values.
    """
    if maps_BHW.shape != masks_BHW.shape:
        raise BadInput(f"maps and masks must have one shape, got {maps_BHW.shape} and {masks_BHW.shape}")
    if (maps_BHW < 0).any():
        raise BadInput("maps must not be negative: their energy is the sum of their values")
    total_B = maps_BHW.sum(axis=(1, 2), dtype=np.float64)
    within_B = np.where(masks_BHW, maps_BHW, 0).sum(axis=(1, 2), dtype=np.float64)
    share_B: Floats = np.divide(within_B, total_B, out=np.full(len(total_B), np.nan), where=total_B > 0)
    return share_B


def area(masks_BHW: NDArray[np.bool_]) -> Floats:
    """(B,) share of the image that the object takes: the energy inside it of a map that is the same everywhere."""
    share_B: Floats = masks_BHW.mean(axis=(1, 2))
    return share_B


def summary(
    energy: Mapping[str, Mapping[str, Floats]],
    chance_B: Floats,
    group_B: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, list[dict[str, Any]]]:
    """Mean energy of each run, kind and group, and what the first run has more than the second, with intervals.

    Intervals are percentiles (95 %) of 1000 bootstrap resamples of rows within their group; differences are paired by
    row, over the rows on which both maps have energy. The last row of each is the unweighted mean over groups.

    Args:
        energy: (B,) of each kind, by the name of the run; the second run is what the first is compared with.
        chance_B: from `area`.
        names: of the G groups.

    Returns:
        `means`: run, kind, group, rows, empty (maps of zeros, left out), value, low, high, chance; without variation
        the ends of the interval are None.
        `differences`: kind, group, rows, value, low, high.
    """
    means, differences = [], []
    for run, kinds in energy.items():
        for kind, energy_B in kinds.items():
            for row in _means(energy_B, group_B, names):
                of_B = _members(row["group"], group_B, names)
                chance = _group_mean(chance_B, group_B, names) if of_B is None else float(chance_B[of_B].mean())
                means.append({"run": run, "kind": kind, **row, "chance": chance})
    if len(energy) == 2:
        first, second = energy.values()
        for kind, energy_B in first.items():
            rows = _means(energy_B - second[kind], group_B, names)
            differences += [{"kind": kind, **{k: v for k, v in row.items() if k != "empty"}} for row in rows]
    return {"means": means, "differences": differences}


def _means(value_B: Floats, group_B: NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each group that has any, and one for the mean of those."""
    defined = np.isfinite(value_B)
    there = [g for g in range(len(names)) if (defined & (group_B == g)).any()]
    rows: list[dict[str, Any]] = []
    if not there:
        return rows
    place = np.full(len(names), -1)
    place[there] = np.arange(len(there))
    keep = defined & np.isin(group_B, there)
    found = bootstrap(Mean(value_B[keep]), place[group_B[keep]], len(there), replicates=REPLICATES)
    low_G, high_G = found.interval()
    for k, g in enumerate(there):
        empty = int((~defined & (group_B == g)).sum())
        rows.append(_row(names[g], int((keep & (group_B == g)).sum()), empty, found.value[k], low_G[k], high_G[k]))
    mean = found.reduce(lambda value: value.mean(axis=-1))
    low, high = mean.interval()
    rows.append(_row(OVERALL, int(keep.sum()), int((~defined).sum()), mean.value, low, high))
    return rows


def _row(group: str, rows: int, empty: int, *figures: Any) -> dict[str, Any]:
    value, low, high = (without_nan(float(figure)) for figure in figures)
    return {"group": group, "rows": rows, "empty": empty, "value": value, "low": low, "high": high}


def _members(group: str, group_B: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.bool_] | None:
    return None if group == OVERALL else np.asarray(group_B == list(names).index(group))


def _group_mean(value_B: Floats, group_B: NDArray[np.int64], names: Sequence[str]) -> float:
    of_G = [value_B[group_B == g].mean() for g in range(len(names)) if (group_B == g).any()]
    return float(np.mean(of_G))
