"""Variability collapse of training features by epoch, with clean and with biased labels.

Mouheb, Elbatel, Klein and Bron (2024), Evaluating the fairness of neural collapse in medical image classification,
Figure 2: the mean distance of features to the mean of their class (S of Equation 1), as labelled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study.figures._medical import (
    BIASED,
    CLEAN,
    Record,
    mean_sd,
    number,
    plain,
    settings_of,
    text,
    with_sd,
)
from evenhand.study.reproduction import StudyReproduction, slug
from evenhand.study.tables import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

MEASURE, RELATIVE = "nc1_distance", "nc1_quotient"
DISTANCE, WITHIN = "train NC1 (mean distance to class mean)", "train NC1 (variance within / between classes)"
EARLY = 0.25  # of the epochs
NEAR_ZERO = 0.1  # of the first epoch's value


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> Record:
    """Of each data set and attribute, for clean and biased labels: train NC1 of each seed and epoch.

    Settings: `row`, the label of the runs that are shown; `measure`, by default `nc1_distance`.
    """
    row, measure = settings["row"], settings.get("measure", MEASURE)
    panels = []
    for each in settings_of(found, (CLEAN, BIASED)):
        kinds: Record = {}
        for kind in (CLEAN, BIASED):
            entry = each.entry(kind, row)
            if entry is None:
                raise BadInput(f"{each.name}, {kind} has no finished run of the row {row}")
            kinds[kind] = {
                "values": [plain(_by_epoch(run, measure)) for run in entry.finished],
                "relative": [plain(_by_epoch(run, RELATIVE)) for run in entry.finished],
            }
        panels.append({"name": each.name, **kinds})
    return {"measure": measure, "row": row, "panels": panels}


def _by_epoch(run: Run, measure: str) -> list[float]:
    lines = run.collapse
    if not lines:
        raise BadInput(f"{run.folder} has no collapse.jsonl: it was not trained with tracking")
    return [number(line["parts"].get("train", {}).get("scalars", {}).get(measure)) for line in lines]


def drawn(record: Record) -> dict[str, go.Figure]:
    """Two panels for each data set and attribute, lines with bands of one sd over seeds: NC1 with and without unit."""
    from evenhand.plots.medical import collapse_by_epoch

    panels = {}
    for panel in record["panels"]:
        for key, suffix, heading in (("values", "", DISTANCE), ("relative", "-relative", WITHIN)):
            curves = {kind: _curve(panel[kind][key]) for kind in (CLEAN, BIASED)}
            panels[slug(panel["name"]) + suffix] = collapse_by_epoch(panel["name"], curves, heading)
    return panels


def _curve(values_SE: list[list[float | None]]) -> tuple[list[float], list[float]]:
    """Mean and sd over seeds, by epoch."""
    pairs = [mean_sd(values) for values in zip(*values_SE, strict=False)]
    return [mean for mean, _ in pairs], [sd for _, sd in pairs]


def tables(record: Record) -> list[Table]:
    """Train NC1 at the beginning, early, and at the end."""
    rows = []
    for panel in record["panels"]:
        for kind in (CLEAN, BIASED):
            values = panel[kind]["values"]
            early, last = _early(values), [seed[-1] for seed in values]
            relative = [seed[-1] for seed in panel[kind]["relative"]]
            first = [seed[0] for seed in values]
            cells = (with_sd(*mean_sd(each)) for each in (first, early, last, relative))
            rows.append((panel["name"], kind, *cells, str(len(values[0])), str(len(values))))
    columns = ("data", "labels", "first epoch", "early", "last epoch", "within / between", "epochs", "seeds")
    notes = (
        "Mean distance of training features to the mean of their labelled class, in units of the features; mean ± sd "
        f"over seeds. early: mean over the first {EARLY:.0%} of the epochs. within / between: variance within classes "
        "over that between class means at the last epoch, which does not depend on those units.",
    )
    return [Table("Variability collapse (NC1) in training", columns, tuple(rows), notes, text_columns=(0, 1))]


def _early(values_SE: list[list[float | None]]) -> list[float]:
    return [mean_sd(seed[: max(1, math.ceil(EARLY * len(seed)))])[0] for seed in values_SE]


def findings(record: Record) -> list[str]:
    """Whether NC1 is higher at first with biased labels, and whether both approach zero."""
    lines = []
    for panel in record["panels"]:
        clean, biased = (panel[kind]["values"] for kind in (CLEAN, BIASED))
        lines.append(f"{panel['name']}: {_higher(_early(clean), _early(biased))}")
        shares = {kind: _last_to_first(panel[kind]["values"]) for kind in (CLEAN, BIASED)}
        near = [kind for kind, share in shares.items() if share < NEAR_ZERO]
        verdict = (
            "both approach zero, as in the paper",
            f"only with {near[0] if near else ''} labels it approaches zero",
            "neither comes near zero in so many epochs",
        )[2 - len(near)]
        lines.append(
            f"{panel['name']}: at the last epoch NC1 is {shares[CLEAN]:.0%} of that of the first with clean labels and "
            f"{shares[BIASED]:.0%} with biased ones: {verdict}."
        )
        lines.append(f"{panel['name']}: {_relative(*(panel[kind]['relative'] for kind in (CLEAN, BIASED)))}")
    return lines


def _relative(clean_SE: list[list[float | None]], biased_SE: list[list[float | None]]) -> str:
    """The same without the unit of features, which may grow in training."""
    early, last = (
        [mean_sd(of(side))[0] for side in (biased_SE, clean_SE)]
        for of in (_early, lambda values: [seed[-1] for seed in values])
    )
    higher = [name for name, (biased, clean) in (("early", early), ("at the end", last)) if biased > clean]
    return (
        f"variance within over between classes, which has no unit, is {text(early[0])} with biased labels and "
        f"{text(early[1])} with clean ones early on, {text(last[0])} and {text(last[1])} at the end: biased training "
        + (f"is further from collapse {' and '.join(higher)}." if higher else "is nowhere further from collapse.")
    )


def _higher(clean_S: list[float], biased_S: list[float]) -> str:
    pairs = [(b - c) for c, b in zip(clean_S, biased_S, strict=False)]
    higher, mean = sum(gap > 0 for gap in pairs), mean_sd(pairs)[0]
    start = (
        f"in the first {EARLY:.0%} of the epochs NC1 is {text(mean_sd(biased_S)[0])} with biased labels and "
        f"{text(mean_sd(clean_S)[0])} with clean ones"
    )
    of_seeds = f"higher in {higher} of {len(pairs)} seeds"
    if mean > 0 and higher == len(pairs):
        return f"{start}, {of_seeds}: as in the paper, biased training is further from collapse at first."
    if mean > 0:
        return f"{start}, {of_seeds}: the paper's order on average only."
    return f"{start}, {of_seeds}: the paper's higher values under bias are not seen here."


def _last_to_first(values_SE: list[list[float | None]]) -> float:
    """The mean of the last epoch as a share of that of the first."""
    first, last = (mean_sd([seed[place] for seed in values_SE])[0] for place in (0, -1))
    return last / first
