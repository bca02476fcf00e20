"""Features of one class at the first and the last epoch, projected, coloured by the protected attribute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from evenhand import metrics
from evenhand.errors import BadInput
from evenhand.projection import NAMES
from evenhand.runs import Run
from evenhand.study.comparison import Figure
from evenhand.study.tables import Table, figure_text, percent, signed

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from evenhand.study.reproduction import Reproduction, StudyReproduction

EPOCHS = ("first", "last")
PANEL = 330  # CSS pixels of a panel and its heading
NOISE = 0.02  # of purity: smaller changes of a few hundred rows are not worth a word


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Points of the first seed of each row, and of all seeds how pure the neighbourhoods of features are.

    Args:
        settings: `class_index` of the rows that are shown (default 0); `projection`, `umap` (default), `tsne` or `pca`;
            `neighbours` that purity asks for (default 10).

    Raises:
        BadInput: runs were not tracked, or there are no such rows, or no attribute.
    """
    kind = settings.get("projection", "umap")
    used = "tsne" if kind == "umap" and find_spec("umap") is None else kind
    parts = [
        _of_part(part, settings.get("class_index", 0), used, settings.get("neighbours", 10)) for part in found.parts
    ]
    return {
        "projection": used,
        "wanted": kind,
        "neighbours": settings.get("neighbours", 10),
        "seeds": len(found.parts[0].comparison.seeds),
        "parts": parts,
    }


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """A figure for each part: a row of panels for each method, the first epoch beside the last."""
    from evenhand.plots.projections import projections

    return {part["part"]: _drawn(record, part, projections) for part in record["parts"]}


