"""What each method gives its worst group and all rows, and which differences are more than noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evenhand.plots.methods import tradeoff
from evenhand.report.blocks import Block, Cell, Chart, Mark, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import MISSING, charted, mean_sd, p_value, points, room
from evenhand.study.comparison import MAIN
from evenhand.study.measures import MEASURES
from evenhand.study.tables import GROUP_METRICS, PARITY_METRICS
from evenhand.study.verdict import CLEAR

Record = Mapping[str, Any]

AVERAGE = "accuracy"
OTHERS = (*PARITY_METRICS, "worst_class_accuracy", "roc_auc", "training_seconds")


def sections(found: Found) -> list[Section]:
    """The trade-off as a chart, all figures as tables, and the differences to the reference."""
    compared = found.compared
    if not compared or len(compared["rows"]) < 2:
        return []
    main = _figures(compared, GROUP_METRICS, "Accuracy over groups, mean ± sd over seeds")
    blocks: list[Block] = [_chart(compared), main, Text((_marks(compared),), "note")]
    if compared["differences"]:
        blocks += [_differences(compared), Text((_how(compared),), "note")]
    rest = _figures(compared, OTHERS, "Further figures: mean over groups, parity, classes, area under the curve, time")
    return [Section("methods", "What each method gives", (*blocks, replace(rest, folded=True)))]


def _chart(compared: Record) -> Chart:
    pairs = {
        row["label"]: [
            (100 * x, 100 * y)
            for x, y in zip(row["metrics"][AVERAGE]["values"], row["metrics"][MAIN]["values"], strict=True)
            if x is not None and y is not None
        ]
        for row in compared["rows"]
    }
    figure = tradeoff(pairs, x_title="accuracy on all test rows, %", y_title="accuracy of the worst group, %")
    best = max(compared["rows"], key=lambda row: row["metrics"][MAIN]["mean"] or 0.0)
    several = len(compared["seeds"]) > 1
    alt = (
        "Worst-group accuracy against average accuracy of each method"
        f"{', every seed as a small point, means with bars of one standard deviation' if several else ''}. Highest: "
        f"{best['label']}."
    )
    title = "Up is better for the worst group, right is better on average"
    return charted(
        title, figure, alt, _figures(compared, (MAIN, AVERAGE), "Mean ± sd over seeds"), height=room(pairs, 440)
    )


def _figures(compared: Record, names: tuple[str, ...], caption: str) -> Table:
    """Mean ± sd over seeds, in the form of papers; the best beyond noise are marked."""
    known = [name for name in names if all(name in row["metrics"] for row in compared["rows"])]
    rows = []
    for row in compared["rows"]:
        cells = [Cell(row["label"])]
        for name in known:
            mark, sign = _mark(compared, name, row["label"])
            cells.append(mean_sd(row["metrics"][name], MEASURES[name].scale, mark, sign))
        rows.append(tuple(cells))
    heads = (f"{MEASURES[name].header}, {MEASURES[name].unit}" for name in known)
    return Table(caption, ("method", *heads), tuple(rows), (False, *(True for _ in known)))


def _mark(compared: Record, name: str, label: str) -> tuple[Mark, str]:
    """How a cell stands out, and the sign that says so: best beyond noise, or not to be told from the best."""
    best = compared["best"].get(name, [])
    if label not in best or len(best) == len(compared["rows"]):
        return "", ""
    return ("best", " *") if len(best) == 1 else ("", " ≈")


def _marks(compared: Record) -> str:
    short = "; ".join(f"{MEASURES[name].short}: {MEASURES[name].description}" for name in GROUP_METRICS)
    if len(compared["seeds"]) < 2:
        return f"{short}. One seed: nothing can be said about noise, so nothing is marked."
    return (
        f"{short}. * best beyond the noise of the seeds; ≈ cannot be told from the best (paired t tests, Holm, 95 %)."
    )


def _differences(compared: Record) -> Table:
    rows = []
    for found in compared["differences"]:
        verdict: str = "not told apart"
        mark: Mark = "muted"
        if found["p_adjusted"] is not None and found["p_adjusted"] <= CLEAR:
            verdict, mark = ("better", "best") if found["mean"] > 0 else ("worse", "worst")
        rows.append((
            Cell(found["method"]), Cell(points(found["mean"]), found["mean"]),
            _span(found["low"], found["high"]),
            Cell(p_value(found["p_adjusted"]), found["p_adjusted"]), Cell(verdict, mark=mark),
        ))  # fmt: skip
    caption = f"Worst-group accuracy minus that of {compared['reference']}, percentage points"
    columns = ("method", "difference", "95 % interval", "p", "verdict")
    return Table(caption, columns, tuple(rows), (False, True, True, True, False))


def _span(low: float | None, high: float | None) -> Cell:
    if low is None or high is None:
        return Cell(MISSING)
    return Cell(f"{points(low, -1)} to {points(high, 1)}", low)


def _how(compared: Record) -> str:
    n = sum(one["p_adjusted"] is not None for one in compared["differences"])
    seeds = sorted({one["n"] for one in compared["differences"]})
    paired = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return (
        f"Paired by the seeds that both have (n = {paired}); intervals and p are Holm-corrected for {n} "
        f"comparison{'s' * (n != 1)}."
    )
