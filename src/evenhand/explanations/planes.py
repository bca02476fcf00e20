"""Features of runs on a plane: of tracked runs the first epoch beside the last, of others the selected one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from evenhand import features, projection
from evenhand.data._base import Data
from evenhand.model import Model
from evenhand.runs import Run

MOST_ROWS = 2000
DIGITS = 3  # of coordinates, of which the largest is 1: finer than any screen

Array = np.ndarray[Any, Any]


class Cloud(NamedTuple):
    """Features of rows at one epoch."""

    epoch: str  # "first", "last" or "selected"
    features_ND: Array  # noqa: N815
    y_N: Array  # noqa: N815
    group_N: Array  # noqa: N815
    predicted_N: Array  # noqa: N815


def projected(
    runs: Mapping[str, Run], models: Mapping[str, Model], data: Data, part: str, kind: projection.Kind, *, device: str
) -> dict[str, Any]:
    """The record of a projection: for each run and epoch up to 2000 rows as points, with class, group and error.

    Epochs of a run are projected each on its own, the later turned onto the earlier. Coordinates are shares of the
    largest. `trust` is the trustworthiness of what the plane shows, `purity_…` that of the features themselves: see
    `evenhand.projection`.

    Raises:
        BadInput: no such kind, or for UMAP no umap-learn; a file of a run is damaged.
    """
    split = features.rows_of(data, part)
    names = list(split.class_names) or [str(c) for c in range(split.n_classes)]
    panels = [
        {"run": name, **panel}
        for name, run in runs.items()
        for panel in _panels(list(_clouds(run, models[name], data, part, device)), kind)
    ]
    groups = [split.group_name(g) for g in range(split.n_groups)] if split.has_attributes else []
    return {"kind": kind, "classes": names, "groups": groups, "panels": panels}


def _clouds(run: Run, model: Model, data: Data, part: str, device: str) -> Iterator[Cloud]:
    """What a tracked run kept of this part, or what the selected model makes of it."""
    points = run.points()
    if points is not None and str(points["part"]) == part and len(points["y_N"]) > 1:
        for epoch in ("first", "last"):
            yield Cloud(
                epoch, points[f"{epoch}_ND"].astype(np.float32), points["y_N"], points["group_N"],
                points[f"predicted_{epoch}_N"],
            )  # fmt: skip
        return
    found = features.encoded(model, data, part, most=MOST_ROWS, device=device)
    group_N = features.rows_of(data, part).group.cpu()[found.rows]
    predicted_N = found.logits.argmax(1)
    yield Cloud("selected", *(each.numpy() for each in (found.features, found.y, group_N, predicted_N)))


def _panels(clouds: list[Cloud], kind: projection.Kind) -> Iterator[dict[str, Any]]:
    first_ND, *later = (cloud.features_ND for cloud in clouds)
    planes = projection.joint(first_ND, later[0], kind) if later else [projection.project(first_ND, kind)]
    for cloud, plane_N2 in zip(clouds, planes, strict=True):
        x, y = (plane_N2 / (np.abs(plane_N2).max() or 1.0)).round(DIGITS).T.tolist()
        known_N = cloud.group_N >= 0
        yield {
            "epoch": cloud.epoch,
            "x": x,
            "y": y,
            "class": cloud.y_N.tolist(),
            "group": cloud.group_N.tolist(),
            "wrong": (cloud.predicted_N != cloud.y_N).tolist(),
            "trust": projection.trustworthiness(cloud.features_ND, plane_N2),
            "purity_class": projection.purity(cloud.features_ND, cloud.y_N),
            "purity_group": projection.purity(cloud.features_ND[known_N], cloud.group_N[known_N]),
        }