def _drawn(record: Mapping[str, Any], part: Mapping[str, Any], projections: Any) -> go.Figure:
    panels = {f"{row['label']}, {epoch} epoch": row[epoch] for row in part["rows"] for epoch in EPOCHS}
    kinds = {
        f"{row['label']}, {epoch} epoch": [part["values"][value] for value in row["attribute"]]
        for row in part["rows"]
        for epoch in EPOCHS
    }
    return projections(
        {name: (panel["x"], panel["y"]) for name, panel in panels.items()},
        kinds,
        order=part["values"],
        notes={name: f"trustworthiness {panel['trust']:.2f}" for name, panel in panels.items()},
        columns=2,
        title=f"Features of {part['class']} by {part['attribute']}, {NAMES[record['projection']]}",
        height=110 + PANEL * len(part["rows"]),
    )


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Purity at both epochs, of each part."""
    note = (
        f"Share of the {record['neighbours']} nearest neighbours in the feature space (not on the plane) that have the "
        "row's own value, mean over values: at chance the attribute cannot be seen among neighbours, at 100 its values "
        "are apart."
    )
    return [
        Table(
            f"{part['part']}{': ' if part['part'] else ''}Purity of {part['attribute']} among the features of "
            f"{part['class']}, {part['of']} rows, %",
            ("method", "first epoch", "last epoch", "last − first", "chance"),
            tuple(
                (row["label"], *(figure_text(_figure(row[epoch]["purity"])) for epoch in EPOCHS),
                 signed(_change(row)), percent(part["chance"]))
                for row in part["rows"]
            ),
            (note,),
        )
        for part in record["parts"]
    ]  # fmt: skip


def findings(record: Mapping[str, Any]) -> list[str]:
    """What becomes of the attribute in the features of each method, and which of them keeps least of it."""
    lines = []
    for part in record["parts"]:
        start = f"{part['part']}: " if part["part"] else ""
        for row in part["rows"]:
            first, last = (_figure(row[epoch]["purity"]) for epoch in EPOCHS)
            lines.append(
                f"{start}{row['label']}: {percent(first.mean)} % of the neighbours of a row of {part['class']} share "
                f"its {part['attribute']} at the first epoch and {percent(last.mean)} % at the last (chance "
                f"{percent(part['chance'])} %): {_becomes(row, part['chance'])}."
            )
        lines += _least(start, part, record["seeds"])
    if record["projection"] != record["wanted"]:
        lines.append(
            f"Drawn by {NAMES[record['projection']]}: {NAMES[record['wanted']]} of the paper needs the extra "
            "evenhand[explain]. The figures of purity do not depend on it."
        )
    return lines


def _least(start: str, part: Mapping[str, Any], n_seeds: int) -> list[str]:
    """Which method keeps least of the attribute, as far as its seeds can say."""
    if len(part["rows"]) < 2:
        return []
    values = {row["label"]: row["last"]["purity"] for row in part["rows"]}
    means = {label: Figure.over(each).mean for label, each in values.items()}
    least = min(means, key=lambda label: means[label])
    line = f"{start}At the last epoch {part['attribute']} is least visible among the features of {least}"
    if n_seeds < 2:
        return [f"{line}; one seed cannot say more."]
    told = metrics.winners(values, higher_is_better=False, confidence=0.95)
    others = sorted(told - {least})
    return [f"{line}, beyond the noise." if told == {least} else f"{line}; {', '.join(others)} cannot be told from it."]


def _becomes(row: Mapping[str, Any], chance: float) -> str:
    first, last = (_figure(row[epoch]["purity"]) for epoch in EPOCHS)
    change = last.mean - first.mean
    noise = max(2 * (first.sd or 0.0), 2 * (last.sd or 0.0), NOISE)
    if math.isnan(change):
        return "nothing can be said"
    if abs(change) <= noise:
        return "training changes little about it"
    if change > 0:
        return "training sets the attribute's values apart"
    return "training mixes the attribute's values" + (", down to chance" if last.mean - chance <= noise else "")


def _of_part(found: Reproduction, wanted: int, kind: str, neighbours: int) -> dict[str, Any]:
    from evenhand import projection

    first_run = next((run for _, entry in found.rows for run in entry.finished), None)
    if first_run is None:
        raise BadInput(f"there is no finished run of {found.table.name} to project features of")
    labels = first_run.metrics["labels"]
    if not labels["attributes"]:
        raise BadInput(f"the figure is coloured by an attribute, and {found.comparison.data} has none")
    if not 0 <= wanted < len(labels["classes"]):
        raise BadInput(f"class_index must lie in 0..{len(labels['classes']) - 1}, got {wanted}")
    values = _values(labels["attributes"])
    rows: list[dict[str, Any]] = []
    chances, part = [], ""
    for row, entry in found.rows:
        made: dict[str, Any] = {"label": row.label}
        purities: dict[str, list[float]] = {epoch: [] for epoch in EPOCHS}
        for place, run in enumerate(entry.finished):
            points, attribute_M = _chosen(run, wanted, len(values))
            part = str(points["part"])
            chances.append(projection.chance(attribute_M))
            for epoch in EPOCHS:
                purities[epoch].append(projection.purity(points[f"{epoch}_ND"], attribute_M, n_neighbors=neighbours))
            if place == 0:
                made |= _points(points, kind) | {"attribute": attribute_M.tolist()}
        for epoch in EPOCHS:
            made[epoch]["purity"] = purities[epoch]
        rows.append(made)
    return {
        "part": found.table.part,
        "of": part,
        "class": f"{labels['label']}={labels['classes'][wanted]}",
        "attribute": " and ".join(each["name"] for each in labels["attributes"]),
        "values": values,
        "chance": sum(chances) / len(chances),
        "rows": rows,
    }


def _chosen(run: Run, wanted: int, n_attributes: int) -> tuple[dict[str, Any], Any]:
    """The points of one class whose attribute is known, and that."""
    points = run.points()
    if points is None:
        raise BadInput(f"{run.folder} was not tracked: it has no features of its first and last epoch")
    chosen_N = (points["y_N"] == wanted) & (points["group_N"] >= 0)
    if not chosen_N.any():
        raise BadInput(f"{run.folder} has no rows of class {wanted} with a known attribute among its points")
    kept = {name: values[chosen_N] if values.ndim else values for name, values in points.items()}
    return kept, kept["group_N"] % n_attributes


def _points(points: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """Both panels of a run."""
    from evenhand import projection

    made = projection.joint(points["first_ND"], points["last_ND"], kind)
    return {
        epoch: {
            "x": points_N2[:, 0].round(4).tolist(),
            "y": points_N2[:, 1].round(4).tolist(),
            "trust": projection.trustworthiness(points[f"{epoch}_ND"], points_N2),
        }
        for epoch, points_N2 in zip(EPOCHS, made, strict=True)
    }


def _values(attributes: list[dict[str, Any]]) -> list[str]:
    """What each combination of attribute values is called, the first attribute most significant."""
    names = [""]
    for each in attributes:
        own = [f"{each['name']}={value}" for value in each["values"]]
        names = [f"{before}, {value}" if before else value for before in names for value in own]
    return names


def _figure(values: list[float]) -> Figure:
    return Figure.over(values)


def _change(row: Mapping[str, Any]) -> float:
    return _figure(row["last"]["purity"]).mean - _figure(row["first"]["purity"]).mean
