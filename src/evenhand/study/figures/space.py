"""Means of groups and classes and the classifier's vectors in the three dimensions of a bottleneck.

Lu, Chai and Wang (2024), Neural collapse-inspired debiased representation learning for min-max fairness, Figure 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study.comparison import Entry
from evenhand.study.figures._epochs import (
    Record,
    by_seed,
    entries,
    groups_of,
    mean,
    number,
    told,
    train_accuracy,
    trained,
    verdict,
)
from evenhand.study.reproduction import Reproduction, StudyReproduction, slug
from evenhand.study.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

PART, DIMENSIONS = "test", 3
MEASURES = ("w_sim", "d_cls", "d_maj", "d_min")


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> Record:
    """The vectors of each row's first seed, as seen from the origin of the features; the cosines of all seeds.

    Settings: `rows`, by default ERM alone; they need a bottleneck of three features.
    """
    chosen = entries(found, settings.get("rows", ["ERM"]))
    groups = groups_of(chosen[0].finished[0])
    return {
        "part": PART,
        "data": found.parts[0].comparison.data,
        "groups": groups,
        "rows": [_row(entry, found.parts[0], groups) for entry in chosen],
    }


def _row(entry: Entry, part: Reproduction, groups: list[Record]) -> Record:
    geometries = [run.geometry for run in entry.finished]
    scalars = [each["parts"][PART]["scalars"] if each else {} for each in geometries]
    run = entry.finished[0]
    return {
        "label": entry.label,
        "method": entry.method,
        "seeds": len(entry.finished),
        "epochs": [len(each.history) for each in entry.finished],
        "train_accuracy": [train_accuracy(each) for each in entry.finished],
        "cosines": {name: [each.get(name) for each in scalars] for name in MEASURES},
        "seed": run.config["settings"]["seed"],
        "vectors": _vectors(run, part, groups),
    }


def _vectors(run: Run, part: Reproduction, groups: list[Record]) -> list[Record]:
    """Means of test features of groups and classes, and the classifier's vectors, as long as class means on average."""
    from evenhand import features
    from evenhand.collapse import Moments

    data = features.data_of(run, part.root, part.path)
    model = features.load_model(run, data)
    weight_CD = model.classifier.weight.detach().double().cpu()
    if weight_CD.shape[1] != DIMENSIONS:
        raise BadInput(f"{run.folder} has {weight_CD.shape[1]} features; vectors in space need bottleneck={DIMENSIONS}")
    rows = features.encoded(model, data, PART)
    split = features.rows_of(data, PART).subset(rows.rows)
    known = (split.group >= 0).nonzero().flatten()
    moments = Moments(DIMENSIONS, split.n_classes, split.n_attributes)
    moments.update(rows.features[known], split.y[known], split.group[known])
    of_groups, of_classes = moments.groups(), moments.classes()
    scale = of_classes.mean_KD.norm(dim=1).nanmean() / weight_CD.norm(dim=1).mean()
    found = [
        {"kind": "group_mean", "name": group["name"], "class": group["class"], "attribute": group["attribute"],
         "count": int(of_groups.count_K[g]), "xyz": of_groups.mean_KD[g].tolist()}
        for g, group in enumerate(groups) if of_groups.count_K[g] > 0
    ]  # fmt: skip
    for c, name in enumerate(run.metrics["labels"]["classes"]):
        of = {"name": name, "class": c, "attribute": None, "count": int(of_classes.count_K[c])}
        if of["count"]:
            found.append({"kind": "class_mean", **of, "xyz": of_classes.mean_KD[c].tolist()})
        found.append({"kind": "weight", **of, "xyz": (scale * weight_CD[c]).tolist()})
    return found


def drawn(record: Record) -> dict[str, go.Figure]:
    """A scene for each row."""
    from evenhand.plots.space import space

    majority = {group["class"]: group["attribute"] for group in record["groups"] if group["rank"] == 0}
    single = len(record["rows"]) == 1
    return {
        "" if single else slug(row["label"]): space(
            row["vectors"], majority=majority,
            title=f"{row['label']} on {record['data']}: means of test features and classifier vectors",
        )
        for row in record["rows"]
    }  # fmt: skip


def tables(record: Record) -> list[Table]:
    """The cosines of the vectors of all seeds, and the vectors that are drawn."""
    cosines = [(row["label"], *(told(row["cosines"][name]) for name in MEASURES)) for row in record["rows"]]
    note = "Of the model that is kept, with three features, on test; mean ± sd over seeds."
    found = [Table("Cosine similarities in three dimensions", ("method", *MEASURES), tuple(cosines), (note,))]
    for row in record["rows"]:
        lines = tuple(
            (vector["name"], vector["kind"].replace("_", " "), str(vector["count"]),
             *(number(value) for value in vector["xyz"]))
            for vector in row["vectors"]
        )  # fmt: skip
        note = "From the origin of the features; the classifier's vectors are as long as class means on average."
        title = f"Vectors of {row['label']}, seed {row['seed']}"
        found.append(Table(title, ("of", "what", "test rows", "x", "y", "z"), lines, (note,), text_columns=(0, 1)))
    return found


def findings(record: Record) -> list[str]:
    """Section 3.2.1: minority means are more alike than majority means, and the classifier's vectors lie apart."""
    lines = trained(record["rows"])
    for row in record["rows"]:
        cosine = row["cosines"]
        alike, apart = by_seed(cosine["d_min"], cosine["d_maj"]), by_seed(cosine["w_sim"], cosine["d_cls"])
        lines += [
            f"{row['label']}: the similarity of minority means (d_min {told(cosine['d_min'])}) is higher than that of "
            f"majority means (d_maj {told(cosine['d_maj'])}) in the paper: {verdict(alike, lambda value: value > 0)}.",
            f"{row['label']}: the classifier's vectors are distinctly apart in the paper; here w_sim is "
            f"{told(cosine['w_sim'])}, {number(abs(mean(apart)))} {'below' if mean(apart) < 0 else 'above'} d_cls: "
            f"that they are further apart than class means, {verdict(apart, lambda value: value < 0)}.",
        ]
    return lines
