"""What biased labels change on test, for each group: NC1 and F1, early and at the end of training.

Mouheb, Elbatel, Klein and Bron (2024), Evaluating the fairness of neural collapse in medical image classification,
Figure 4. Test labels are never biased.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.errors import BadInput
from evenhand.metrics import count, holm
from evenhand.metrics.rates import f1
from evenhand.runs import Run
from evenhand.study.comparison import Entry
from evenhand.study.figures._medical import (
    BIASED,
    CLEAN,
    LEVEL,
    Record,
    Setting,
    at_selected,
    biased_groups,
    group_names,
    mann_whitney,
    mean_sd,
    number,
    plain,
    settings_of,
    signed_sd,
    text,
)
from evenhand.study.reproduction import StudyReproduction
from evenhand.study.tables import Table, p_value

if TYPE_CHECKING:
    import plotly.graph_objects as go

STAGES = ("early", "final")
MEASURES = ("nc1", "relative", "f1")


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> Record:
    """NC1 and F1 on test of each group and seed, for clean and biased labels, with a test of the difference in F1.

    NC1 is the mean distance of the group's test features to the means that their classes have in training. F1 is of
    class 1 of two, and of more the mean over classes. Settings: `early`, `final`, labels of the rows.
    """
    groups: list[Record] = []
    for each in settings_of(found, (CLEAN, BIASED)):
        for stage in STAGES:
            groups += _groups(each, stage, settings[stage])
    for stage in STAGES:
        family = [group for group in groups if group["stage"] == stage and group["p"] is not None]
        for group, adjusted in zip(family, holm([group["p"] for group in family]), strict=True):
            group["p_holm"] = float(adjusted)
    return {"groups": groups, "level": LEVEL}


def _groups(setting: Setting, stage: str, row: str) -> list[Record]:
    """Each group of a data set and stage."""
    entries = {kind: _entry(setting, kind, row) for kind in (CLEAN, BIASED)}
    values = {kind: [_by_group(run) for run in entry.finished] for kind, entry in entries.items()}
    first = entries[BIASED].finished[0]
    found = []
    for a, (name, biased) in enumerate(zip(group_names(first), biased_groups(first), strict=True)):
        record: Record = {"data": setting.name, "group": name, "biased": biased, "stage": stage, "p_holm": None}
        for measure in MEASURES:
            sides = {kind: [run[measure][a] for run in of_kind] for kind, of_kind in values.items()}
            record[measure] = {kind: plain(side) for kind, side in sides.items()}
            if measure == "f1":
                record |= mann_whitney(sides[BIASED], sides[CLEAN])
        found.append(record)
    return found


def _entry(setting: Setting, kind: str, row: str) -> Entry:
    entry = setting.entry(kind, row)
    if entry is None:
        raise BadInput(f"{setting.name}, {kind} has no finished run of the row {row}")
    return entry


def _by_group(run: Run) -> dict[str, list[float]]:
    """NC1 and F1 (A each) of a run on test."""
    n_groups = len(group_names(run))
    parts = at_selected(run)
    tracked, means = parts.get("test"), parts.get("train", {}).get("classes", {}).get("mean_norm")
    if tracked is None or means is None:
        raise BadInput(f"{run.folder} was tracked without its training or its test rows; NC1 on test needs both")
    distance_CA, count_CA = (
        np.array([number(value) for value in tracked["groups"][column]]).reshape(-1, n_groups)
        for column in ("distance", "count")
    )
    with np.errstate(invalid="ignore"):
        nc1_A = np.where(count_CA > 0, distance_CA * count_CA, 0).sum(0) / count_CA.sum(0)
    length = np.nanmean([number(value) for value in means])
    return {"nc1": nc1_A.tolist(), "relative": (nc1_A / length).tolist(), "f1": _f1(run, n_groups)}


def _f1(run: Run, n_groups: int) -> list[float]:
    table = run.predictions().filter(split="test").drop_nulls("group")
    logits = table.select([name for name in table.columns if name.startswith("logit_")]).to_numpy()
    attribute_N = table["group"].to_numpy() % n_groups
    counts = count(table["y"].to_numpy(), logits.argmax(1), attribute_N, logits.shape[1], n_groups)
    f1_CA = f1(counts).value
    if counts.n_classes == 2:
        return [float(value) for value in f1_CA[1]]
    return [float(np.nanmean(column)) if not np.isnan(column).all() else math.nan for column in f1_CA.T]


def drawn(record: Record) -> dict[str, go.Figure]:
    """A panel for each stage: both differences, a star where that of F1 is significant."""
    from evenhand.plots.medical import differences

    titles = {"early": "Early stage of training", "final": "Final stage of training"}
    panels = {}
    for stage in STAGES:
        shown = []
        for group in _of(record, stage):
            (nc1, nc1_sd), (f1_, f1_sd) = difference(group["nc1"]), difference(group["f1"])
            star = group["p"] is not None and group["p"] < record["level"]
            shown.append({
                **{key: group[key] for key in ("data", "group", "biased")}, "star": star,
                "nc1": nc1, "nc1_sd": nc1_sd, "f1": f1_, "f1_sd": f1_sd,
            })  # fmt: skip
        panels[stage] = differences(titles[stage], shown)
    return panels


def difference(sides: Mapping[str, list[float | None]]) -> tuple[float, float]:
    """Mean of biased minus clean, and the sd of a difference of two independent runs; NaN where undefined."""
    (biased, biased_sd), (clean, clean_sd) = mean_sd(sides[BIASED]), mean_sd(sides[CLEAN])
    return biased - clean, math.hypot(biased_sd, clean_sd)


def _of(record: Record, stage: str) -> list[Record]:
    return [group for group in record["groups"] if group["stage"] == stage]


def tables(record: Record) -> list[Table]:
    """The differences with their tests, stage by stage."""
    shown = []
    for stage in STAGES:
        rows = []
        for group in _of(record, stage):
            star = "*" if group["p"] is not None and group["p"] < record["level"] else " "
            p, adjusted = (p_value(number(group[key])) for key in ("p", "p_holm"))
            name = group["group"] + (" (labels changed)" if group["biased"] else "")
            rows.append((
                group["data"], name, signed_sd(*difference(group["nc1"])), signed_sd(*difference(group["relative"])),
                signed_sd(*difference(group["f1"])) + star, p, adjusted, group["method"] or "–",
            ))  # fmt: skip
        columns = ("data", "group", "Δ NC1", "Δ NC1, relative", "Δ F1", "p", "p, Holm", "test")
        shown.append(
            Table(f"Biased minus clean labels, on test: {stage}", columns, tuple(rows), _notes(record), (0, 1, 7))
        )
    return shown


def _notes(record: Record) -> tuple[str, ...]:
    seeds = max((len(group["f1"][BIASED]) for group in record["groups"]), default=0)
    return (
        f"{_seeds(seeds)} with each kind of labels. NC1: mean distance of test features to the training "
        "means of their classes, in units of the features; relative: in units of the distance of those means from "
        "their centre. ± is the sd of a difference of two runs. p: Mann-Whitney U, two-sided, of "
        f"F1; * p < {record['level']:g}, as in the paper, without correction; Holm's correction is for the groups of "
        "one stage together.",
    )


def findings(record: Record) -> list[str]:
    """Which differences in F1 can be told from noise, and whether NC1 on test is higher."""
    lines = []
    least = [group["least"] for group in record["groups"] if group["least"] is not None]
    if least and min(least) >= record["level"]:
        seeds = max(len(group["f1"][BIASED]) for group in record["groups"])
        lines.append(
            f"With {_seeds(seeds)} against {seeds} the test cannot give p < {record['level']:g} (the least it can give "
            f"is {text(min(least))}): no star means nothing here; the paper has 10 seeds."
        )
    for stage in STAGES:
        lines += _of_stage(record, stage)
    return lines


def _of_stage(record: Record, stage: str) -> list[str]:
    groups = _of(record, stage)
    clear = [group for group in groups if group["p"] is not None and group["p"] < record["level"]]
    held = [group for group in clear if number(group["p_holm"]) < record["level"]]
    worse = [group for group in clear if difference(group["f1"])[0] < 0]
    theirs = {
        "early": "the paper finds most differences not significant at this stage",
        "final": "the paper finds F1 lower in every under-diagnosed group, and in four of six others",
    }[stage]
    lines = [
        f"{stage}: F1 differs with p < {record['level']:g} in {len(clear)} of {len(groups)} groups ({len(worse)} of "
        f"them worse with biased labels), in {len(held)} after Holm's correction; {theirs}."
    ]
    changed = [group for group in groups if group["biased"]]
    others = [group for group in groups if not group["biased"]]
    for name, some in (("with changed labels", changed), ("whose labels are as they are", others)):
        means = {measure: [difference(group[measure])[0] for group in some] for measure in MEASURES}
        if some:
            lines.append(
                f"{stage}: in groups {name} F1 is lower on average in {sum(v < 0 for v in means['f1'])} of {len(some)} "
                f"(mean {np.nanmean(means['f1']):+.3f}), NC1 on test higher in {sum(v > 0 for v in means['nc1'])}, "
                f"relative to the spread of class means in {sum(v > 0 for v in means['relative'])}"
                + (" (the paper: higher for all groups)." if stage == "final" else ".")
            )
    return lines


def _seeds(number: int) -> str:
    return f"{number} seed{'s' * (number > 1)}"
