"""Feature variance of easy and hard classes, and their features on a plane: Figure 2 of Cui et al. (2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

from . import _classes as c
from ._relations import difference, spearman, told, verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from evenhand.features import Encoded

MOST_TRAIN = 50_000  # rows of which the variance is taken
SHOWN, ROWS = 4, 100  # classes of either end on the plane, and rows of each
PARTS = {"train": "training rows", "test": "test rows"}


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of the reference's features: variance of each class, and the rows of the easiest and hardest classes projected.

    Features are those of eval mode without augmentation, of at most `most_train` training rows and of all test rows.

    Settings: `most_train`, `classes` of either end that are projected, `rows` of each, and `projection`, a kind of
    `evenhand.projection`; the projection is that of the first seed's test rows.
    """
    return c.of_parts(found, lambda part: _part(part, settings))


def _part(part: Reproduction, settings: Mapping[str, Any]) -> c.Record:
    from evenhand import features

    ordered, entry = c.by_accuracy(part), c.reference(part)
    data = features.data_of(entry.finished[0], part.root, part.path)
    norms: dict[str, list[Any]] = {name: [] for name in PARTS}
    plane: c.Record = {}
    for run in entry.finished:
        model = features.load_model(run, data)
        for name in PARTS:
            rows = features.encoded(model, data, name, most=settings.get("most_train", MOST_TRAIN))
            norms[name].append(_variance_norm(rows, len(ordered.order_C)))
        plane = plane or _plane(rows, ordered, settings)
    return ordered.record() | {
        "accuracy": c.accuracies(entry, ordered),
        "variance": {name: c.over_seeds(values, ordered) for name, values in norms.items()},
        "most_train": settings.get("most_train", MOST_TRAIN),
        "plane": plane,
    }


def _variance_norm(rows: Encoded, n_classes: int) -> c.Floats:
    """(C,) length of the vector of variances of each class; NaN for a class of fewer than two rows."""
    from evenhand.collapse import Moments, class_table

    moments = Moments(rows.features.shape[1], n_classes)
    moments.update(rows.features, rows.y)
    table = class_table(moments)
    return np.where(np.array(table["count"]) > 1, table["variance_norm"], np.nan)


def _plane(rows: Encoded, ordered: c.Ordered, settings: Mapping[str, Any]) -> c.Record:
    """Points of some rows of the easiest and hardest classes, and how compact and separate these classes are."""
    from sklearn.metrics import silhouette_samples

    from evenhand.projection import project

    n_classes, kind = len(ordered.order_C), settings.get("projection", "tsne")
    n_shown = min(settings.get("classes", SHOWN), n_classes // 2)
    chosen = [*ordered.order_C[:n_shown], *ordered.order_C[n_classes - n_shown :]]
    y = rows.y.numpy()
    rng = np.random.default_rng(0)
    most = settings.get("rows", ROWS)
    picked = [np.sort(rng.permutation(np.flatnonzero(y == member))[:most]) for member in chosen]
    place_M = np.repeat(np.arange(len(chosen)), [len(each) for each in picked])
    features_MD = rows.features.numpy()[np.concatenate(picked)]
    xy_M2 = project(features_MD, kind, seed=0)
    silhouette_M = silhouette_samples(features_MD, place_M)
    names = ordered.names
    names = [*names[:n_shown], *names[n_classes - n_shown :]]
    return {
        "projection": kind,
        "classes": names,
        "parts": ["Easy"] * n_shown + ["Hard"] * n_shown,
        "points": [np.round(xy_M2[place_M == k], 3).T.tolist() for k in range(len(chosen))],
        "silhouette": [float(silhouette_M[place_M == k].mean()) for k in range(len(chosen))],
    }


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """Panel a: variance along the classes; panel b: rows of some classes on a plane."""
    return c.panels(record, _both)


def _both(part: c.Record) -> dict[str, go.Figure]:
    from evenhand.plots.classes import Strip, class_plane, sorted_curves
    from evenhand.projection import NAMES

    strips = []
    for name, one in part["variance"].items():
        series = {PARTS[name]: one["mean"]}
        strips.append(Strip(PARTS[name], series, c.bands({PARTS[name]: one}), {PARTS[name]: c.trend(one["mean"])}))
    title = c.title(part, "length of the variance of each class's features")
    curves = sorted_curves(strips, part["classes"], part["thirds"], title=title, x_title=c.sorted_by(part))
    curves.update_layout(showlegend=False)
    plane = part["plane"]
    points = dict(zip(plane["classes"], [tuple(each) for each in plane["points"]], strict=True))
    parts = dict(zip(plane["classes"], plane["parts"], strict=True))
    title = c.title(part, f"{NAMES[plane['projection']]} of test rows of the easiest and hardest classes")
    return {"a": curves, "b": class_plane(points, parts, title=title)}


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Accuracy and variance of each class, and how compact the projected classes are."""
    return [table for part in record["parts"] for table in (_each(part), _compact(part))]


def _each(part: c.Record) -> Table:
    columns = {"accuracy, %": c.shown(part["accuracy"]["mean"], 1, 100)}
    columns |= {f"variance, {PARTS[name]}": c.shown(one["mean"], 4) for name, one in part["variance"].items()}
    return c.class_table(part, "feature variance of each class", columns, (_rows_note(part),))


def _rows_note(part: c.Record) -> str:
    return (
        "The length of the vector of variances of the features, of training rows without augmentation (at most "
        f"{part['most_train']:,}, drawn at random) and of test rows."
    )


def _compact(part: c.Record) -> Table:
    plane = part["plane"]
    rows = zip(plane["classes"], plane["parts"], c.shown(plane["silhouette"], 3), strict=True)
    note = "Mean silhouette of a class's rows among those of these classes, in all dimensions: 1 compact and apart."
    return Table(
        c.heading(part, "classes on the plane"), ("class", "", "silhouette"), tuple(rows), (note,), text_columns=(0, 1)
    )


def findings(record: Mapping[str, Any]) -> list[str]:
    """Whether hard classes have the larger variance, and are less compact."""
    return [line for part in record["parts"] for line in _said(part)]


def _said(part: c.Record) -> Iterator[str]:
    for name, one in part["variance"].items():
        relation = spearman(one["mean"], part["accuracy"]["mean"])
        yield (
            f"{part['label']}, {PARTS[name]}: the paper's statement that harder classes have the larger feature "
            f"variance {verdict(relation, -1)} (variance and accuracy: {told(relation)})."
        )
    plane = part["plane"]
    ends = {end: [s for s, p in zip(plane["silhouette"], plane["parts"], strict=True) if p == end]
            for end in ("Easy", "Hard")}  # fmt: skip
    means = {end: sum(values) / len(values) for end, values in ends.items()}
    gap = difference(ends["Easy"], ends["Hard"])
    between = "" if gap is None else f", difference {gap[0]:.2f} [{gap[1]:.2f}, {gap[2]:.2f}]".replace("-", "−")
    firmly = gap is not None and gap[1] > 0
    holds = "is seen" if firmly else "is not seen" if means["Easy"] <= means["Hard"] else "is within the noise"
    yield (
        f"{part['label']}: that features of easy classes are the more compact and separate {holds}: mean silhouette "
        + f"{means['Easy']:.2f} of the easiest and {means['Hard']:.2f} of the hardest".replace("-", "−")
        + f"{between}."
    )
