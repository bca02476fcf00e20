"""How well the attribute is told from features against how well from the inputs, early and at the end of training.

Mouheb, Elbatel, Klein and Bron (2024), Evaluating the fairness of neural collapse in medical image classification,
Figure 3: SPLIT on the models that were trained with biased labels, and models trained to predict the attribute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evenhand.study.figures._medical import (
    ATTRIBUTE,
    BIASED,
    Record,
    Setting,
    kendall,
    mean_sd,
    number,
    plain,
    settings_of,
    text,
    with_sd,
)
from evenhand.study.reproduction import StudyReproduction
from evenhand.study.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

STAGES = ("early", "final")
EQUAL = 0.02  # of AUC: nearer than that to y = x is on it


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> Record:
    """AUC of the attribute on test rows, from features (SPLIT) of each stage and from the inputs, by seed.

    Settings: `early`, `final`, labels of the rows; the models of the inputs are those of `early`.
    """
    points = [_point(each, settings) for each in settings_of(found, (BIASED, ATTRIBUTE))]
    means = {key: [mean_sd(point[key])[0] for point in points] for key in ("inputs", *STAGES)}
    return {"points": points, "kendall": {stage: kendall(means["inputs"], means[stage]) for stage in STAGES}}


def _point(setting: Setting, settings: Mapping[str, Any]) -> Record:
    from evenhand import features
    from evenhand.diagnosis.split_test import split_test

    part = setting.parts[BIASED]
    point: Record = {"name": setting.name, "intervals": {}}
    data = None
    for stage in STAGES:
        entry = setting.entry(BIASED, settings[stage])
        estimates = []
        for run in entry.finished if entry else []:
            data = data or features.data_of(run, part.root, part.path)
            estimates.append(split_test(run, data))
        point[stage] = plain([each.value for each in estimates])
        point["intervals"][stage] = [plain([each.low, each.high]) for each in estimates]
    raw = setting.entry(ATTRIBUTE, settings["early"])
    point["inputs"] = plain([number(run.metrics["test"]["roc_auc"]) for run in raw.finished] if raw else [])
    return point


def drawn(record: Record) -> dict[str, go.Figure]:
    """A panel for each stage."""
    from evenhand.plots.medical import separability

    titles = {"early": "Early stage of training", "final": "Final stage of training"}
    return {
        stage: separability(titles[stage], _shown(record, stage), record["kendall"][stage]["tau"]) for stage in STAGES
    }


def _shown(record: Record, stage: str) -> list[Record]:
    shown = []
    for point in record["points"]:
        (x, x_sd), (y, y_sd) = mean_sd(point["inputs"]), mean_sd(point[stage])
        if not (math.isnan(x) or math.isnan(y)):
            errors = {"x_error": None if math.isnan(x_sd) else x_sd, "y_error": None if math.isnan(y_sd) else y_sd}
            shown.append({"name": point["name"], "x": x, "y": y, **errors})
    return shown


def tables(record: Record) -> list[Table]:
    """The AUCs, and Kendall's tau."""
    rows = tuple(
        (point["name"], *(with_sd(*mean_sd(point[key])) for key in ("inputs", *STAGES)), str(len(point["early"])))
        for point in record["points"]
    )
    columns = ("data", "from the inputs", "features, early", "features, final", "seeds")
    notes = (
        "AUC on test rows, mean ± sd over seeds. From the inputs: a network of the same kind trained to predict the "
        "attribute, stopped early. From features: a logistic fit on frozen features of the network that was trained "
        "with biased labels (SPLIT).",
    )
    return [Table("What features tell about the attribute", columns, rows, notes)]


def findings(record: Record) -> list[str]:
    """Whether features tell as much as the inputs early on, and less at the end."""
    lines = [_association(stage, record["kendall"][stage]) for stage in STAGES]
    for point in record["points"]:
        x, early, final = (mean_sd(point[key])[0] for key in ("inputs", *STAGES))
        if math.isnan(x + early + final):
            lines.append(
                f"{point['name']}: an AUC is undefined, as the test rows have one value of the attribute only."
            )
            continue
        lines.append(
            f"{point['name']}: features tell the attribute with AUC {text(early)} early ({_against(early, x)} "
            f"{text(x)} from the inputs) and {text(final)} at the end; {_removed(point, early, final)}"
        )
    return lines


def _association(stage: str, found: Record) -> str:
    theirs = {
        "early": "the paper finds that early features hold nearly as much of it as the inputs",
        "final": "the paper finds the points off the line y = x by then",
    }[stage]
    if found["tau"] is None:
        return (
            f"{stage}: Kendall's τ of AUCs from inputs and from features needs several data sets and attributes, here "
            f"{found['n']} (6 in the paper)."
        )
    p = f", p = {text(found['p'])}" if found["p"] is not None else ""
    return f"{stage}: Kendall's τ = {found['tau']:.2f} over {found['n']} data sets and attributes{p}; {theirs}."


def _against(found: float, raw: float) -> str:
    return "like the" if abs(found - raw) < EQUAL else "above the" if found > raw else "below the"


def _removed(point: Record, early: float, final: float) -> str:
    pairs = [(a, b) for a, b in zip(point["early"], point["final"], strict=False) if a is not None and b is not None]
    lower = sum(b < a for a, b in pairs)
    if abs(final - early) < EQUAL:
        return "training on takes no information about the attribute away here."
    word = "less" if final < early else "more"
    theirs = ", as the paper finds for some data." if word == "less" else "; the paper names no such case."
    return f"the later features tell {word} (lower in {lower} of {len(pairs)} seeds){theirs}"
